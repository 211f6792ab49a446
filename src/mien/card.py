"""The model card: what a model was trained on, what it is worth, where it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Card", "card_text"]

_UNSTATED = "not stated"


@dataclass(frozen=True)
class Card:
    """What a reader must know before using a model; what is left out is printed as unstated."""

    name: str = "mien model"
    """Title."""
    licence: str = _UNSTATED
    """Licence of the weights: whoever trained them decides."""
    data: Sequence[str] = ()
    """One line per source: name, number of pictures, licence, consent basis."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Measure -> value, on data not trained on."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """Group of people -> error; the gaps between groups."""
    limits: Sequence[str] = ()
    """Known failures."""
    config: Mapping[str, object] = field(default_factory=dict)
    """The model's options."""


def card_text(card: Card) -> str:
    """Return the card as Markdown with the front matter that model hubs read."""
    licence = "other" if card.licence == _UNSTATED else card.licence
    parts = [
        "---",
        f"license: {licence.lower()}",
        "library_name: mien",
        "pipeline_tag: image-feature-extraction",
        "---",
        f"# {card.name}",
        "",
        "A model for `mien`: face crop to identity, expression, texture, shape, pose and light, "
        "and back to a picture (LatentFace); with a `gaze` entry in its configuration also to a "
        "gaze code (EM-IB). No labels were used in training but where rendered eyes are.",
        "",
        *_list("Training data and consent", card.data),
        *_table("Results on data not trained on", card.results),
        *_table("Error by group of people", card.groups),
        *_list("Known failures", card.limits),
        "## Conventions",
        "Square RGB crops in [0, 1], at best 224 px where there is a gaze branch. Camera frame: "
        "x right, y down, z away. Pitch + looks up, "
        "yaw + turns towards image-left, roll + is clockwise in the picture; radians.",
        "",
        "## Not for",
        "Identifying or judging people without their consent, surveillance, or decisions about "
        "a person. Codes of faces are biometric data in many jurisdictions.",
        "",
        "## Licence of the weights",
        card.licence,
        "",
        *_table("Options", {name: str(value) for name, value in card.config.items()}),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", *([f"- {line}" for line in lines] or [f"{_UNSTATED.capitalize()}."]), ""]


def _table(title: str, rows: Mapping[str, str]) -> list[str]:
    if not rows:
        return _list(title, [])
    return [f"## {title}", "| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items()), ""]
