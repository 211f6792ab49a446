"""The model card: training data, results, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["GROUPS", "THRESHOLDS", "Card", "card_text"]

GROUPS = "Error by group"
THRESHOLDS = "Verification thresholds"

_UNSTATED = "not stated"


@dataclass(frozen=True)
class Card:
    """What to know before using a model; missing entries are printed as not stated."""

    name: str = "mien model"
    """Title."""
    licence: str = _UNSTATED
    """Licence of the weights: whoever trained them decides."""
    data: Sequence[str] = ()
    """One line per source: name, number of images, licence, consent basis."""
    results: Mapping[str, str] = field(default_factory=dict)
    """Measure -> value."""
    groups: Sequence[Sequence[str]] = ()
    """Column names, then one row of errors per group of people."""
    thresholds: Sequence[Sequence[str]] = ()
    """Column names, then one row per verification threshold."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """Title of one of the sections above -> how its numbers were measured."""
    limits: Sequence[str] = ()
    """Known failures."""
    config: Mapping[str, object] = field(default_factory=dict)
    """The model's options."""


def card_text(card: Card) -> str:
    """Return the card as Markdown with the front matter that model hubs read."""
    # Hubs know identifiers such as `mit`; a sentence is `other` to them.
    licence = "other" if " " in card.licence else card.licence
    parts = [
        "---",
        f"license: {licence.lower()}",
        "library_name: mien",
        "pipeline_tag: image-feature-extraction",
        "---",
        f"# {card.name}",
        "",
        "A model for `mien`: it maps a face crop to identity, expression, texture, shape, pose and "
        "light, and back to an image (LatentFace); with a `gaze` entry in its configuration also "
        "to a gaze code (EM-IB). It was trained without labels, except for what a renderer knows: "
        "where eyes are and, where that was asked for, how heads are turned and what they express.",
        "",
        "## Intended use",
        "Research and engineering on images of people who agreed: describing head pose, light, "
        "expression and gaze; sorting one's own images; few-label probes; editing one's own "
        "portraits. Measure it on images like yours before anything depends on it.",
        "",
        *_list("Training data and consent", card.data),
        *_table("Results", _pairs(card.results), card.notes),
        *_table(GROUPS, card.groups, card.notes),
        *_table(THRESHOLDS, card.thresholds, card.notes),
        *_list("Known failures", card.limits),
        "## Conventions",
        "Square RGB crops in [0, 1], ideally 224 px where there is a gaze branch. Camera frame: "
        "x right, y down, z away. Pitch + looks up, "
        "yaw + rotates towards image-left, roll + is clockwise in the image; radians.",
        "",
        "## Not for",
        "Identifying or judging people without their consent, surveillance, or decisions about "
        "a person. Face codes are biometric data in many jurisdictions. `expression` describes the "
        "face, not what the person feels.",
        "",
        "## Training images and how to forget them",
        "`images.b2`, if present, lists the training images as 64 bits of BLAKE2b of each file; "
        "`mien card WEIGHTS --has IMAGES` looks files up. `mien forget` removes people from "
        "tables; to remove a person from weights, train again without their images.",
        "",
        "## Licence of the weights",
        card.licence,
        "",
        *_table("Options", _pairs(card.config), {}),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", *([f"- {line}" for line in lines] or [f"{_UNSTATED.capitalize()}."]), ""]


def _pairs(rows: Mapping[str, object]) -> list[tuple[str, str]]:
    return [("", ""), *((name, str(value)) for name, value in rows.items())] if rows else []


def _table(title: str, rows: Sequence[Sequence[str]], notes: Mapping[str, str]) -> list[str]:
    """Return a section with a table whose first row holds the column names."""
    if not rows:
        return _list(title, [])
    note = [notes[title], ""] if title in notes else []
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"## {title}", *note, lines[0], "|" + "---|" * len(rows[0]), *lines[1:], ""]
