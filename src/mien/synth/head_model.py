"""The head model: mean shape, identity and expression shapes of the drawn parts."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.synth.ict import ICT_GROUPS, ICT_LANDMARKS, ICT_VERTICES, LANDMARK_COUNT, Part
from mien.synth.obj import read_obj

__all__ = ["HeadModel", "load_head_model"]

# ICT-FaceKit: x right in the image, y up, z out of the face -> x right, y down, z into it.
ICT_TO_CAMERA = np.array([1.0, -1.0, -1.0], dtype=np.float32)
_KEYS = ("neutral", "identity", "expression", "expression_names", "faces")
_SHAPES_FOLDER = "FaceXModel"
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
        digest = hashlib.sha256(" ".join(self.expression_names).encode())
        for array in (self.neutral, self.identity, self.expression, self.triangles):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()[:12]


def load_head_model(path: Path | str) -> HeadModel:
    """Load ICT-FaceKit from its own checkout's folder of OBJ files or from a converted npz.

    Args:
        path: Folder with generic_neutral_mesh.obj, identity000.obj ... and one OBJ for each
            expression; or an .npz with neutral, identity, expression, expression_names, faces.

    Returns:
        The drawn parts of the model in the camera's axes.

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
    neutral, identity, expression, names, faces = raw
    if len(neutral) != ICT_VERTICES:
        raise MienError(
            f"{path}: {len(neutral)} vertices, ICT-FaceKit has {ICT_VERTICES}; "
            "give ICT-FaceKit's FaceXModel folder or its npz"
        )
    return _drawn_parts(neutral, identity, expression, names, faces)


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [key for key in _KEYS if key not in data.files]
            if missing:
                raise MienError(f"{path} lacks {', '.join(missing)}; convert the model again")
            names = tuple(str(name) for name in data["expression_names"])
            neutral, identity, expression, faces = (
                data[key] for key in ("neutral", "identity", "expression", "faces")
            )
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise MienError(f"cannot read the head model {path}; download it again") from error
    if expression.shape != (len(names), *neutral.shape) or identity.shape[1:] != neutral.shape:
        raise MienError(f"{path}: its shapes do not fit its neutral head; convert it again")
    return neutral, identity, expression, names, faces


def _read_folder(
    folder: Path,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
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
    return neutral, offsets(identity_files), offsets(expression_files), names, faces


def _drawn_parts(
    neutral: np.ndarray,
    identity: np.ndarray,
    expression: np.ndarray,
    names: tuple[str, ...],
    faces: np.ndarray,
) -> HeadModel:
    """Keep the vertex groups that are drawn and turn them into the camera's axes."""
    kept = np.concatenate([np.arange(start, end) for start, end, _ in ICT_GROUPS])
    part = np.concatenate(
        [np.full(end - start, int(p), dtype=np.uint8) for start, end, p in ICT_GROUPS]
    )
    place = np.full(ICT_VERTICES, -1, dtype=np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    triangles = place[faces]
    triangles = triangles[(triangles >= 0).all(axis=1)]

    def turned(points: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(points[..., kept, :].astype(np.float32) * ICT_TO_CAMERA)

    return HeadModel(
        neutral=turned(neutral),
        identity=turned(identity),
        expression=turned(expression),
        expression_names=names,
        triangles=np.ascontiguousarray(triangles),
        part=part,
        landmarks=place[np.asarray(ICT_LANDMARKS)].astype(np.int64),
    )
