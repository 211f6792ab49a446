"""Make a probe of labelled faces: check, learn, and measure it on labels held out."""

from __future__ import annotations

import numpy as np

from mien.linear.logistic import classification
from mien.linear.model import Learn
from mien.linear.ridge import regression
from mien.probes.curve import learning_curve
from mien.probes.held_out import held_out, make_folds, predicted
from mien.probes.match import Matched
from mien.probes.probe import Probe
from mien.probes.samples import samples_of

__all__ = ["fit"]


def fit(matched: Matched, *, rng: np.random.Generator, kind: str = "auto") -> Probe:
    """Return a probe: logistic regression to classes, ridge regression to numbers.

    Codes are brought to unit spread. The strength of the regularisation is chosen on samples left
    out, people apart where they are known; the score and the learning curve are measured around
    all of that, on samples that took no part.

    Args:
        matched: by `mien.probes.match.match`.
        rng: makes the parts in which samples are left out, and the intervals.
        kind: class; number; auto: number where every label is one and they are more than twelve
            different ones, or not whole.

    Raises:
        MienError: if nothing can be learned of these labels; says why.
    """
    samples = samples_of(matched, kind)
    # What is predicted must not hang on what was drawn for the score: another stream.
    for_score, for_fit = rng.spawn(2)
    learn: Learn = regression if samples.numbers else classification
    folds = make_folds(samples, for_score)
    said = predicted(samples, learn, folds, for_score)
    whole = held_out(samples, said, for_score)
    curve = learning_curve(samples, learn, folds, whole, for_score)
    return Probe(
        label=matched.label,
        columns=matched.columns,
        classes=samples.classes,
        model_id=matched.model_id,
        samples=len(samples),
        function=learn(samples, for_fit),
        held_out=whole,
        curve=curve,
    )
