"""Collections of faces in a folder: one file each, written whole, from which people can be deleted.

    FOLDER/NAME/faces.safetensors    codes [N, D]; in its head who and what each row is
    FOLDER/NAME/images/FACE_ID       the images, where the collection is told to keep them

Only one service at a time may have a folder open.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.names import to_text

__all__ = [
    "Collection",
    "FaceStore",
    "FolderStore",
    "FullError",
    "Gone",
    "MissingError",
    "StoredFace",
    "TakenError",
]

Codes = NDArray[np.float32]

_FORMAT = "mien collection 1"
_FILE = "faces.safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class MissingError(MienError):
    """There is no such collection, person or face."""


class TakenError(MienError):
    """A collection of this name is there already."""


class FullError(MienError):
    """There is no room for another."""


@dataclass(frozen=True)
class StoredFace:
    """One row of a collection."""

    face_id: str
    person: str
    added: str
    """UTC, ISO 8601."""
    image: bool
    """Whether its image is kept."""


@dataclass(frozen=True, eq=False)
class Collection:
    """What a collection holds."""

    name: str
    weights_id: str
    code: str
    """Which code: face_embedding or identity."""
    keep_images: bool
    created: str
    """UTC, ISO 8601."""
    faces: tuple[StoredFace, ...] = ()
    """In the order in which they were added."""
    codes: Codes = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """[N, D]."""

    @property
    def people(self) -> dict[str, int]:
        """Return how many faces each person has, by name in order."""
        counts: dict[str, int] = {}
        for face in self.faces:
            counts[face.person] = counts.get(face.person, 0) + 1
        return dict(sorted(counts.items()))


@dataclass(frozen=True)
class Gone:
    """What was deleted, and how it was looked for afterwards."""

    faces: int
    people: int
    files_searched: int
    """Files of the collection that were read to the end afterwards."""
    bytes_searched: int
    """Of these: neither the deleted names and numbers nor a deleted code stand in them."""


class FaceStore(Protocol):
    """What the service asks of whatever holds its collections; safe to use from threads."""

    def create(self, name: str, *, weights_id: str, code: str, keep_images: bool) -> Collection:
        """Make an empty collection; raises TakenError, FullError."""
        ...

    def names(self) -> list[str]:
        """Return the names of all collections in order."""
        ...

    def get(self, name: str) -> Collection:
        """Return a collection; raises MissingError."""
        ...

    def add(self, name: str, person: str, code: Codes, image: bytes | None) -> StoredFace:
        """Add a face, code [D]; raises MissingError, FullError."""
        ...

    def image(self, name: str, face_id: str) -> bytes:
        """Return the image of a face; raises MissingError."""
        ...

    def delete_face(self, name: str, face_id: str) -> Gone:
        """Delete a face; raises MissingError."""
        ...

    def delete_person(self, name: str, person: str) -> Gone:
        """Delete all faces of a person; raises MissingError."""
        ...

    def delete(self, name: str) -> Gone:
        """Delete a collection; raises MissingError."""
        ...

    def close(self) -> None:
        """Let others open it."""
        ...


class FolderStore:
    """Collections as files of a folder; what was read is held in memory."""

    def __init__(
        self, folder: Path, *, max_collections: int = 1000, max_faces: int = 100_000
    ) -> None:
        """Open a folder, which is made if need be.

        Args:
            folder: where the collections are.
            max_collections: that it may hold.
            max_faces: that one collection may hold.

        Raises:
            MienError: it cannot be made or another service has it open.
        """
        self._folder = folder
        self._max_collections, self._max_faces = max_collections, max_faces
        self._lock = threading.RLock()
        self._read: dict[str, Collection] = {}
        shown = to_text(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._held = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise MienError(f"cannot keep collections in {shown}: {reason}") from error
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._held)
            raise MienError(f"another service has {shown} open; stop it first") from error
        for rest in folder.glob(".*.deleted"):  # a deletion was interrupted: it is finished
            shutil.rmtree(rest)

    def create(self, name: str, *, weights_id: str, code: str, keep_images: bool) -> Collection:
        """See `FaceStore`."""
        with self._lock:
            names = self.names()
            if name in names:
                raise TakenError(f"there is a collection {name} already")
            if len(names) >= self._max_collections:
                raise FullError(f"there are {len(names)} collections; delete one first")
            made = Collection(name, weights_id, code, keep_images, _now())
            self._path(name).parent.mkdir(mode=0o700)
            self._write(made)
            return made

    def names(self) -> list[str]:
        """See `FaceStore`."""
        with self._lock:
            return sorted(path.parent.name for path in self._folder.glob(f"*/{_FILE}"))

    def get(self, name: str) -> Collection:
        """See `FaceStore`."""
        with self._lock:
            if name not in self._read:
                path = self._path(name)
                if not path.is_file():
                    raise MissingError(f"there is no collection {name}")
                self._read[name] = _load(path)
            return self._read[name]

    def add(self, name: str, person: str, code: Codes, image: bytes | None) -> StoredFace:
        """See `FaceStore`."""
        with self._lock:
            before = self.get(name)
            if len(before.faces) >= self._max_faces:
                raise FullError(f"{name} holds {len(before.faces):,} faces; delete some first")
            kept = image if before.keep_images else None
            face = StoredFace(secrets.token_hex(16), person, _now(), kept is not None)
            row = np.asarray(code, dtype=np.float32)[None]
            codes = np.concatenate([before.codes, row]) if before.faces else row
            if kept is not None:
                self._image(name, face.face_id).parent.mkdir(mode=0o700, exist_ok=True)
                _replace(self._image(name, face.face_id), kept)
            try:
                self._write(replace(before, faces=(*before.faces, face), codes=codes))
            except BaseException:
                self._image(name, face.face_id).unlink(missing_ok=True)
                raise
            return face

    def image(self, name: str, face_id: str) -> bytes:
        """See `FaceStore`."""
        with self._lock:
            found = [face for face in self.get(name).faces if face.face_id == face_id]
            if not found or not found[0].image:
                raise MissingError(f"there is no image of a face {face_id}")
            return self._image(name, face_id).read_bytes()

    def delete_face(self, name: str, face_id: str) -> Gone:
        """See `FaceStore`."""
        with self._lock:
            before = self.get(name)
            rows = [i for i, face in enumerate(before.faces) if face.face_id == face_id]
            if not rows:
                raise MissingError(f"there is no face {face_id} in {name}")
            person = before.faces[rows[0]].person
            return self._remove(before, rows, int(before.people[person] == 1))

    def delete_person(self, name: str, person: str) -> Gone:
        """See `FaceStore`."""
        with self._lock:
            before = self.get(name)
            rows = [i for i, face in enumerate(before.faces) if face.person == person]
            if not rows:
                raise MissingError(f"there is nobody called {person} in {name}")
            return self._remove(before, rows, 1)

    def delete(self, name: str) -> Gone:
        """See `FaceStore`."""
        with self._lock:
            before = self.get(name)
            folder = self._path(name).parent
            away = folder.with_name(f".{secrets.token_hex(8)}.deleted")
            folder.rename(away)  # from here on it is gone, whatever happens
            self._read.pop(name, None)
            shutil.rmtree(away)
            if folder.exists() or away.exists():
                raise RuntimeError(f"the collection {name} is still there")
            return Gone(len(before.faces), len(before.people), 0, 0)

    def close(self) -> None:
        """See `FaceStore`."""
        os.close(self._held)

    def _remove(self, before: Collection, rows: Sequence[int], people: int) -> Gone:
        """Write the collection without some rows, then look for them in all that is left."""
        kept = np.setdiff1d(np.arange(len(before.faces)), rows)
        faces = tuple(before.faces[i] for i in kept)
        self._write(replace(before, faces=faces, codes=before.codes[kept]))
        for row in rows:
            self._image(before.name, before.faces[row].face_id).unlink(missing_ok=True)
        left = {face.person for face in faces}
        traces = {before.faces[row].face_id.encode() for row in rows}
        traces |= {
            f'"person": {json.dumps(before.faces[row].person)}'.encode()
            for row in rows
            if before.faces[row].person not in left
        }
        others = {code.tobytes() for code in before.codes[kept]}  # one image enrolled twice
        traces |= {before.codes[row].tobytes() for row in rows} - others
        files, size = _search(self._path(before.name).parent, traces)
        return Gone(len(rows), people, files, size)

    def _write(self, collection: Collection) -> None:
        head = {k: v for k, v in vars(collection).items() if k not in ("faces", "codes")}
        faces = [asdict(face) for face in collection.faces]
        # Plain text in the file's head, so that what is deleted can be looked for.
        meta = {"format": _FORMAT, "collection": json.dumps(head), "faces": json.dumps(faces)}
        codes = np.ascontiguousarray(collection.codes, dtype=np.float32)
        _replace(self._path(collection.name), save({"codes": codes}, metadata=meta))
        self._read[collection.name] = collection

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise MissingError("there is no collection of such a name")
        return self._folder / name / _FILE

    def _image(self, name: str, face_id: str) -> Path:
        return self._path(name).parent / "images" / face_id


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole, and have it on the disk before its name is given to it."""
    with replacing(path, overwrite=True) as unfinished, unfinished.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _load(path: Path) -> Collection:
    shown = to_text(path)
    try:
        with safe_open(path, framework="np") as file:
            meta = file.metadata() or {}
            codes = file.get_tensor("codes")
        if meta.get("format") != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT!r}")
        faces = tuple(StoredFace(**face) for face in json.loads(meta["faces"]))
        found = Collection(**json.loads(meta["collection"]), faces=faces, codes=codes)
        if codes.ndim != 2 or len(codes) != len(faces) or not np.isfinite(codes).all():
            raise ValueError("its codes do not fit its faces")
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise MienError(f"{shown} is damaged: {error}") from error
    return found


def _search(folder: Path, traces: set[bytes]) -> tuple[int, int]:
    """Read all files of a folder to the end; return how many, and their bytes.

    Raises:
        RuntimeError: a trace of what was deleted is found.
    """
    files = size = 0
    for path in _files(folder):
        content = path.read_bytes()
        files, size = files + 1, size + len(content)
        # Texts stand in the file's head as JSON within JSON.
        plain = content.replace(b'\\"', b'"')
        if any(trace in content or trace in plain for trace in traces):
            raise RuntimeError(f"{path.name} still holds what was deleted")
    return files, size


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                yield path
