"""`mien table`: tables of faces put together, looked at, and written in other forms."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.options import Overwrite
from mien.cli.terminal import say, show

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.callback()
def _table() -> None:
    """Put the tables of several machines together; inspect and convert tables of faces."""


@app.command()
def merge(
    parts: Annotated[
        list[str],
        typer.Argument(metavar="PART...", help="Tables by mien embed --shard, or their folder."),
    ],
    out: Annotated[
        str,
        typer.Option("--out", "-o", help="The table to write: .parquet, .feather, .csv or .jsonl."),
    ],
    partial: Annotated[
        bool, typer.Option("--partial", help="Merge what is there though shards are missing.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Put the tables of all shards together: the table that one machine would have written.

    Refused, with the file's name, are shards of other inputs, options or weights, shards given
    twice, missing, unfinished or damaged.
    """
    from mien.table.merge import merge_shards

    done = merge_shards(parts, out, partial=partial, overwrite=overwrite)
    text = f"{out}: {done.rows:,} rows of {done.shards:,} shards"
    if done.missing:
        text += f"; {len(done.missing):,} shards are missing"
    if done.changed:
        text += f"; rows had been taken out of {len(done.changed):,} of them"
    say(text)


@app.command()
def info(
    table: Annotated[str, typer.Argument(metavar="FILE", help="A .parquet or .feather table.")],
) -> None:
    """Say what a table holds and what made it, reading all of it: a damaged one is refused."""
    from mien.table.about import about_table

    show(*about_table(table).lines())


@app.command()
def convert(
    table: Annotated[str, typer.Argument(metavar="IN", help="A .parquet or .feather table.")],
    out: Annotated[
        str, typer.Argument(metavar="OUT", help="Its new form: .parquet, .feather, .csv, .jsonl.")
    ],
    schema: Annotated[
        str,
        typer.Option(help="mien; openface, pyfeat: what those programs know, by their names."),
    ] = "mien",
    overwrite: Overwrite = False,
) -> None:
    """Write a table in the form that the name of OUT asks for."""
    from mien.table.formats import convert_table

    rows = convert_table(table, out, overwrite=overwrite, schema=schema)
    say(f"{out}: {rows:,} rows")
