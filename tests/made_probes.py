"""Made-up codes and labels that probes are tested on."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from mien.probes.fit import fit_probe
from mien.probes.match import MatchedLabels
from mien.probes.probe import Probe

DIM = 12
NAMES = ("glad", "sad", "so-so")


def matched(codes: np.ndarray, texts: list[str], **changes: Any) -> MatchedLabels:
    names = tuple(f"{i}.png" for i in range(len(codes)))
    plain = MatchedLabels(
        label="mood",
        columns=(("identity", 8), ("expression", codes.shape[1] - 8)),
        codes=codes,
        texts=tuple(texts),
        people=None,
        files=names,
        names=names,
        model_id="0123456789ab",
        without_codes=(),
        others=np.arange(0),
        other_codes=np.zeros((0, codes.shape[1]), np.float32),
    )
    return replace(plain, **changes)


def moods(count: int, *, seed: int = 0, noise: float = 0.0) -> tuple[np.ndarray, list[str]]:
    """Return codes of very different sizes, and which of three directions each goes furthest in."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(7)
    aims = np.linalg.qr(fixed.normal(size=(DIM, DIM)))[0][:, :3]
    plain = rng.normal(size=(count, DIM))
    best = (plain @ aims + rng.normal(0, noise, (count, 3)) if noise else plain @ aims).argmax(1)
    return 5 + plain * np.geomspace(0.01, 100, DIM), [NAMES[i] for i in best]


def ages(count: int, *, seed: int = 0, noise: float = 2.0) -> tuple[np.ndarray, list[str]]:
    """Return codes, and 40 + 10 of a direction + noise."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(8)
    aim = fixed.normal(size=DIM)
    plain = rng.normal(size=(count, DIM))
    value = 40 + 10 * plain @ aim / np.linalg.norm(aim) + rng.normal(0, noise, count)
    return plain, [f"{v:.3f}" for v in value]


def made(codes: np.ndarray, texts: list[str], *, seed: int = 0, **changes: Any) -> Probe:
    return fit_probe(matched(codes, texts, **changes), rng=np.random.default_rng(seed))


@cache
def probe_of(kind: str, count: int) -> Probe:
    return made(*(moods if kind == "moods" else ages)(count))


def right(probe: Probe, codes: np.ndarray, texts: list[str]) -> float:
    return 100 * float((probe.predict_codes(codes).values == np.array(texts, object)).mean())
