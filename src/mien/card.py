"""The model card: what a model was trained on, what it is worth, where it fails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["GROUPS", "THRESHOLDS", "Card", "card_text"]

GROUPS = "Error by group of people"
THRESHOLDS = "Thresholds of identity and what they cost"

_UNSTATED = "not stated"


@dataclass(frozen=True)
class Card:
    """What a reader must know before using a model; what is left out is printed as unstated."""

    name: str = "mien model"
    """Title."""
    licence: str = _UNSTATED
    """Licence of the weights: whoever trained them decides."""
    data: Sequence[str] = ()
    """One line per source: name, number of images, licence, consent basis."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Measure -> value, on data not trained on."""
    groups: Sequence[Sequence[str]] = ()
    """Heads of columns, then a row a group of people: its errors."""
    thresholds: Sequence[Sequence[str]] = ()
    """Heads of columns, then a row a threshold of identity: what it costs."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Title of one of the sections above -> how its numbers came about."""
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
        "and back to an image (LatentFace); with a `gaze` entry in its configuration also to a "
        "gaze code (EM-IB). No labels were used in training but where rendered eyes are.",
        "",
        "## Meant for",
        "Research and engineering on images of people who agreed: describing head pose, light, "
        "expression and gaze; sorting one's own images; few-label probes; editing one's own "
        "portraits. Measure it on images like yours before anything depends on it.",
        "",
        *_list("Training data and consent", card.data),
        *_table("Results on data not trained on", card.results, card.notes),
        *_columns(GROUPS, card.groups, card.notes),
        *_columns(THRESHOLDS, card.thresholds, card.notes),
        *_list("Known failures", card.limits),
        "## Conventions",
        "Square RGB crops in [0, 1], at best 224 px where there is a gaze branch. Camera frame: "
        "x right, y down, z away. Pitch + looks up, "
        "yaw + turns towards image-left, roll + is clockwise in the image; radians.",
        "",
        "## Not for",
        "Identifying or judging people without their consent, surveillance, or decisions about "
        "a person. Codes of faces are biometric data in many jurisdictions. Expression is what a "
        "face does, not what its owner feels.",
        "",
        "## Whose images, and how to forget them",
        "`images.b2`, where it is there, lists what was trained on as 64 bits of BLAKE2b of each "
        "image's file; `mien card WEIGHTS --has IMAGES` looks files up. `mien forget` takes "
        "people out of tables; from weights nobody can be taken out but by training again without "
        "them.",
        "",
        "## Licence of the weights",
        card.licence,
        "",
        *_table("Options", {name: str(value) for name, value in card.config.items()}, {}),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", *([f"- {line}" for line in lines] or [f"{_UNSTATED.capitalize()}."]), ""]


def _table(title: str, rows: Mapping[str, str], notes: Mapping[str, str]) -> list[str]:
    return _columns(title, [("", ""), *rows.items()] if rows else (), notes)


def _columns(title: str, rows: Sequence[Sequence[str]], notes: Mapping[str, str]) -> list[str]:
    """Return a section with a table whose first row are the heads of its columns."""
    if not rows:
        return _list(title, [])
    note = [notes[title], ""] if title in notes else []
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"## {title}", *note, lines[0], "|" + "---|" * len(rows[0]), *lines[1:], ""]
