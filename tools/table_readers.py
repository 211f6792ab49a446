"""Write a small table of faces with several versions of pyarrow, and read each with many programs.

    python tools/table_readers.py                 # all versions below
    python tools/table_readers.py --pyarrow 15 26 --folder /tmp/readers

Each version gets an environment of its own (kept in --folder, so that a second run is quick), with
pandas, polars, DuckDB and HF datasets of about its time. A cell of the matrix that is printed is
what a program read of the vectors and their validity: ok, or how it differs. Exit 1 if one is not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["ENVIRONMENTS", "READERS", "Unavailable", "environment", "matrix"]

ROOT = Path(__file__).resolve().parents[1]

ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    "15": ("pyarrow==15.0.*", "numpy<2", "pandas==2.2.*", "polars==1.0.0", "duckdb==1.0.0"),
    "17": ("pyarrow==17.0.*", "numpy", "pandas==2.2.*", "polars==1.10.0", "duckdb==1.1.*"),
    "20": ("pyarrow==20.0.*", "numpy", "pandas==2.3.*", "polars==1.30.0", "duckdb==1.3.*"),
    "24": ("pyarrow==24.0.*", "numpy", "pandas", "polars", "duckdb"),
    "25": ("pyarrow==25.0.*", "numpy", "pandas", "polars", "duckdb"),
    "26": ("pyarrow==26.0.*", "numpy", "pandas", "polars", "duckdb"),
}
"""Version of pyarrow => what is installed."""
DATASETS = {"15": "datasets==2.19.*", "17": "datasets==2.21.*", "20": "datasets==3.*"}
"""HF datasets; the newest where none is named. Only with --datasets: it is large."""
READERS = ("pyarrow", "pyarrow batches", "pandas", "pandas pyarrow", "polars", "duckdb")


class Unavailable(Exception):
    """The packages of an environment cannot be had here."""


def environment(folder: Path, version: str, *, datasets: bool = False, others: bool = True) -> Path:
    """Return the Python of an environment, made if it is not there.

    Args:
        folder: of all environments.
        version: of pyarrow.
        datasets: whether HF datasets is in it.
        others: whether there is more than pyarrow, NumPy and pandas.

    Raises:
        Unavailable: the packages cannot be installed here, as without a package index.
    """
    place = folder / f"{version}{'-datasets' * datasets}"
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        venv.create(place, clear=True)
        packages = list(ENVIRONMENTS[version])[: None if others else 3]
        if datasets:
            packages.append(DATASETS.get(version, "datasets"))
        # By the pip that is here, and without compiling all of pandas for two short runs.
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
        command = [*pip, "--quiet", "--no-input", "--no-compile", *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"pyarrow {version}: {done.stderr.strip().splitlines()[-1:]}")
        (place / "complete").touch()
    return python


def matrix(
    pythons: dict[str, Path], folder: Path, programs: Sequence[str] = READERS
) -> dict[tuple[str, str, str], str]:
    """Return what each program made of each table: (writer, reader's pyarrow, program) => "ok".

    Args:
        pythons: version of pyarrow => Python.
        folder: for the tables.
        programs: what reads them.
    """
    found: dict[tuple[str, str, str], str] = {}
    for writer, python in pythons.items():
        table = folder / f"{writer}.parquet"
        _run(python, "write", str(table))
        for reader, other in pythons.items():
            said = json.loads(_run(other, "read", str(table), *programs))
            for program, verdict in said.items():
                found[writer, reader, program] = verdict
    return found


def _run(python: Path, *arguments: str) -> str:
    options = {"PYTHONPATH": str(ROOT / "src"), "HF_HOME": tempfile.gettempdir()}
    done = subprocess.run(
        [str(python), "-W", "ignore", __file__, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | options,
    )
    if done.returncode:
        raise RuntimeError(f"{python} {arguments[0]}: {done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


# What follows runs in the environments: neither torch nor anything but pyarrow is there.

_FOUND = (True, False, True, True, False)
_EYES = (True, False, False, True, False)
_VECTORS = [[float(4 * row + column + 1) for column in range(4)] for row in range(5)]


def _expected() -> dict[str, list[object]]:
    return {
        "path": [f"{row}.png" for row in range(5)],
        "face_found": list(_FOUND),
        "eyes_found": list(_EYES),
        "identity": [v if ok else [0.0] * 4 for v, ok in zip(_VECTORS, _FOUND, strict=True)],
        "gaze_code": [v if ok else [0.0] * 4 for v, ok in zip(_VECTORS, _EYES, strict=True)],
        "yaw_rad": [v[0] if ok else None for v, ok in zip(_VECTORS, _FOUND, strict=True)],
    }


def _write(path: Path) -> None:
    import pyarrow as pa

    from mien.table.schema import TableInfo, arrow_schema
    from mien.table.writer import write_batches

    lengths = dict.fromkeys(("identity", "expression", "texture_code", "shape_code"), 4)
    schema = arrow_schema(TableInfo("0", "0123456789ab", "none"), {**lengths, "gaze_code": 4})
    values = _expected()
    values |= dict.fromkeys(("expression", "texture_code", "shape_code"), values["identity"])
    values["frame"] = [0] * 5
    columns = [pa.array(values.get(field.name, [None] * 5), type=field.type) for field in schema]
    write_batches(path, [pa.RecordBatch.from_arrays(columns, schema=schema)], schema)


def _read(path: str, programs: Sequence[str]) -> dict[str, str]:
    return {program: _verdict(_PROGRAMS[program], path) for program in programs}


def _verdict(read: Callable[[str, str], Sequence[object]], path: str) -> str:
    try:
        for name, expected in _expected().items():
            got = [_plain(value) for value in read(path, name)]
            if got != expected:
                return f"{name}: {got}"
    except Exception as error:  # noqa: BLE001 - what a program says of a table is what is asked
        return f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return "ok"


def _plain(value: object) -> object:
    """Return a number, text, list or None of whatever kind of them a program has."""
    if hasattr(value, "tolist"):
        value = value.tolist()  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    # pandas' NA is neither equal to itself nor not.
    missing = value is None or str(value) in ("<NA>", "nan")
    return None if missing else value


def _by_pyarrow(path: str, name: str) -> Sequence[object]:
    import pyarrow.parquet as pq

    return pq.read_table(path).column(name).to_pylist()


def _by_pyarrow_batches(path: str, name: str) -> Sequence[object]:
    import pyarrow.parquet as pq

    batches = pq.ParquetFile(path).iter_batches(batch_size=2, columns=[name])
    return [value for batch in batches for value in batch.column(name).to_pylist()]


def _by_pandas(path: str, name: str) -> Sequence[object]:
    import pandas as pd

    return pd.read_parquet(path)[name].tolist()


def _by_pandas_pyarrow(path: str, name: str) -> Sequence[object]:
    import pandas as pd

    return pd.read_parquet(path, dtype_backend="pyarrow")[name].tolist()


def _by_polars(path: str, name: str) -> Sequence[object]:
    import polars as pl  # pyright: ignore[reportMissingImports]

    return pl.read_parquet(path)[name].to_list()


def _by_duckdb(path: str, name: str) -> Sequence[object]:
    import duckdb  # pyright: ignore[reportMissingImports]

    return [row[0] for row in duckdb.sql(f"select {name} from '{path}'").fetchall()]


def _by_datasets(path: str, name: str) -> Sequence[object]:
    import datasets  # pyright: ignore[reportMissingImports]

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        return datasets.Dataset.from_parquet(path, cache_dir=cache)[name][:]


_PROGRAMS: dict[str, Callable[[str, str], Sequence[object]]] = {
    "pyarrow": _by_pyarrow,
    "pyarrow batches": _by_pyarrow_batches,
    "pandas": _by_pandas,
    "pandas pyarrow": _by_pandas_pyarrow,
    "polars": _by_polars,
    "duckdb": _by_duckdb,
    "datasets": _by_datasets,
}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main(arguments: Sequence[str]) -> int:
    """Run a part of it in an environment, or all of it."""
    if arguments[:1] == ["write"]:
        _write(Path(arguments[1]))
        return 0
    if arguments[:1] == ["read"]:
        _say(json.dumps(_read(arguments[1], arguments[2:])))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pyarrow", nargs="+", default=list(ENVIRONMENTS), choices=ENVIRONMENTS)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "readers")
    parser.add_argument("--datasets", action="store_true", help="HF datasets too")
    given = parser.parse_args(arguments)
    given.folder.mkdir(parents=True, exist_ok=True)
    pythons = {
        version: environment(given.folder, version, datasets=given.datasets)
        for version in given.pyarrow
    }
    programs = (*READERS, *(["datasets"] if given.datasets else []))
    found = matrix(pythons, given.folder, programs)
    for (writer, reader, program), verdict in found.items():
        _say(f"written by pyarrow {writer}, read by {program} beside pyarrow {reader}: {verdict}")
    wrong = sum(verdict != "ok" for verdict in found.values())
    _say(f"{len(found) - wrong} of {len(found)} are ok")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
