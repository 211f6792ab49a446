"""Run protocols: one on a data set, or all that a folder has data for; write the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import data_places
from mien.evaluate.datasets.tree import open_tree
from mien.evaluate.protocol import (
    MIRRORED,
    EvalContext,
    FactorColumns,
    GetFactors,
    Images,
    Protocol,
    Result,
)
from mien.evaluate.report.html import report_html
from mien.evaluate.report.report import Report, Run, report_json, scores_csv
from mien.media.faults import fault
from mien.media.folder import made_folder
from mien.media.names import to_text
from mien.media.outputs import written_together

__all__ = [
    "find_data_sets",
    "not_understood",
    "refuse_report",
    "run_all",
    "run_protocol",
    "write_report",
]

_BLANK = (64, 128, 3)  # stands for an image that cannot be read; wide enough for an eye-region crop
_NAMED, _LOOKED_AT, _REASONS = 5, 200, 3
REPORT_FILES = ("report.json", "report.html", "scores.csv")


def run_protocol(
    protocol: Protocol, data: Path, context: EvalContext, *, root: Path | None = None
) -> Run:
    """Run one protocol.

    An image that cannot be read counts as one without a face; the result's notes give the number.

    Args:
        protocol: what is to be run.
        data: the data set's folder or zip.
        context: with what.
        root: the data set is called by its path below this folder; by its own name if not given.

    Raises:
        MienError: the data are not there or not as they should be; or the protocol renders faces
            and there is no model.
    """
    if not data.exists():
        raise MienError(
            f"{to_text(data)} does not exist; {protocol.name} wants {protocol.layout}; "
            f"given out by {protocol.source}"
        )
    if protocol.renders:
        context.rendering_model(protocol.name)
    start = time.perf_counter()
    describe = _Describe(context.describe)
    result = protocol.run(data, replace(context, describe=describe))
    if describe.damaged:
        note = (
            f"{len(describe.damaged)} images cannot be read and count as images without a face, "
            f"first {min(describe.damaged)}"
        )
        result = replace(result, notes=(*result.notes, note))
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
        found: which on what, as `find_data_sets` finds it.
        context: with what.
        root: data sets are called by their paths below this folder.
        on_run: called with each as soon as it is done.

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
            line = _one_line(error, data, root)
            run = Run(protocol, _name(data, root), time.perf_counter() - start, error=line)
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
        seen: set[Path] = set()
        for data in data_places(root):
            place = root / data.relative_to(root).parts[0]
            if place not in seen and protocol.matches(data):
                found.append((protocol, data))
                seen.add(place)
    if not found:
        reasons = "; ".join(not_understood(root, (), protocols)[:_REASONS])
        raise MienError(
            f"nothing in {to_text(root)} is a data set that is known; each has a folder of its own "
            f"in it (see mien eval --list){reasons and f': {reasons}'}"
        )
    return tuple(found)


def not_understood(
    root: Path, found: Sequence[tuple[Protocol, Path]], protocols: Sequence[Protocol]
) -> tuple[str, ...]:
    """Return a line for each folder and zip that no protocol is run on, and why.

    Args:
        root: holds data sets.
        found: by `find_data_sets`.
        protocols: which were looked for.
    """
    used = {root / data.relative_to(root).parts[0] for _, data in found if data != root}
    places = (place for place in data_places(root) if place.parent == root)
    return tuple(
        f"{to_text(place.name)} is not understood: {_why(place, protocols)}"
        for place in places
        if place not in used
    )


def _why(place: Path, protocols: Sequence[Protocol]) -> str:
    """Return why a folder or zip is no data set that is known."""
    name = _letters(place.stem if place.suffix else place.name)
    near = [p for p in protocols if _letters(p.name) in name or name in _letters(p.name)]
    if near and name:
        best = max(near, key=lambda p: len(p.name))
        wanted = " ".join(best.layout.split())
        return f"it is called as {best.name} is, which wants {wanted}"
    try:
        inside = sorted({name.split("/")[0] for name in _some_names(place)})
    except (MienError, OSError) as error:
        return " ".join(str(error).split())
    holds = ", ".join(map(to_text, inside[:_NAMED])) or "nothing"
    more = " and more" if len(inside) > _NAMED else ""
    return f"it holds {holds}{more}, which are the files of no protocol (see mien eval --list)"


def _some_names(place: Path) -> Iterable[str]:
    if place.is_dir():
        return [path.name for path in islice(place.iterdir(), _LOOKED_AT)]
    return open_tree(place).names[:_LOOKED_AT]


def _letters(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def refuse_report(folder: Path, *, overwrite: bool) -> None:
    """Refuse what would destroy a report that the user did not offer.

    Raises:
        MienError: `folder` is a file, or holds a report, without leave to overwrite.
    """
    if folder.exists() and not folder.is_dir():
        raise MienError(f"{to_text(folder)} is a file; name a folder for the report")
    there = [name for name in REPORT_FILES if (folder / name).exists()]
    if there and not overwrite:
        raise MienError(
            f"{to_text(folder / there[0])} exists: name another folder or give --overwrite"
        )


def write_report(report: Report, folder: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write the report, each file whole or not at all.

    Args:
        report: what is to be written.
        folder: made if it is not there.
        overwrite: whether a report that is there may be replaced.

    Returns:
        The paths of the files.

    Raises:
        MienError: a file exists and may not be replaced, or cannot be written.
    """
    refuse_report(folder, overwrite=overwrite)
    texts = (report_json(report), report_html(report), scores_csv(report))
    paths = tuple(folder / name for name in REPORT_FILES)
    try:
        with made_folder(folder), written_together(paths, overwrite=overwrite) as places:
            for place, text in zip(places, texts, strict=True):
                place.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise MienError(f"cannot make {to_text(folder)}: {fault(error)}") from error
    return paths


@dataclass(frozen=True)
class _Describe:
    """Gets factors although some images cannot be read; those have none."""

    describe: GetFactors
    damaged: set[str] = field(default_factory=set)
    """Names of the images that could not be read."""

    @property
    def columns(self) -> frozenset[str]:
        """Names of the columns that can be had of whole images."""
        return self.describe.columns

    @property
    def reads_pixels(self) -> bool:
        """Whether any image will do."""
        return self.describe.reads_pixels

    def __call__(self, images: Images, columns: Sequence[str], /) -> FactorColumns:
        """Return the named columns of all images."""
        unread: set[int] = set()

        def read(row: int) -> NDArray[np.uint8]:
            try:
                return images.read(row)
            except MienError:
                unread.add(row)
                return np.zeros(_BLANK, dtype=np.uint8)

        described = self.describe(replace(images, read=read), columns)
        if not unread:
            return described
        self.damaged.update(images.names[row].removesuffix(MIRRORED) for row in unread)
        rows = sorted(unread)
        found, detected = described.found.copy(), described.detected.copy()
        found[rows] = detected[rows] = False
        kept = {name: np.array(values) for name, values in described.columns.items()}
        for values in kept.values():
            values[rows] = np.nan
        return FactorColumns(found, detected, kept)


def _name(data: Path, root: Path | None) -> str:
    """Return what a data set is called: no more of its path than tells it from the others."""
    if root is not None and data.is_relative_to(root):
        return to_text(data.relative_to(root).as_posix())
    return to_text(data.resolve().name)


def _check(protocol: Protocol, result: Result) -> None:
    """Refuse a result that a report could not be compared by."""
    names = [score.name for score in result.scores]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{protocol.name} gives no scores, or two of one name")


def _one_line(error: Exception, data: Path, root: Path | None) -> str:
    """Return an error in one line, without the way to the data: a report names no machine."""
    text = " ".join(str(error).split()).replace(to_text(data), _name(data, root))
    return text if isinstance(error, MienError) else f"unforeseen {type(error).__name__}: {text}"
