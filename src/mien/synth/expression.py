"""The seven expressions as mixtures of ARKit-like shapes, made as untidy as people make them."""

from __future__ import annotations

import numpy as np

__all__ = ["EXPRESSIONS", "sample_expression_weights"]

EXPRESSIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")

# Weights at full intensity; a name without _L or _R stands for both sides where the model has two.
# Each expression has one or more ways of being shown; one of them is sampled.
PROTOTYPES: dict[str, tuple[dict[str, float], ...]] = {
    "neutral": ({},),
    "happy": (
        {"mouthSmile": 0.9, "cheekSquint": 0.6, "cheekRaiser": 0.5, "eyeSquint": 0.3},
        {
            "mouthSmile": 1.0,
            "cheekSquint": 0.7,
            "cheekRaiser": 0.6,
            "eyeSquint": 0.4,
            "jawOpen": 0.25,
            "mouthUpperUp": 0.3,
            "mouthLowerDown": 0.2,
        },
        {"mouthSmile": 0.6, "mouthDimple": 0.5, "cheekRaiser": 0.3},
    ),
    "sad": (
        {
            "browInnerUp": 0.9,
            "browDown": 0.2,
            "mouthFrown": 0.9,
            "mouthShrugLower": 0.4,
            "eyeSquint": 0.2,
            "eyeBlink": 0.15,
        },
        {"browInnerUp": 0.8, "mouthFrown": 0.7, "mouthPress": 0.4, "eyeBlink": 0.25},
    ),
    "surprise": (
        {
            "browInnerUp": 0.9,
            "browOuterUp": 0.9,
            "eyeWide": 0.9,
            "jawOpen": 0.55,
            "mouthFunnel": 0.25,
        },
        {"browInnerUp": 0.8, "browOuterUp": 1.0, "eyeWide": 0.7, "jawOpen": 0.2},
    ),
    "fear": (
        {
            "browInnerUp": 1.0,
            "browOuterUp": 0.4,
            "browDown": 0.35,
            "eyeWide": 0.9,
            "mouthStretch": 0.8,
            "jawOpen": 0.25,
            "mouthLowerDown": 0.3,
        },
        {"browInnerUp": 0.9, "browDown": 0.4, "eyeWide": 0.7, "mouthStretch": 0.6},
    ),
    "disgust": (
        {
            "noseSneer": 1.0,
            "mouthUpperUp": 0.6,
            "browDown": 0.5,
            "eyeSquint": 0.4,
            "cheekSquint": 0.4,
        },
        {
            "noseSneer": 0.8,
            "mouthUpperUp": 0.3,
            "mouthFrown": 0.4,
            "mouthShrugLower": 0.5,
            "eyeSquint": 0.5,
            "browDown": 0.3,
        },
    ),
    "anger": (
        {
            "browDown": 1.0,
            "eyeSquint": 0.4,
            "noseSneer": 0.3,
            "mouthPress": 0.7,
            "mouthRollLower": 0.2,
            "mouthShrugLower": 0.3,
        },
        {
            "browDown": 1.0,
            "eyeWide": 0.4,
            "noseSneer": 0.4,
            "jawOpen": 0.3,
            "mouthLowerDown": 0.6,
            "mouthUpperUp": 0.4,
            "jawForward": 0.3,
        },
    ),
}
# Shapes that people move now and then whatever they feel.
IDLE_SHAPES = (
    *("browDown", "browInnerUp", "browOuterUp", "cheekPuff", "eyeSquint", "eyeWide"),
    *("jawLeft", "jawRight", "jawOpen", "mouthDimple", "mouthFrown", "mouthFunnel", "mouthLeft"),
    *("mouthPress", "mouthPucker", "mouthRight", "mouthRollLower", "mouthShrugUpper"),
    *("mouthSmile", "mouthStretch", "mouthUpperUp", "mouthLowerDown", "noseSneer"),
)
SPEECH_SHAPES = ("jawOpen", "mouthFunnel", "mouthPucker", "mouthLowerDown", "mouthClose")
INTENSITY = (0.6, 1.1)
BLINK_CHANCE, SPEECH_CHANCE, MIX_CHANCE = 0.08, 0.35, 0.5
# Nobody shows a whole prototype: each of its shapes may stay away.
ABSENT_CHANCE = 0.18


def sample_expression_weights(
    rng: np.random.Generator, expression: int, names: tuple[str, ...]
) -> np.ndarray:
    """Sample one frame's shape weights for an expression, in [0, 1.2]. float32 [E].

    Args:
        rng: Source of all choices.
        expression: Index into `EXPRESSIONS`.
        names: The head model's shapes; those it lacks are passed over. The eyeLook shapes are
            left at 0: the gaze sets them.
    """
    weights = np.zeros(len(names), dtype=np.float32)
    _add(weights, rng, names, _way(rng, expression), float(rng.uniform(*INTENSITY)))
    if rng.random() < MIX_CHANCE:
        other = int(rng.integers(len(EXPRESSIONS)))
        _add(weights, rng, names, _way(rng, other), float(rng.uniform(0.05, 0.45)))
    idle = rng.choice(IDLE_SHAPES, size=int(rng.integers(3, 7)), replace=False)
    _add(weights, rng, names, {str(name): float(rng.uniform(0.0, 0.45)) for name in idle}, 1.0)
    if rng.random() < SPEECH_CHANCE:
        spoken = rng.choice(SPEECH_SHAPES, size=2, replace=False)
        _add(weights, rng, names, {str(name): float(rng.uniform(0.1, 0.5)) for name in spoken}, 1.0)
    if rng.random() < BLINK_CHANCE:
        _add(weights, rng, names, {"eyeBlink": float(rng.uniform(0.4, 1.0))}, 1.0)
    return np.clip(weights, 0.0, 1.2)


def _way(rng: np.random.Generator, expression: int) -> dict[str, float]:
    ways = PROTOTYPES[EXPRESSIONS[expression]]
    way = ways[int(rng.integers(len(ways)))]
    return {name: weight for name, weight in way.items() if rng.random() >= ABSENT_CHANCE}


def _add(
    weights: np.ndarray,
    rng: np.random.Generator,
    names: tuple[str, ...],
    shapes: dict[str, float],
    intensity: float,
) -> None:
    """Add shapes with jitter per shape and a little asymmetry between the sides, in place."""
    lean = float(rng.normal(0.0, 0.12))
    for name, weight in shapes.items():
        value = weight * intensity * float(np.exp(0.35 * rng.standard_normal()))
        for full, factor in ((name, 1.0), (f"{name}_L", 1.0 + lean), (f"{name}_R", 1.0 - lean)):
            if full in names:
                weights[names.index(full)] += value * factor
