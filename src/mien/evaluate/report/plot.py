"""Plots of a report as SVG that takes the page's text colour, so that it is seen on any ground."""

from __future__ import annotations

import io
import math
import re
from itertools import cycle
from typing import TYPE_CHECKING, Any

from mien.evaluate.protocol import Plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLOURS", "plot_svg"]

COLOURS = ("#3b7dd8", "#d9822b", "#3aa06b", "#c2488f", "#8a6fd1", "#8c8c3c", "#2fa3b5", "#b5533c")
"""Of the lines; told apart on white and on black, and from one another by most eyes."""
_STYLES = ("-", "--", ":", "-.")
# No line has this colour; the page's own text colour is put in its place.
_INK = "#010203"
_MOST_MARKS = 8
_SIZE = (5.6, 3.4)
_TAG = re.compile(r"<svg[^>]*>")
_WIDTH = re.compile(r' (?:width|height)="[^"]*"')


def plot_svg(plot: Plot) -> str:
    """Return a plot as one `<svg>` element; the same for the same plot.

    Points that are not finite are left out, as are those at or below 0 on a logarithmic axis.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": plot.title,
        "text.parse_math": False,  # names may hold a dollar sign
        "font.family": "sans-serif",
        "font.size": 9,
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "grid.color": _INK,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        styles = cycle(_STYLES)
        for number, (name, (x, y)) in enumerate(plot.lines.items()):
            points = [
                (float(a), float(b))
                for a, b in zip(x, y, strict=True)
                if math.isfinite(a) and math.isfinite(b) and (a > 0 or not plot.log_x)
            ]
            style = next(styles) if number >= len(COLOURS) else "-"
            mark = "o" if len(points) <= 24 else ""
            axes.plot(
                *(zip(*points, strict=True) if points else ([], [])),
                color=COLOURS[number % len(COLOURS)],
                linestyle=style,
                marker=mark,
                markersize=3.5,
                label=name,
            )
        if plot.log_x:
            _log_axis(axes, {float(value) for x, _ in plot.lines.values() for value in x})
        axes.set_xlabel(plot.x_label)
        axes.set_ylabel(plot.y_label)
        axes.grid(alpha=0.15)
        axes.spines[["top", "right"]].set_visible(False)
        if plot.lines:
            axes.legend(frameon=False, fontsize=8)
        text = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return _inlined(text.getvalue())


def _log_axis(axes: Axes, values: set[float]) -> None:
    """Make x logarithmic; few values get a mark each."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    shown = sorted(value for value in values if value > 0 and math.isfinite(value))
    if 0 < len(shown) <= _MOST_MARKS:
        axes.xaxis.set_major_locator(FixedLocator(shown))
        axes.xaxis.set_minor_locator(NullLocator())


def _inlined(document: str) -> str:
    """Return the `<svg>` element of a document, in the page's colour and of no fixed size."""
    element = document[document.index("<svg") :].replace(_INK, "currentColor")
    tag = _TAG.search(element)
    if tag is None:
        raise ValueError("there is no <svg> element")
    return element.replace(tag[0], _WIDTH.sub("", tag[0]), 1).strip()
