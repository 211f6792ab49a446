"""`mien forget`: take people out of a table of faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.terminal import say
from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["forget"]


def forget(
    table: Annotated[Path, typer.Argument(help="A table that mien embed wrote.")],
    path: Annotated[
        list[str] | None,
        typer.Option(help="File as in the column path; *, ? and [...] match; may be repeated."),
    ] = None,
    track: Annotated[
        int | None, typer.Option(min=0, help="Only this track_id of the files.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the rest here.")] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the table by the rest.")
    ] = False,
) -> None:
    """Take all rows of some files, or of one track in them, out of a table.

    Copies of the table, the images themselves, and models trained on them are not touched.
    """
    if not path:
        raise MienError("nothing to forget is named; give --path, once or more often")
    if (out is None) != in_place:
        raise MienError("give either --out FILE or --in-place")
    from mien.embedding.job import JobFolder
    from mien.table.forget import forget_rows

    unfinished = JobFolder(table)
    if unfinished.is_begun():
        raise MienError(
            f"{unfinished.path} still holds rows of an unfinished run: finish it with mien embed "
            "--resume, or delete that folder"
        )
    done = forget_rows(table, out or table, paths=path, track=track, overwrite=in_place)
    say(f"{done.removed:,} rows taken out, {done.kept:,} left: {to_text(out or table)}")
