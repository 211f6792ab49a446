"""Kill changes of an index of faces at random moments (SIGKILL) and see that nothing is lost.

    python tools/kill_search.py --trials 30
    python tools/kill_search.py --trials 30 --faces 20000 --seed 1

In each trial a process builds, adds to, or deletes from an index, and is killed on the way; one
that ends before is no trial. What is there afterwards must be, whole and with a sound checksum, the
state before or the state after; the next process must be able to change it, and then no file of a
killed one may be left. Exit 1 if not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["main"]

_DIM = 64
_PEOPLE = 10


def main(arguments: Sequence[str]) -> int:
    """Run the trials; print a line for each outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    chance = random.Random(given.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _write_table(place / "a.parquet", given.faces, 0)
        _write_table(place / "b.parquet", given.faces // 2, 1)
        works = {"build": _build, "add": _add, "delete": _delete}
        seconds = {name: _time_of(place, work) for name, work in works.items()}
        killed = 0
        while killed < given.trials:
            name = list(works)[killed % len(works)]
            delay = chance.uniform(0, seconds[name])
            outcome = _trial(place, works[name], delay)
            counts[f"{name}: {outcome}"] += 1
            killed += "not killed" not in outcome
            if "LOST" in outcome:
                break
    sys.stdout.write("".join(f"{count:4} {what}\n" for what, count in sorted(counts.items())))
    return int(any("LOST" in what for what in counts))


def _trial(place: Path, work: Callable[[Path], None], delay: float) -> str:
    """Kill one change; return what is there afterwards."""
    from mien.errors import MienError
    from mien.search.index import open_index

    home = _fresh(place)
    index = home / "people.mien"
    before = _state(index)
    process = _start(lambda: work(home))
    time.sleep(delay)
    os.kill(process, signal.SIGKILL)
    killed = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    try:
        after = _state(index)
        _state_after = _fresh(place, "whole")
        work(_state_after)
        if after not in (before, _state(_state_after / "people.mien")):
            return "LOST: another state"
        with open_index(index) as opened:
            opened.delete(person="person 1")
            opened.save()
    except MienError as error:
        return f"LOST: {error}"
    left = sorted(path.name for path in home.iterdir())
    if left != ["a.parquet", "b.parquet", "people.mien"]:
        return f"LOST: {left} are there"
    was = "as before" if after == before else "as after"
    return f"{was}, killed" if killed else "as after, not killed in time"


def _fresh(place: Path, name: str = "home") -> Path:
    """Return a folder with both tables and an index of the first."""
    home = place / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    for table in ("a.parquet", "b.parquet"):
        os.link(place / table, home / table)
    _build(home)
    return home


def _state(index: Path) -> tuple[int, ...]:
    """Return the numbers of the faces of an index, its checksums having been computed."""
    from mien.search.index import open_index

    return tuple(open_index(index).rows.column("row").to_pylist())


def _time_of(place: Path, work: Callable[[Path], None]) -> float:
    """Return the time of a change: the median, for the first is slow."""
    spent = []
    for _ in range(5):
        home = _fresh(place)
        began = time.monotonic()
        os.waitpid(_start(partial(work, home)), 0)
        spent.append(time.monotonic() - began)
    return sorted(spent)[2]


def _build(home: Path) -> None:
    from mien.search.index import build

    tables = [home / "a.parquet"]
    if (home / "people.mien").exists():
        tables.append(home / "b.parquet")
    build(tables, home / "people.mien", code="codes", person_column="who", overwrite=True)


def _add(home: Path) -> None:
    from mien.search.index import open_index

    with open_index(home / "people.mien") as opened:
        opened.add(home / "b.parquet")
        opened.save()


def _delete(home: Path) -> None:
    from mien.search.index import open_index

    with open_index(home / "people.mien") as opened:
        opened.delete(person="person 3")
        opened.save()


def _write_table(path: Path, count: int, seed: int) -> None:
    codes = np.random.default_rng(seed).standard_normal(count * _DIM, dtype=np.float32)
    columns = {
        "path": [f"{path.stem}/{number}.jpg" for number in range(count)],
        "frame": pa.array([0] * count, pa.int64()),
        "face_found": [True] * count,
        "who": [f"person {number % _PEOPLE}" for number in range(count)],
        "codes": pa.FixedSizeListArray.from_arrays(codes, _DIM),
    }
    table = pa.table(columns)
    made_by = {"mien.version": "0", "mien.detector": "none", "mien.model_id": "0" * 12}
    pq.write_table(table.replace_schema_metadata(made_by), path)


def _start(work: Callable[[], None]) -> int:
    """Return the number of a process that does the work: forked, so that nothing is imported."""
    process = os.fork()
    if process:
        return process
    try:
        work()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - a fork must not go on as its parent
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(1)


if __name__ == "__main__":
    import pandas as pd  # noqa: F401 - once, before the forks

    import mien.search.index
    import mien.verification  # noqa: F401

    pa.set_cpu_count(1)
    raise SystemExit(main(sys.argv[1:]))
