"""A report as one HTML page: the template report.html.j2, and the plots and images inside it.

Images are data: URLs; plots are SVG that takes the page's text colour, so that it is seen on any
ground.
"""

from __future__ import annotations

import base64
import io
import math
import re
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MienError
from mien.evaluate.protocol import Plot, Score
from mien.evaluate.report.report import Report, main_scores

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.axes import Axes

__all__ = ["interval_text", "report_html", "score_text"]

MAX_SIDE = 160
"""No side of an image in the gallery is longer. Pixels."""
_QUALITY = 88
_SIGNS = {"%": " %", "degrees": "°", "AUC": "", "correlation": ""}
COLOURS = ("#3b7dd8", "#d9822b", "#3aa06b", "#c2488f", "#8a6fd1", "#8c8c3c", "#2fa3b5", "#b5533c")
"""Of the lines; distinct on white, on black, and from one another for most eyes."""
_STYLES = ("-", "--", ":", "-.")
# No line has this colour; the page's own text colour is put in its place.
_INK = "#010203"
_MAX_TICKS = 8
_SIZE = (5.6, 3.4)
_TAG = re.compile(r"<svg[^>]*>")
_WIDTH = re.compile(r' (?:width|height)="[^"]*"')


def report_html(report: Report) -> str:
    """Return the report as an HTML document. MienError: Jinja2 is not installed."""
    return _template().render(report=report)


def score_text(score: Score) -> str:
    """Return a score's value with its unit, as "81.2 %"."""
    return _number(score.value) + _SIGNS.get(score.unit, f" {score.unit}" if score.unit else "")


def interval_text(score: Score) -> str:
    """Return the ends of a score's interval, as "80.1 to 82.3"; "" where there is none."""
    if score.low is None or score.high is None:
        return ""
    return f"{_number(score.low)} to {_number(score.high)}"


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


@cache
def _template() -> Template:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MienError("the HTML report wants Jinja2: pip install 'mien[eval]'") from error

    environment = Environment(
        loader=PackageLoader("mien.evaluate", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": _cell,
        "data_url": _data_url,
        "interval_text": interval_text,
        "main_scores": main_scores,
        "plot_svg": lambda plot: Markup(plot_svg(plot)),
        "score_text": score_text,
    }
    return environment.get_template("report.html.j2")


def _data_url(image: NDArray[np.uint8]) -> str:
    """Return an image, RGB [H, W, 3], as a URL that holds it."""
    reduced = Image.fromarray(np.ascontiguousarray(image))
    reduced.thumbnail((MAX_SIDE, MAX_SIDE))
    data = io.BytesIO()
    reduced.save(data, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _cell(value: str | float | int | None) -> str:
    """Return what stands in a cell of a table."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return _number(float(value))


def _number(value: float) -> str:
    """Return a number with one to three decimals, the more the smaller it is."""
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    digits = 1 if size >= 100 else 2 if size >= 1 else 3
    return f"{value:.{digits}f}"


def _log_axis(axes: Axes, values: set[float]) -> None:
    """Make x logarithmic; few values get a tick each."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    shown = sorted(value for value in values if value > 0 and math.isfinite(value))
    if 0 < len(shown) <= _MAX_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(shown))
        axes.xaxis.set_minor_locator(NullLocator())


def _inlined(document: str) -> str:
    """Return the `<svg>` element of a document, in the page's colour and of no fixed size."""
    element = document[document.index("<svg") :].replace(_INK, "currentColor")
    tag = _TAG.search(element)
    if tag is None:
        raise ValueError("there is no <svg> element")
    return element.replace(tag[0], _WIDTH.sub("", tag[0]), 1).strip()
