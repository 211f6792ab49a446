"""Break the sources in one place at a time and tell which tests notice.

The places are listed in mutations.toml beside this file: what each is called, the file under
src/mien, a snippet that occurs there exactly once, what it is replaced by, and the tests that
should fail then. Everything happens in a temporary copy; the working tree is only read.

Run: python tools/mutate.py [--only NAME ...] [--jobs N] [--check]
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("mutations.toml")
COPIED = ("benchmarks", "src", "tests", "pyproject.toml")
MIN_NOTICED = 61
TIMEOUT_S = 600.0
LIBRARIES = ("torch", "numba", "cv2", "pandas", "pyarrow.parquet", "sklearn.linear_model")
FAILED = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Mutation:
    """One place to break."""

    name: str
    file: str
    """Relative to src/mien."""
    old: str
    """Occurs exactly once in the file."""
    new: str
    tests: tuple[str, ...] = ("tests",)
    """Files or node ids, relative to the root."""

    def applied(self, root: Path) -> str:
        """Return the changed text of the file.

        Raises:
            ValueError: the file is missing, or the snippet does not occur exactly once.
        """
        path = root / "src" / "mien" / self.file
        if not path.is_file():
            raise ValueError(f"{self.name}: no file src/mien/{self.file}")
        text = path.read_text(encoding="utf-8")
        count = text.count(self.old)
        if count != 1:
            where = f"found {count} times in {self.file}, not once"
            raise ValueError(f"{self.name}: {where}: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Verdict:
    """What became of one mutation."""

    mutation: Mutation
    test: str | None
    """The first test that failed; None where none did."""
    reason: str = ""
    """Why none did."""


@dataclass(frozen=True)
class Finished:
    """What a run of the tests said."""

    code: int | None
    """pytest's exit status; None: it took too long."""
    output: str


def read_table(path: Path, only: list[str]) -> list[Mutation]:
    """Return the mutations of a table, all or the named ones.

    Raises:
        ValueError: a name is there twice or not at all, or a mutation changes nothing.
    """
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["mutation"]
    table = [Mutation(**row | {"tests": tuple(row.get("tests", ["tests"]))}) for row in rows]
    names = [mutation.name for mutation in table]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"listed twice: {', '.join(twice)}")
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise ValueError(f"no mutation is called {', '.join(unknown)}")
    same = [mutation.name for mutation in table if mutation.old == mutation.new]
    if same:
        raise ValueError(f"nothing changes: {', '.join(same)}")
    return [mutation for mutation in table if not only or mutation.name in only]


def mistakes(table: list[Mutation], root: Path) -> list[str]:
    """Return a line for each mutation that no longer fits the sources or names a missing test."""
    found = []
    for mutation in table:
        try:
            mutation.applied(root)
        except ValueError as error:
            found.append(str(error))
        files = {test.partition("::")[0] for test in mutation.tests}
        found += [f"{mutation.name}: no test {f}" for f in sorted(files) if not (root / f).exists()]
    return found


def copy_tree(target: Path) -> Path:
    """Copy what the tests need, without caches of compiled code, and return the copy's root."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    return target


def preload() -> None:
    """Import the slow libraries once: the tests run in children that have them already."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in LIBRARIES:
        importlib.import_module(name)


def run_tests(copy: Path, tests: Sequence[str], *, all_of_them: bool = False) -> Finished:
    """Run tests of a copy, until the first fails or all, in a child of this process."""
    heard = copy / "output.txt"
    arguments = ["-q", "-p", "no:cacheprovider", *([] if all_of_them else ["-x"]), *tests]
    child = multiprocessing.get_context("fork").Process(target=_test, args=(copy, arguments, heard))
    child.start()
    child.join(TIMEOUT_S)
    if child.exitcode is None:
        child.kill()
        child.join()
        return Finished(None, "")
    return Finished(child.exitcode, heard.read_text(encoding="utf-8", errors="replace"))


def _test(copy: Path, arguments: list[str], heard: Path) -> None:
    with heard.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy / "src")  # of the programs that tests start
    sys.path.insert(0, str(copy / "src"))
    sys.exit(pytest.main(arguments))


def attempt(mutation: Mutation, copy: Path) -> Verdict:
    """Break a copy, run the tests, and mend it."""
    path = copy / "src" / "mien" / mutation.file
    pristine = path.read_bytes()
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_text(mutation.applied(copy), encoding="utf-8")
    try:
        done = run_tests(copy, mutation.tests)
    finally:
        path.write_bytes(pristine)
        os.utime(path, ns=times)  # compiled code is known by the time of its source
    if done.code is None:
        return Verdict(mutation, None, f"no answer within {TIMEOUT_S:.0f} s")
    if done.code == 0:
        return Verdict(mutation, None, "all pass")
    failed = FAILED.search(done.output)
    if failed is None:
        return Verdict(mutation, None, f"no test failed: {done.output.strip()[-200:]}")
    return Verdict(mutation, failed[1])


def attempt_all(table: list[Mutation], jobs: int) -> int:
    """Try every mutation, `jobs` at a time; print a line for each and return how many count."""
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        context = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(jobs, mp_context=context) as pool:
            for verdict in pool.map(_work, table, [Path(folder)] * len(table)):
                said = f"noticed by {verdict.test}" if verdict.test else "NOT NOTICED"
                say(f"{verdict.mutation.name}: {said}{verdict.reason and f' ({verdict.reason})'}")
                verdicts.append(verdict)
        # A test that fails on what is right, too, has noticed nothing.
        tests = {verdict.test for verdict in verdicts if verdict.test}
        done = run_tests(copy_tree(Path(folder) / "right"), sorted(tests), all_of_them=True)
        broken = set(FAILED.findall(done.output)) if done.code == 1 else set()
    if tests and done.code not in (0, 1):
        say(f"the tests could not be run on the right sources: {done.output.strip()[-200:]}")
        return 0
    for verdict in verdicts:
        if verdict.test in broken:
            say(f"{verdict.mutation.name}: NOT NOTICED ({verdict.test} fails without it, too)")
    return sum(bool(verdict.test) and verdict.test not in broken for verdict in verdicts)


def _work(mutation: Mutation, folder: Path) -> Verdict:
    copy = folder / str(os.getpid())
    return attempt(mutation, copy if copy.is_dir() else copy_tree(copy))


def say(line: str) -> None:
    """Write a line at once: a run takes many minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Return 0 where enough mutations are noticed, 1 where not, 2 where the table is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these alone")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at a time")
    parser.add_argument("--check", action="store_true", help="check the table, run nothing")
    given = parser.parse_args()
    try:
        table = read_table(TABLE, given.only)
    except (ValueError, TypeError, KeyError) as error:
        say(f"{TABLE.name}: {error}")
        return 2
    wrong = mistakes(table, ROOT)
    if wrong:
        say("\n".join(wrong))
        return 2
    if given.check:
        say(f"{len(table)} mutations fit the sources")
        return 0
    preload()
    noticed = attempt_all(table, max(1, given.jobs))
    say(f"{noticed} of {len(table)} are noticed")
    return 0 if noticed >= min(MIN_NOTICED, len(table)) else 1


if __name__ == "__main__":
    sys.exit(main())
