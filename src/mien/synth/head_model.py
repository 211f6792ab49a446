"""The head model: mean shape, identity and expression shapes of ICT-FaceKit's rendered parts."""

from __future__ import annotations

import hashlib
import math
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mien.errors import MienError

__all__ = [
    "ICT_GROUPS",
    "ICT_LANDMARKS",
    "ICT_VERTICES",
    "LANDMARK_COUNT",
    "HeadModel",
    "Part",
    "load_head_model",
    "read_obj",
]


class Part(IntEnum):
    """The rendered parts of a head; the value is stored per vertex."""

    SKIN = 0
    MOUTH = 1
    GUMS = 2
    TEETH = 3
    EYE_LEFT = 4
    EYE_RIGHT = 5
    HAIR = 6
    GLASSES = 7


ICT_VERTICES = 26719

# First vertex, end, part. Not rendered: eye sockets, which lie behind the eyeballs; lacrimal fluid,
# eye blend and eye occlusion, which are transparent; eyelashes, which are cards for a texture with
# holes: the borders of the lids are darkened instead.
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

# ICT-FaceKit: x right in the image, y up, z out of the face -> x right, y down, z into it.
ICT_TO_CAMERA = np.array([1.0, -1.0, -1.0], dtype=np.float32)
_KEYS = ("neutral", "identity", "expression", "expression_names", "faces")
_SHAPES_FOLDER = "FaceXModel"
_MAX_BYTES, _MAX_COORDINATE, _MAX_INDEX = 1 << 30, 1e6, 10**9
_DAMAGED = (
    *(OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, OverflowError),
    *(MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error),
    *(SyntaxError, tokenize.TokenError),  # of NumPy, which reads the header as Python
)
_NEUTRAL_OBJ = "generic_neutral_mesh.obj"


@dataclass(frozen=True)
class HeadModel:
    """A linear head: neutral + identity coefficients . identity + weights . expression.

    Lengths in cm, axes of the camera frame (x right, y down, z into the head) for a head that
    looks straight into the camera.
    """

    neutral: np.ndarray
    """Mean head. float32 [V, 3]."""
    identity: np.ndarray
    """Offsets for one standard deviation of each identity coefficient. float32 [K, V, 3]."""
    expression: np.ndarray
    """Offsets for weight 1 of each expression shape. float32 [E, V, 3]."""
    expression_names: tuple[str, ...]
    """ARKit-like names, `_L` and `_R` for the person's own left and right."""
    triangles: np.ndarray
    """Vertex indices, outward winding. int32 [F, 3]."""
    part: np.ndarray
    """`Part` of each vertex. uint8 [V]."""
    landmarks: np.ndarray
    """Vertices at the 68 usual landmarks. int64 [68]."""

    def __post_init__(self) -> None:
        if len(self.landmarks) != LANDMARK_COUNT:
            raise ValueError(f"a head model has {LANDMARK_COUNT} landmarks")

    @cached_property
    def eye_vertices(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the vertices of the person's left and right eyeball."""
        left = np.flatnonzero(self.part == Part.EYE_LEFT)
        return left, np.flatnonzero(self.part == Part.EYE_RIGHT)

    @cached_property
    def triangle_part(self) -> np.ndarray:
        """Return the `Part` of each triangle. uint8 [F]."""
        return self.part[self.triangles[:, 0]]

    @cached_property
    def fingerprint(self) -> str:
        """Return the first 12 hexadecimal digits of a hash of all shapes and triangles."""
        checksum = hashlib.sha256(" ".join(self.expression_names).encode())
        for array in (self.neutral, self.identity, self.expression, self.triangles):
            checksum.update(np.ascontiguousarray(array).data)
        return checksum.hexdigest()[:12]


def load_head_model(path: Path | str) -> HeadModel:
    """Load ICT-FaceKit from its own checkout's folder of OBJ files or from a converted npz.

    Args:
        path: Folder with generic_neutral_mesh.obj, identity000.obj ... and one OBJ for each
            expression; or an .npz with neutral, identity, expression, expression_names, faces.

    Returns:
        The rendered parts of the model in the camera's axes.

    Raises:
        MienError: Nothing is there, or it is not ICT-FaceKit's topology.
    """
    path = Path(path)
    if path.is_dir():
        # The checkout's root is as good as the folder of shapes in it.
        path = path / _SHAPES_FOLDER if (path / _SHAPES_FOLDER).is_dir() else path
        raw = _read_folder(path)
    elif path.is_file():
        raw = _read_npz(path)
    else:
        raise MienError(
            f"no head model at {path}; clone ICT-FaceKit and give its FaceXModel folder"
        )
    if (raw.neutral.ndim, raw.identity.ndim, raw.expression.ndim) != (2, 3, 3):
        raise MienError(f"{path}: its arrays have not the shapes of a head; convert it again")
    if len(raw.neutral) != ICT_VERTICES:
        raise MienError(
            f"{path}: {len(raw.neutral)} vertices, ICT-FaceKit has {ICT_VERTICES}; "
            "give ICT-FaceKit's FaceXModel folder or its npz"
        )
    _check(raw, path)
    return _rendered_parts(raw)


class _Raw(NamedTuple):
    """A model as its files have it: arrays of [V, 3], [K, V, 3], [E, V, 3] and [F, 3]."""

    neutral: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    expression_names: tuple[str, ...]
    faces: np.ndarray


def _read_npz(path: Path) -> _Raw:
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [key for key in _KEYS if f"{key}.npy" not in archive.namelist()]
            if missing:
                raise MienError(f"{path} lacks {', '.join(missing)}; convert the model again")
            neutral, identity, expression, names, faces = (_array(archive, key) for key in _KEYS)
    except _DAMAGED as error:
        raise MienError(f"cannot read the head model {path}; download it again") from error
    return _Raw(neutral, identity, expression, tuple(map(str, np.ravel(names))), faces)


def _array(archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """Return an array of an npz, never more than its header and its member's size promise."""
    size = archive.getinfo(f"{key}.npy").file_size
    with archive.open(f"{key}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0
        read = np.lib.format.read_array_header_2_0 if version == (2, 0) else read
        shape, _, dtype = read(file)
        if size > _MAX_BYTES or math.prod(shape) * dtype.itemsize > size:
            raise ValueError(f"{key} claims {shape}")
    with archive.open(f"{key}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _bounded(points: np.ndarray) -> bool:
    """Return whether all coordinates are numbers of a size that a head may have."""
    return float(np.abs(points).max(initial=0)) < _MAX_COORDINATE


def _check(raw: _Raw, path: Path) -> None:
    """Refuse a model whose arrays do not fit each other, or whose numbers make no head."""
    count, names = len(raw.neutral), raw.expression_names
    points = (raw.neutral, raw.identity, raw.expression)
    wrong = [
        "its shapes do not fit its neutral head"
        if any(array.shape[-2:] != (count, 3) for array in points)
        or (raw.neutral.ndim, raw.identity.ndim, raw.expression.ndim) != (2, 3, 3)
        or len(raw.expression) != len(names)
        else "",
        "it has no identity or no expression shapes"
        if not (len(raw.identity) and len(raw.expression))
        else "",
        "a coordinate is no number, or beyond all bounds"
        if any(a.dtype.kind != "f" or not _bounded(a) for a in points)
        else "",
        "its faces are no triangles of its vertices"
        if raw.faces.ndim != 2
        or raw.faces.shape[1] != 3
        or raw.faces.dtype.kind not in "iu"
        or (raw.faces.size and not 0 <= raw.faces.min() <= raw.faces.max() < count)
        else "",
        "names of its expressions are empty, repeated or unprintable"
        if len(set(names)) != len(names) or not all(n.isprintable() and n.strip() for n in names)
        else "",
    ]
    if reason := next(filter(None, wrong), ""):
        raise MienError(f"{path}: {reason}; convert or download it again")


def _read_folder(folder: Path) -> _Raw:
    if not (folder / _NEUTRAL_OBJ).is_file():
        raise MienError(f"{folder} holds no {_NEUTRAL_OBJ}; give ICT-FaceKit's FaceXModel folder")
    neutral, faces = read_obj(folder / _NEUTRAL_OBJ)
    identity_files = sorted(folder.glob("identity[0-9][0-9][0-9].obj"))
    taken = {_NEUTRAL_OBJ, *(file.name for file in identity_files)}
    others = [file for file in sorted(folder.glob("*.obj")) if file.name not in taken]
    # The full data set also holds untextured variants of the mean; only shapes count here.
    expression_files = [file for file in others if not file.stem.startswith("generic")]
    if not identity_files or not expression_files:
        raise MienError(f"{folder} lacks identity or expression shapes; download it again")

    def offsets(files: list[Path]) -> np.ndarray:
        shapes = np.empty((len(files), *neutral.shape), dtype=np.float32)
        for index, file in enumerate(files):
            points, _ = read_obj(file)
            if points.shape != neutral.shape:
                raise MienError(f"{file}: not the topology of {_NEUTRAL_OBJ}; download it again")
            shapes[index] = points - neutral
        return shapes

    names = tuple(file.stem for file in expression_files)
    return _Raw(neutral, offsets(identity_files), offsets(expression_files), names, faces)


def _rendered_parts(raw: _Raw) -> HeadModel:
    """Keep the vertex groups that are rendered, in the camera's axes."""
    kept = np.concatenate([np.arange(start, end) for start, end, _ in ICT_GROUPS])
    part = np.concatenate(
        [np.full(end - start, int(p), dtype=np.uint8) for start, end, p in ICT_GROUPS]
    )
    place = np.full(ICT_VERTICES, -1, dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    triangles = place[raw.faces]
    triangles = triangles[(triangles >= 0).all(axis=1)]

    def kept_part(points: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(points[..., kept, :].astype(np.float32) * ICT_TO_CAMERA)

    return HeadModel(
        neutral=kept_part(raw.neutral),
        identity=kept_part(raw.identity),
        expression=kept_part(raw.expression),
        expression_names=raw.expression_names,
        triangles=np.ascontiguousarray(triangles),
        part=part,
        landmarks=place[np.asarray(ICT_LANDMARKS)].astype(np.int64),
    )


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the vertices and faces of an OBJ file.

    Polygons are cut into fans; texture coordinates, normals and materials are passed over. Written
    here: readers of whole scenes reorder vertices, and ICT-FaceKit is known by their numbers.

    Args:
        path: The OBJ file.

    Returns:
        Vertices float32 [V, 3] in the file's own units and axes; triangles int32 [F, 3].

    Raises:
        MienError: The file cannot be read, or a line of it is no valid vertex or face.
    """
    vertices: list[tuple[float, float, float]] = []
    triangles: list[tuple[int, int, int]] = []
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            raise MienError(f"{path} is no file of at most {_MAX_BYTES >> 20} MiB; give a mesh")
        with path.open(encoding="ascii", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    _read_line(line.split(), vertices, triangles)
                except (ValueError, IndexError) as error:
                    raise MienError(
                        f"{path}, line {number}: not a valid vertex or face; "
                        "download the model again"
                    ) from error
    except OSError as error:
        raise MienError(f"cannot read {path}: {error.strerror}; check the folder") from error
    if not vertices:
        raise MienError(f"{path} holds no vertices; give a Wavefront OBJ mesh")
    points = np.asarray(vertices, dtype=np.float32)
    if not _bounded(points):
        raise MienError(f"{path}: a coordinate is no number, or beyond all bounds; mend the mesh")
    faces = np.asarray(triangles, dtype=np.int32).reshape(-1, 3)
    if faces.size and (faces.min() < 0 or faces.max() >= len(points)):
        raise MienError(f"{path}: a face names a vertex that is not there; download it again")
    return points, faces


def _read_line(
    words: list[str],
    vertices: list[tuple[float, float, float]],
    triangles: list[tuple[int, int, int]],
) -> None:
    """Add what a line of an OBJ file says."""
    if words[:1] == ["v"]:
        vertices.append((float(words[1]), float(words[2]), float(words[3])))
    elif words[:1] == ["f"]:
        triangles.extend(_fan(words[1:], len(vertices)))


def _fan(words: list[str], vertex_count: int) -> list[tuple[int, int, int]]:
    """Return the triangles of one polygon; indices count from 1, or from the end if negative."""
    if len(words) < 3:
        raise ValueError("a face needs three corners")
    raw = [int(word.split("/", 1)[0]) for word in words]
    if 0 in raw or max(map(abs, raw)) > _MAX_INDEX:
        raise ValueError("OBJ indices count from 1")
    corners = [index - 1 if index > 0 else vertex_count + index for index in raw]
    return [(corners[0], corners[k], corners[k + 1]) for k in range(1, len(corners) - 1)]
