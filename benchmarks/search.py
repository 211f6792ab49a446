"""Search among many faces: recall, milliseconds a query, build seconds, memory and file size.

    python -m benchmarks.search --faces 200000
    python -m benchmarks.search --faces 1000000 --dim 128 512

Made-up faces: unit vectors, eight a person about a random centre, in a table as mien embed writes
one. Queries are further faces of such people. Exact is the cosine in float32 of all, by a NumPy
product and a partial sort: on the same machine, between the others. Build and search are processes
of their own, so that their peak memory is theirs: mapped pages of files count in it, too.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

__all__ = ["main"]

_EACH = 8
_GROUP = 4096
_NOISE = 1.0
_TOP = 20
_REST_S = 0.05
"""Before each that is timed side by side: threads of the other wait by spinning for a while."""


def main() -> None:
    """Measure and print the tables; with --measure, do one part and print it as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faces", type=int, default=200_000)
    parser.add_argument("--dim", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=20, help="single queries that are timed")
    parser.add_argument("--folder", type=Path, help="tables are kept in; else a new one, removed")
    parser.add_argument("--tables-alone", action="store_true", help="write them and end")
    parser.add_argument("--measure", nargs=2, metavar=("PART", "DIM"), help="internal")
    given = parser.parse_args()
    if given.measure:
        part, dim = given.measure[0], int(given.measure[1])
        print(json.dumps(_PARTS[part](given, given.folder, dim)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        for dim in given.dim:
            table = folder / f"{given.faces}x{dim}.parquet"
            if not table.exists():
                write_table(table, given.faces, dim)
            if not given.tables_alone:
                show(given.faces, dim, {part: run_alone(part, dim, folder) for part in _PARTS})


def faces(rows: slice, dim: int) -> NDArray[np.float32]:
    """Return the codes of some faces, whole people, the same every time. [N, dim]."""
    rng = np.random.default_rng([rows.start, dim])
    count = (rows.stop - rows.start + _EACH - 1) // _EACH
    centres = rng.standard_normal((count, 1, dim), dtype=np.float32)
    noise = rng.standard_normal((count, _EACH, dim), dtype=np.float32)
    codes = (centres + _NOISE * noise).reshape(-1, dim)[: rows.stop - rows.start]
    return codes / np.linalg.norm(codes, axis=1, keepdims=True)


def write_table(path: Path, count: int, dim: int) -> None:
    """Write a table of faces, a row group at a time."""
    made_by = {"mien.version": "0", "mien.detector": "none", "mien.model_id": "0" * 12}
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), dim)
    schema = pa.schema(
        [
            ("path", pa.string()),
            ("frame", pa.int64()),
            ("face_id", pa.int32()),
            ("face_found", pa.bool_()),
            ("face_embedding", kind),
        ],
        metadata=made_by,
    )
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False) as writer:
        for start in range(0, count, _GROUP):
            stop = min(start + _GROUP, count)
            codes = faces(slice(start, stop), dim)
            paths = [f"album/{i // 1000:04}/{i:07}.jpg" for i in range(start, stop)]
            nought = np.zeros(len(codes), np.int32)
            columns = [
                pa.array(paths),
                pa.array(nought, pa.int64()),
                pa.array(nought),
                pa.array(np.ones(len(codes), bool)),
                pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), type=kind),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def run_alone(part: str, dim: int, folder: Path) -> dict[str, Any]:
    """Measure in a process of its own."""
    options = [*sys.argv[1:], "--folder", str(folder), "--measure", part, str(dim)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.search", *options],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def index_of(given: argparse.Namespace, folder: Path, dim: int) -> Path:
    """Return the index's file."""
    return folder / f"{given.faces}x{dim}.mien"


def peak_mb() -> float:
    """Return the most memory that this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_build(given: argparse.Namespace, folder: Path, dim: int) -> dict[str, Any]:
    """Build the index."""
    import mien.search

    warm = folder / "warm.parquet"
    write_table(warm, 64, dim)
    mien.search.build(warm, folder / "warm.mien", overwrite=True)  # imports, for example
    out = index_of(given, folder, dim)
    began = time.perf_counter()
    index = mien.search.build(out.with_suffix(".parquet"), out, overwrite=True)
    seconds = time.perf_counter() - began
    assert len(index) == given.faces
    return {"seconds": seconds, "peak_mb": peak_mb(), "file_mb": out.stat().st_size / 1e6}


def measure_engine(name: Literal["faiss", "numpy"]) -> Callable[..., dict[str, Any]]:
    """Return what measures one engine."""

    def measure(given: argparse.Namespace, folder: Path, dim: int) -> dict[str, Any]:
        from mien.search.engine import Engine
        from mien.search.file import read_file

        began = time.perf_counter()
        content = read_file(index_of(given, folder, dim))
        opened = time.perf_counter() - began
        engine = Engine(content.codes, name=name)
        asked = queries(given.queries, given.faces, dim)
        began = time.perf_counter()
        engine.nearest(asked[:1], _TOP)
        first = time.perf_counter() - began
        single = times(lambda i: engine.nearest(asked[i : i + 1], _TOP), given)
        began = time.perf_counter()
        positions, _ = engine.nearest(asked, _TOP)
        together = (time.perf_counter() - began) / len(asked) * 1000
        return {
            "open_s": opened,
            "first_s": first,
            **single,
            "together_ms": together,
            "peak_mb": peak_mb(),
            "positions": positions.tolist(),
        }

    return measure


def measure_exact(given: argparse.Namespace, folder: Path, dim: int) -> dict[str, Any]:
    """Measure NumPy's product in float32 side by side with faiss in this process."""
    from mien.search.engine import Engine
    from mien.search.file import read_file

    codes = np.empty((given.faces, dim), np.float32)
    for start in range(0, given.faces, _GROUP):
        stop = min(start + _GROUP, given.faces)
        codes[start:stop] = faces(slice(start, stop), dim)
    asked = queries(given.queries, given.faces, dim)

    def exact(i: int) -> NDArray[np.int64]:
        cosines = codes @ asked[i]
        best = np.argpartition(-cosines, _TOP)[:_TOP]
        return best[np.argsort(-cosines[best], kind="stable")]

    engine = Engine(read_file(index_of(given, folder, dim), verify=False).codes)
    side: list[tuple[float, float]] = []
    for i in range(given.repeat):
        row, spent = i % len(asked), []
        for work in (exact, lambda row: engine.nearest(asked[row : row + 1], _TOP)):
            time.sleep(_REST_S)
            began = time.perf_counter()
            work(row)
            spent.append(time.perf_counter() - began)
        side.append((spent[0], spent[1]))
    ratio = float(np.median([one / other for one, other in side[1:]]))
    positions = [exact(i).tolist() for i in range(len(asked))]
    return {**times(exact, given), "ratio": ratio, "engine": engine.name, "positions": positions}


def queries(count: int, total: int, dim: int) -> NDArray[np.float32]:
    """Return further faces of people who are there. [count, dim]."""
    rng = np.random.default_rng(dim)
    starts = rng.integers(0, (total - 1) // _GROUP + 1, count) * _GROUP
    near = np.stack([faces(slice(s, min(s + _GROUP, total)), dim)[0] for s in starts.tolist()])
    near = near + rng.standard_normal((count, dim), dtype=np.float32) / dim**0.5
    return near / np.linalg.norm(near, axis=1, keepdims=True)


def times(work: Callable[[int], Any], given: argparse.Namespace) -> dict[str, float]:
    """Return the median and the least time of single queries, in milliseconds."""
    spent = []
    for i in range(given.repeat):
        began = time.perf_counter()
        work(i % given.queries)
        spent.append((time.perf_counter() - began) * 1000)
    return {"median_ms": float(np.median(spent)), "least_ms": min(spent)}


def show(count: int, dim: int, found: dict[str, dict[str, Any]]) -> None:
    """Print what was measured of one length."""
    built, exact = found["build"], found["exact"]
    print(f"{count:,} x {dim}")
    print(
        f"  build: {built['seconds']:.1f} s, {built['peak_mb']:,.0f} MB at most, file "
        f"{built['file_mb']:,.0f} MB"
    )
    for name in ("faiss", "numpy"):
        one = found[name]
        hits = zip(one["positions"], exact["positions"], strict=True)
        recall = np.mean([len(set(a) & set(b)) / _TOP for a, b in hits])
        print(
            f"  {name}: {one['median_ms']:.1f} ms a query (least {one['least_ms']:.1f}), "
            f"{one['together_ms']:.1f} ms each of {len(one['positions'])} together, recall@{_TOP} "
            f"{recall:.4f}, opened in {one['open_s']:.2f} s, first query {one['first_s']:.2f} s, "
            f"{one['peak_mb']:,.0f} MB at most"
        )
    print(
        f"  float32 product and sort: {exact['median_ms']:.1f} ms (least {exact['least_ms']:.1f}); "
        f"side by side {exact['ratio']:.1f} times as long as {exact['engine']}",
        flush=True,
    )


_PARTS: dict[str, Callable[[argparse.Namespace, Path, int], dict[str, Any]]] = {
    "build": measure_build,
    "exact": measure_exact,
    "faiss": cast("Any", measure_engine("faiss")),
    "numpy": cast("Any", measure_engine("numpy")),
}


if __name__ == "__main__":
    main()
