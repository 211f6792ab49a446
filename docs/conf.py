"""The documentation as a site: `make docs`. The pages are the Markdown files of this folder."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sphinx.ext.napoleon import Config, GoogleDocstring

import mien
from mien.embedding.options import EmbedOptions, help_of

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "mien"
author = copyright = "the mien authors"
version = release = mien.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
# Links to headings, `results.md#speed`, as a code host makes them.
myst_heading_anchors = 4

# Single backticks in docstrings are names and code, as in Markdown.
default_role = "literal"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": True}
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "mien"
html_show_sourcelink = False
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Have docstrings read by `_read`."""
    app.connect("autodoc-process-docstring", _read)


def _read(*event: Any) -> None:
    """Read a docstring as napoleon does, but for attributes.

    There napoleon takes what stands before a colon for the attribute's type.
    """
    app, what, name, thing, options, lines = event
    if what not in ("attribute", "data", "property"):
        lines[:] = GoogleDocstring(lines[:], Config(), app, what, name, thing, options).lines()
    if thing is EmbedOptions:
        for option in dataclasses.fields(EmbedOptions):
            shown = [f":type: {option.type}", f":value: {option.default!r}"]
            lines += [f".. py:attribute:: {option.name}", *(f"   {line}" for line in shown)]
            lines += ["", f"   {help_of(option.name)}", ""]
