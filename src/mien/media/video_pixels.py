"""A decoded frame => its pixels as a player shows them: upright, square, in sRGB."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from mien.media.colour import HDR_CURVES, WIDE_PRIMARIES, video_to_srgb

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

__all__ = ["frame_pixels"]

_OBLONG = 8
"""Pixels that are said to be so many times as wide as high, or as high as wide, are no pixels."""
# FFmpeg's numbers of matrices from Y'CbCr (ITU-T H.273) => swscale's.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_BT709, _BT601 = 1, 5


def frame_pixels(frame: VideoFrame, aspect: Fraction | None) -> NDArray[np.uint8] | None:
    """Return a frame as RGB [H, W, 3]; None where it cannot be converted.

    Args:
        frame: as decoded. What it says of its matrix, range, primaries, transfer curve and turning
            is obeyed; where it says no matrix it is BT.709 from 720 rows up, BT.601 below.
        aspect: width of a pixel over its height; None: 1.
    """
    width, height = frame.width, frame.height
    if aspect and 1 < aspect <= _OBLONG:
        width = round(width * aspect)
    elif aspect and 1 > aspect >= Fraction(1, _OBLONG):
        height = round(height / aspect)
    wide = frame.color_trc in HDR_CURVES or frame.color_primaries in WIDE_PRIMARIES
    untagged = _BT709 if frame.height >= 720 else _BT601
    try:
        shown = frame.reformat(
            width=width,
            height=height,
            format="rgb48le" if wide else "rgb24",
            src_colorspace=_MATRICES.get(frame.colorspace, untagged),
            src_color_range=frame.color_range,
            interpolation="BICUBIC" if aspect not in (None, 1) else None,
        )
        # The decoder's own frame, if it is RGB already, is not given away.
        rgb = shown.to_ndarray() if wide or shown is frame else _view(shown)
    except (FFmpegError, OSError, ValueError):
        return None
    if wide:
        rgb = video_to_srgb(rgb.astype(np.uint16), frame.color_trc, frame.color_primaries)
    return np.ascontiguousarray(_upright(rgb.astype(np.uint8, copy=False), frame))


def _view(frame: VideoFrame) -> NDArray[np.uint8]:
    """Return the memory of a frame of the format rgb24, which it keeps. [H, W, 3]."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
    return rows[:, : 3 * frame.width].reshape(frame.height, frame.width, 3)


def _upright(pixels: NDArray[np.uint8], frame: VideoFrame) -> NDArray[np.uint8]:
    """Turn and mirror as the file's display matrix says, to the nearest quarter turn."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return pixels
    # x' = a x + c y, y' = b x + d y, row by row [a b u; c d v; x y w].
    a, b, _, c, d = np.frombuffer(memoryview(data), np.int32)[:5].tolist()
    if max(abs(b), abs(c)) > max(abs(a), abs(d)):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
