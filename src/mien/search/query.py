"""Ask an index by images or by a table of faces, and make a table of what is found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeGuard

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.columns import FACE_CODES, FACE_EMBEDDING, FEATURES
from mien.errors import MienError
from mien.media.image import check_file
from mien.media.names import to_text
from mien.media.still import ImageLike
from mien.search.faces import read_faces, weights_of
from mien.search.index import Index
from mien.search.made_by import find_weights
from mien.search.results import Box, Hit

__all__ = ["Answer", "hits_table", "is_table", "query_images", "query_table"]


@dataclass(frozen=True)
class Answer:
    """One face that was asked for, and those of the index that are near it."""

    path: str
    """The image, or the face's path in the table."""
    frame: int
    """Number of the frame; 0 of an image."""
    face: int | None
    """Number within the image or frame, from left to right."""
    box: Box | None
    """x1, y1, x2, y2 in pixels."""
    hits: tuple[Hit, ...]
    """Best first."""

    @property
    def name(self) -> str:
        """Return what names the face to a person."""
        frame = f" frame {self.frame}" if self.frame else ""
        where = "" if self.box is None else " box " + " ".join(f"{x:.0f}" for x in self.box)
        return f"{self.path}{frame}{where}"


def is_table(path: str | Path) -> bool:
    """Return whether a file is to be read as a table of faces, not as an image."""
    if Path(path).suffix.lower() == ".parquet":
        return True
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        return file.read(4) == b"PAR1"


def query_images(
    index: Index,
    images: Sequence[ImageLike],
    *,
    top: int = 20,
    weights: str | Path | None = None,
    device: str = "cpu",
    detector: str = "auto",
) -> tuple[Answer, ...]:
    """Return the nearest faces of every face in some images, in the images' order.

    Args:
        index: its code must be a face's: face_embedding, identity and the like.
        images: as `mien.analyze` takes them.
        top: how many for each face.
        weights: those of the index; None: the shipped ones.
        device: cpu, cuda, cuda:N, mps.
        detector: auto, mien, yunet, haar; none: each image is a face cut out from hairline to
            chin.

    Raises:
        MienError: an image cannot be read or shows no face; the weights are not the index's; or as
            `Index.nearest`.
    """
    from mien import weights as weights_folder
    from mien.pipeline.analyze import analyze
    from mien.pipeline.encode import open_encoder

    if index.code not in (*FACE_CODES, FACE_EMBEDDING, FEATURES):
        raise MienError(
            f"{to_text(index.path)} holds {index.code}, which is not read off images here; ask by "
            "a table of mien embed"
        )
    index.check_top(top)
    _check_files(images)
    where = find_weights(index.weights_id, weights)
    if (found_id := weights_folder.weights_id(where)) != index.weights_id:
        raise MienError(
            f"{to_text(index.path)} holds codes of weights {index.weights_id}, not {found_id}; "
            "give those with --weights, or build it again"
        )
    model = open_encoder(where, device=device, gaze=False)
    faces = analyze(images, model=model, detector=detector, features=index.code == FEATURES)
    seen = {face.image for face in faces}
    names = [to_text(i) if _is_path(i) else "" for i in images]
    for number, name in enumerate(names):
        if number not in seen:
            raise MienError(
                f"no face is found in {name or f'image {number}'}; give an image that shows one"
            )
    vectors = np.concatenate([getattr(face.factors.numpy(), index.code) for face in faces])
    answers, numbers = [], dict.fromkeys(range(len(images)), 0)
    for face, hits in zip(faces, index.query(vectors, top=top), strict=True):
        x1, y1, x2, y2 = (float(x) for x in face.box)
        name = names[face.image] or f"image {face.image}"
        answers.append(Answer(name, 0, numbers[face.image], (x1, y1, x2, y2), hits))
        numbers[face.image] += 1
    return tuple(answers)


def _check_files(images: Sequence[ImageLike]) -> None:
    """Refuse files that are none, before the weights are read and spoken of."""
    for image in filter(_is_path, images):
        check_file(image)


def _is_path(image: ImageLike) -> TypeGuard[str | Path]:
    return isinstance(image, (str, Path))


def query_table(index: Index, table: str | Path, *, top: int = 20) -> Iterator[Answer]:
    """Yield the nearest faces of every face in a table, in its order.

    Raises:
        MienError: the table cannot be read, has no face, lacks the index's code or is of other
            weights; or as `Index.nearest`.
    """
    index.check_top(top)
    if (made_by := weights_of(table)) != index.weights_id:
        raise MienError(
            f"{to_text(table)} was made by weights {made_by}, {to_text(index.path)} holds codes of "
            f"{index.weights_id}; embed the images with those"
        )
    some = False
    for faces in read_faces(table, index.code):
        some |= len(faces.vectors) > 0
        if faces.vectors.shape[1] != index.dim:
            raise MienError(
                f"{to_text(table)}: {index.code} has {faces.vectors.shape[1]} numbers, those of "
                f"{to_text(index.path)} have {index.dim}; embed the images again"
            )
        yield from _answers(index, faces.vectors, faces.rows, top)
    if not some:
        raise MienError(f"no face in {to_text(table)} has a {index.code}: nothing to ask for")


def _answers(
    index: Index, vectors: NDArray[np.float32], rows: pa.Table, top: int
) -> Iterator[Answer]:
    if not len(vectors):
        return
    for row, hits in zip(rows.to_pylist(), index.query(vectors, top=top), strict=True):
        corners = [row[name] for name in ("x1", "y1", "x2", "y2")]
        box = None if None in corners else (corners[0], corners[1], corners[2], corners[3])
        yield Answer(row["path"], row["frame"], row["face_id"], box, hits)


_HITS = pa.schema(
    [
        ("query", pa.string()),
        ("query_frame", pa.int64()),
        ("query_face", pa.int64()),
        *((f"query_{name}", pa.float32()) for name in ("x1", "y1", "x2", "y2")),
        ("rank", pa.int32()),
        ("similarity", pa.float32()),
        ("person", pa.string()),
        ("path", pa.string()),
        ("frame", pa.int64()),
        ("face_id", pa.int64()),
        ("track_id", pa.int64()),
        *((name, pa.float32()) for name in ("x1", "y1", "x2", "y2")),
        ("row", pa.int64()),
        ("false_match_rate", pa.float64()),
        ("false_match_chance", pa.float64()),
    ]
)


def hits_table(answers: Iterable[Answer]) -> pa.Table:
    """Return a row for each hit: the face that was asked for, rank, similarity, what was found."""
    lines = []
    for answer in answers:
        asked = {
            "query": answer.path,
            "query_frame": answer.frame,
            "query_face": answer.face,
            **_corners("query_", answer.box),
        }
        for hit in answer.hits:
            lines.append(asked | asdict(hit) | _corners("", hit.box))
    return pa.Table.from_pylist(lines, schema=_HITS)


def _corners(before: str, box: Box | None) -> dict[str, float | None]:
    names = [f"{before}{name}" for name in ("x1", "y1", "x2", "y2")]
    return dict(zip(names, box or (None,) * 4, strict=True))
