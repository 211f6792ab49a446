"""What is known of ICT-FaceKit's fixed topology: vertex groups, drawn parts, landmarks."""

from __future__ import annotations

from enum import IntEnum

__all__ = ["ICT_GROUPS", "ICT_LANDMARKS", "ICT_VERTICES", "LANDMARK_COUNT", "Part"]


class Part(IntEnum):
    """The drawn parts of a head; the value is stored per vertex."""

    SKIN = 0
    MOUTH = 1
    GUMS = 2
    TEETH = 3
    EYE_LEFT = 4
    EYE_RIGHT = 5
    HAIR = 6
    GLASSES = 7


ICT_VERTICES = 26719

# First vertex, end, part. Not drawn: eye sockets, which lie behind the eyeballs; lacrimal fluid,
# eye blend and eye occlusion, which are transparent; eyelashes, which are cards for a texture with
# holes: the edges of the lids are darkened instead.
ICT_GROUPS: tuple[tuple[int, int, Part], ...] = (
    (0, 11248, Part.SKIN),
    (11248, 13294, Part.MOUTH),
    (14062, 17039, Part.GUMS),
    (17039, 21451, Part.TEETH),
    (21451, 23021, Part.EYE_LEFT),
    (23021, 24591, Part.EYE_RIGHT),
)

LANDMARK_COUNT = 68

# Vertices at the 68 usual landmarks, starting at the jaw on the left of the image.
ICT_LANDMARKS: tuple[int, ...] = (
    *(1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966),
    *(3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443),
    *(268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509),
    *(978, 4527, 4942, 4857, 1140, 2075, 1147, 4269, 3360),
    *(1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732),
    *(5708, 5695, 2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841),
    *(5702, 5711, 5533, 6216, 6207, 6470, 5517, 5966),
)
