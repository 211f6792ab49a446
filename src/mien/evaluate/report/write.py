"""The files of a report: report.json, report.html and scores.csv."""

from __future__ import annotations

from pathlib import Path

from mien.errors import MienError
from mien.evaluate.report.html import report_html
from mien.evaluate.report.report import Report, report_json, scores_csv
from mien.media.atomic import replacing
from mien.media.names import to_text

__all__ = ["FILES", "refuse_report", "write_report"]

FILES = ("report.json", "report.html", "scores.csv")


def refuse_report(folder: Path, *, overwrite: bool) -> None:
    """Refuse what would destroy a report that the user did not give up.

    Raises:
        MienError: `folder` is a file, or holds a report, without leave to overwrite.
    """
    if folder.exists() and not folder.is_dir():
        raise MienError(f"{to_text(folder)} is a file; name a folder for the report")
    there = [name for name in FILES if (folder / name).exists()]
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MienError(f"cannot make {to_text(folder)}: {error.strerror}") from error
    paths = tuple(folder / name for name in FILES)
    for path, text in zip(paths, texts, strict=True):
        with replacing(path, overwrite=overwrite) as unfinished:
            unfinished.write_text(text, encoding="utf-8", newline="\n")
    return paths
