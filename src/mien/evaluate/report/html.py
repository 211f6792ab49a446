"""A report as one HTML file that needs nothing else: no script, no link, images and plots inside.

Every text of an result is escaped; images are data: URLs, plots SVG in the page's own colour.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.evaluate.protocol import Failure, Plot, Score, Table
from mien.evaluate.report.plot import plot_svg
from mien.evaluate.report.report import Report, Run, main_scores

__all__ = ["interval_text", "report_html", "score_text"]

LARGEST = 160
"""Longest side of an image in the gallery. Pixels."""
_QUALITY = 88
_SIGNS = {"%": " %", "degrees": "°", "AUC": "", "correlation": ""}

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --faint: #616a75; --line: #d7dbe0;
  --ground: #fdfdfc; --card: #f3f4f2; --bad: #b3261e; --mark: #3b7dd8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e9; --faint: #9aa3ad; --line: #383e45;
  --ground: #15181b; --card: #1e2226; --bad: #ff8a80; --mark: #6fa8f5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.2rem 4rem; max-width: 70rem; color: var(--ink);
  background: var(--ground); font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .2rem; padding-top: .8rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { margin: .3rem 0; }
.faint, caption, figcaption { color: var(--faint); font-size: .87rem; }
.bad { color: var(--bad); white-space: normal; }
a { color: var(--mark); text-decoration: none; }
a:hover { text-decoration: underline; }
code { font-family: ui-monospace, Consolas, monospace; font-size: .9em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .25rem; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { color: var(--faint); font-weight: 500; font-size: .87rem; }
th:first-child, td:first-child, .text { text-align: left; }
tr.main td { font-weight: 600; }
.side { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: .5rem 0; }
.plot { flex: 1 1 24rem; max-width: 34rem; background: var(--card); border-radius: 8px;
  padding: .8rem; }
.plot svg { width: 100%; height: auto; display: block; }
.case { background: var(--card); border-radius: 8px; padding: .5rem; max-width: 24rem; }
.case img { max-width: 10rem; height: 7.5rem; object-fit: contain; border-radius: 4px; }
.case figcaption { max-width: 20rem; }
"""


def report_html(report: Report) -> str:
    """Return the report as an HTML document."""
    places = [f"run-{number}" for number in range(len(report.runs))]
    runs = list(zip(places, report.runs, strict=True))
    made = (
        f"mien {report.version}, weights {report.weights or 'never saved'}, factors from "
        f"{report.factors_from}; {report.date}, seed {report.seed}, {report.draws} draws"
    )
    parts = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>mien eval, {_text(report.date)}</title><style>{_STYLE}</style></head><body>",
        "<header><h1>What the factors are worth</h1>",
        f'<p class="faint">{_text(made)}</p>',
        '<p class="faint">Intervals are of 95 %. Bold: the scores that a data set is known for. '
        "&uarr; more is better, &darr; less is.</p></header>",
        _summary(runs),
        *(_section(place, run) for place, run in runs),
        "</body></html>\n",
    )
    return "\n".join(parts)


def score_text(score: Score) -> str:
    """Return a score's value with its unit, as "81.2 %"."""
    return _number(score.value) + _SIGNS.get(score.unit, f" {score.unit}" if score.unit else "")


def interval_text(score: Score) -> str:
    """Return the ends of a score's interval, as "80.1 to 82.3"; "" where there is none."""
    if score.low is None or score.high is None:
        return ""
    return f"{_number(score.low)} to {_number(score.high)}"


def _summary(runs: Sequence[tuple[str, Run]]) -> str:
    rows = []
    for place, run in runs:
        link = f'<a href="#{place}">{_text(run.protocol.name)}</a>'
        about = [link, _text(run.protocol.factor), _text(run.folder)]
        if run.result is None:
            rows.append([*about, f'<span class="bad">{_text(run.error)}</span>', "", "", ""])
            continue
        for score in main_scores(run.result):
            rows.append([*about, *_score_cells(score)])
            about = ["", "", ""]
    head = ("protocol", "factor", "data", "score", "value", "95 % interval", "n")
    return _html_table("", head, rows, texts=4)


def _section(place: str, run: Run) -> str:
    protocol, result = run.protocol, run.result
    parts = [
        f'<section id="{place}"><h2>{_text(protocol.name)}: {_text(protocol.title)}</h2>',
    ]
    if result is None:
        parts.append(f'<p class="bad">{_text(run.error)}</p>')
        parts.append(f'<p class="faint">Wanted: {_text(protocol.layout)}</p>')
        parts.append(f'<p class="faint">Given out by: {_text(protocol.source)}</p></section>')
        return "\n".join(parts)
    about = f"{_text(run.folder)}, labels <code>{_text(result.data)}</code>, {run.seconds:.0f} s"
    parts.append(f'<p class="faint">{about}</p>')
    parts.extend(f"<p>{_text(note)}</p>" for note in result.notes)
    parts.append(_score_table(result.scores))
    parts.extend(_table(table) for table in result.tables)
    if result.plots:
        parts.append(f'<div class="side">{"".join(_plot(plot) for plot in result.plots)}</div>')
    if result.failures:
        parts.append("<h3>The worst cases</h3>")
        parts.append(f'<div class="side">{"".join(map(_case, result.failures))}</div>')
    parts.append("</section>")
    return "\n".join(parts)


def _score_table(scores: Sequence[Score]) -> str:
    rows = [_score_cells(score) for score in scores]
    marked = [score.main for score in scores]
    return _html_table("", ("score", "value", "95 % interval", "n"), rows, marked=marked)


def _score_cells(score: Score) -> list[str]:
    arrow = "&uarr;" if score.higher_is_better else "&darr;"
    return [
        f"{_text(score.name)} {arrow}",
        _text(score_text(score)),
        _text(interval_text(score)),
        f"{score.count:,}",
    ]


def _table(table: Table) -> str:
    rows = [[_text(_cell(cell)) for cell in row] for row in table.rows]
    return _html_table(table.title, table.columns, rows)


def _plot(plot: Plot) -> str:
    return (
        f'<figure class="plot"><figcaption>{_text(plot.title)}</figcaption>'
        f"{plot_svg(plot)}</figure>"
    )


def _case(failure: Failure) -> str:
    images = "".join(f'<img alt="" src="{_data_url(image)}"> ' for image in failure.images)
    return (
        f'<figure class="case">{images}<figcaption>{_text(failure.caption)}</figcaption></figure>'
    )


def _data_url(image: NDArray[np.uint8]) -> str:
    """Return an image, RGB [H, W, 3], as a URL that holds it."""
    reduced = Image.fromarray(np.ascontiguousarray(image))
    reduced.thumbnail((LARGEST, LARGEST))
    data = io.BytesIO()
    reduced.save(data, format="JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _html_table(
    title: str,
    head: Iterable[str],
    rows: Iterable[Sequence[str]],
    *,
    texts: int = 1,
    marked: Sequence[bool] = (),
) -> str:
    """Return a table of cells that are HTML already.

    Args:
        title: stands above it.
        head: names of the columns, plain text.
        rows: cells.
        texts: so many columns at the left hold text and not numbers.
        marked: which rows are emphasised; none if not given.
    """
    kinds = [' class="text"' if number < texts else "" for number in range(64)]
    lines = ['<div class="wide"><table>']
    if title:
        lines.append(f"<caption>{_text(title)}</caption>")
    names = "".join(
        f"<th{kind}>{_text(name)}</th>" for kind, name in zip(kinds, head, strict=False)
    )
    lines.append(f"<thead><tr>{names}</tr></thead><tbody>")
    for number, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds, row, strict=False))
        main = ' class="main"' if number < len(marked) and marked[number] else ""
        lines.append(f"<tr{main}>{cells}</tr>")
    lines.append("</tbody></table></div>")
    return "\n".join(lines)


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


def _text(value: str) -> str:
    return html.escape(value)
