"""UMAP in a process of its own, which can be ended at any time: `python -m mien.serve.umap_fit`.

On its standard input come a line of JSON (`rows`, `dim`, `fit`, `seed`) and the vectors, float32;
it writes lines of JSON (`stage`, `done`, `total`), at last `{"stage": "end"}` and the places,
float32 [rows, 2]. It ends when its input is closed: whoever wants the places is gone.

UMAP is fitted to `fit` evenly chosen vectors. Each other one is placed at the weighted mean of the
places of its nearest fitted vectors: more of 15 neighbours in space are neighbours on the plane
then than by UMAP's own `transform`, which takes ten times as long.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import threading
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Say", "main", "place"]

_NEIGHBOURS = 15
_NEAREST = 5
"""Fitted vectors from whose places that of another follows."""
_BATCH = 10_000
_FEW = 5000
"""Up to so many are compared all."""
_CELLS = 16
"""Of about 4 sqrt(n) cells, in which nearest vectors are sought: 1 in 10,000 is missed."""

Floats = NDArray[np.float32]


class Say:
    """Writes how far the work is."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def __call__(self, stage: str, done: int = 0, total: int = 0) -> None:
        line = json.dumps({"stage": stage, "done": done, "total": total})
        self._out.write(line.encode() + b"\n")
        self._out.flush()


class _Epochs:
    """What UMAP takes for a file to draw its progress on; passes it on."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def write(self, text: str) -> None:
        done, _, total = text.strip().partition("/")
        if done.isdigit() and total.isdigit():
            self._say("layout", int(done), int(total))

    def flush(self) -> None:
        """Nothing is kept back."""


def main() -> None:
    """Do what comes on the standard input."""
    given, out = sys.stdin.buffer, sys.stdout.buffer
    asked = json.loads(given.readline())
    size = asked["rows"] * asked["dim"] * 4
    vectors = np.frombuffer(given.read(size), dtype=np.float32).reshape(asked["rows"], asked["dim"])
    threading.Thread(target=_end_with, args=(given.fileno(),), daemon=True).start()
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        places = place(vectors, fit=asked["fit"], seed=asked["seed"], say=Say(out))
    Say(out)("end")
    out.write(places.tobytes())
    out.flush()


def place(vectors: Floats, *, fit: int, seed: int, say: Say) -> Floats:
    """Return places on a plane such that vectors that are near are near there. [N, 2].

    Args:
        vectors: of length one, so that distances go by cosines. [N, D].
        fit: how many UMAP is fitted to, at most.
        seed: of all that is random.
        say: is told how far it is.
    """
    count = len(vectors)
    fitted = np.linspace(0, count - 1, min(fit, count)).round().astype(int)
    sample = np.ascontiguousarray(vectors[fitted])
    neighbours = min(_NEIGHBOURS, len(sample) - 1)
    say("neighbours")
    index = _index(sample)
    layout = _layout(sample, _nearest(index, sample, neighbours, "neighbours", say), seed, say)
    places = np.empty((count, 2), np.float32)
    places[fitted] = layout
    others = np.setdiff1d(np.arange(count), fitted)
    near, far = _nearest(index, vectors[others], min(_NEAREST, neighbours), "placing", say)
    places[others] = (layout[near] * _weights(far)[..., None]).sum(axis=1)
    return places


def _index(sample: Floats) -> Any:
    """Return what finds nearest vectors by faiss: in all of few, of many in the cells about."""
    import faiss

    flat: Any = faiss.IndexFlatL2(sample.shape[1])
    if len(sample) <= _FEW:
        flat.add(sample)
        return flat
    index: Any = faiss.IndexIVFFlat(flat, sample.shape[1], int(4 * len(sample) ** 0.5))
    index.cp.min_points_per_centroid = 1  # it warns of fewer than 39, which do
    index.nprobe = _CELLS
    index.train(sample)
    index.add(sample)
    return index


def _nearest(
    index: Any, vectors: Floats, count: int, stage: str, say: Say
) -> tuple[NDArray[np.int64], Floats]:
    """Return which fitted vectors are nearest, and how far they are. Each [N, K]."""
    near = np.empty((len(vectors), count), np.int64)
    far = np.empty((len(vectors), count), np.float32)
    for start in range(0, len(vectors), _BATCH):
        say(stage, start, len(vectors))
        some = slice(start, start + _BATCH)
        squared, near[some] = index.search(np.ascontiguousarray(vectors[some]), count)
        far[some] = np.sqrt(np.maximum(squared, 0))
    return near, far


def _layout(
    sample: Floats, nearest: tuple[NDArray[np.int64], Floats], seed: int, say: Say
) -> Floats:
    """Return where UMAP places vectors of which the nearest are known. [N, 2]."""
    say("starting")
    progress = {"file": _Epochs(say), "bar_format": "{n}/{total}", "mininterval": 0.5}
    with warnings.catch_warnings():
        # Of what else could be installed, of parts that are not connected, of a seed.
        warnings.simplefilter("ignore")
        made: Any = _umap().UMAP(
            n_neighbors=nearest[0].shape[1],
            random_state=seed,
            n_jobs=1,
            precomputed_knn=nearest,
            verbose=True,
            tqdm_kwds=progress,
        )
        return np.asarray(made.fit_transform(sample), dtype=np.float32)


def _umap() -> Any:
    """Return the package umap, which compiles itself.

    It imports pynndescent, which finds neighbours; here faiss has found them. So that is not
    compiled, which the first time would take longer than all the rest.
    """
    config: Any = importlib.import_module("numba").config
    before = config.DISABLE_JIT
    config.DISABLE_JIT = True
    try:
        importlib.import_module("pynndescent")
    finally:
        config.DISABLE_JIT = before
    return importlib.import_module("umap")


def _weights(far: Floats) -> Floats:
    """Return weights that fall with the distance beyond the nearest, 1 in sum. [N, K] => [N, K]."""
    beyond = far - far[:, :1]
    weights = np.exp(-beyond / np.maximum(beyond.mean(axis=1, keepdims=True), 1e-6))
    return weights / weights.sum(axis=1, keepdims=True)


def _end_with(given: int) -> None:
    """End the process when its input is closed."""
    os.read(given, 1)  # no file object, whose lock Python would want when it ends by itself
    os._exit(1)


if __name__ == "__main__":
    main()
