"""`mien doctor`: check this installation."""

from __future__ import annotations

import typer

from mien.cli.terminal import printable

__all__ = ["doctor"]

_MARKS = {"ok": "[green]ok[/]", "note": "[dim]-[/]", "broken": "[bold red]broken[/]"}


def doctor() -> None:
    """Check versions, devices, detectors, kernels and weights; exit code 1 if one is broken."""
    from rich.console import Console
    from rich.markup import escape

    from mien.doctor import examine

    console = Console(soft_wrap=True, highlight=False)
    broken = 0
    for check in examine():
        broken += check.state == "broken"
        console.print(
            f"{_MARKS[check.state]:>20}  {check.name:24} {escape(printable(check.detail))}"
        )
    if broken:
        console.print(f"{broken} broken")
        raise typer.Exit(1)
    console.print("all is well")
