"""Run protocols: one on a data set, or all on whatever data sets stand in a folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mien.errors import MienError
from mien.evaluate.protocol import EvalContext, Protocol, Result
from mien.evaluate.report.report import Run
from mien.media.names import to_text

__all__ = ["find_data_sets", "run_all", "run_protocol"]


def run_protocol(
    protocol: Protocol, data: Path, context: EvalContext, *, root: Path | None = None
) -> Run:
    """Run one protocol.

    Args:
        protocol: what is to be run.
        data: the data set's folder or zip.
        context: with what.
        root: the data set is called by its path below this folder; by its own name if not given.

    Raises:
        MienError: the data are not there or not as they should be; or the protocol draws faces and
            there is no model.
    """
    if not data.exists():
        raise MienError(
            f"{to_text(data)} does not exist; {protocol.name} wants {protocol.layout}; "
            f"given out by {protocol.source}"
        )
    if protocol.draws:
        context.drawing_model(protocol.name)
    start = time.perf_counter()
    result = protocol.run(data, context)
    _check(protocol, result)
    return Run(protocol, _name(data, root), time.perf_counter() - start, result)


def run_all(
    found: Sequence[tuple[Protocol, Path]],
    context: EvalContext,
    *,
    root: Path | None = None,
    on_run: Callable[[Run], None] = lambda _: None,
) -> tuple[Run, ...]:
    """Run protocols one after the other; one that fails does not keep the others from running.

    Args:
        found: which on what, as `find_data_sets` says.
        context: with what.
        root: data sets are called by their paths below this folder.
        on_run: told of each as soon as it is done.

    Returns:
        One run each, in order; those that failed have no result but the error in one line.
    """
    runs = []
    for protocol, data in found:
        context.say(f"{protocol.name}: {to_text(data)}")
        start = time.perf_counter()
        try:
            run = run_protocol(protocol, data, context, root=root)
        except Exception as error:  # noqa: BLE001 - hours of other protocols must not be lost
            told = _told(error, data, root)
            run = Run(protocol, _name(data, root), time.perf_counter() - start, error=told)
        runs.append(run)
        on_run(run)
    return tuple(runs)


def find_data_sets(root: Path, protocols: Sequence[Protocol]) -> tuple[tuple[Protocol, Path], ...]:
    """Return which protocols can be run on what stands in a folder, in the protocols' order.

    Each sub-folder and each zip is a data set; zips inside a sub-folder are looked at where the
    sub-folder itself is not the data set.

    Args:
        root: holds data sets.
        protocols: which are looked for.

    Raises:
        MienError: `root` is no folder, or nothing in it is known.
    """
    if not root.is_dir():
        raise MienError(f"{to_text(root)} is no folder; give --data the folder of the data sets")
    found = []
    for protocol in protocols:
        for place in _places(root):
            for data in (place, *_zips(place)):
                if protocol.matches(data):
                    found.append((protocol, data))
                    break
    if not found:
        raise MienError(
            f"nothing in {to_text(root)} is a data set that is known; each has a folder of its own "
            "in it (see mien eval --list)"
        )
    return tuple(found)


def _places(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if not path.name.startswith(".") and (path.is_dir() or path.suffix.lower() == ".zip"):
            yield path


def _zips(place: Path) -> list[Path]:
    """Return the zips in a sub-folder."""
    if not place.is_dir():
        return []
    try:
        return sorted(path for path in place.iterdir() if path.suffix.lower() == ".zip")
    except OSError:  # a folder that may not be read is no data set
        return []


def _name(data: Path, root: Path | None) -> str:
    """Return what a data set is called: no more of its path than tells it from the others."""
    if root is not None and data.is_relative_to(root):
        return to_text(data.relative_to(root).as_posix())
    return to_text(data.resolve().name)


def _check(protocol: Protocol, result: Result) -> None:
    """Refuse an result that a report could not be compared by."""
    names = [score.name for score in result.scores]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{protocol.name} gives no scores, or two of one name")


def _told(error: Exception, data: Path, root: Path | None) -> str:
    """Return an error in one line, without the way to the data: a report names no machine."""
    text = " ".join(str(error).split()).replace(to_text(data), _name(data, root))
    return text if isinstance(error, MienError) else f"unforeseen {type(error).__name__}: {text}"
