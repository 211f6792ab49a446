"""What a probe learns from, and how it is measured on labels held out."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.linear.model import Linear, standards
from mien.probes.fit import learn_classes, learn_numbers, sizes
from mien.probes.held_out import make_folds, predicted
from mien.probes.samples import Samples, samples_of

SPEC = importlib.util.spec_from_file_location(
    "made_probes", Path(__file__).with_name("made_probes.py")
)
assert SPEC is not None
assert SPEC.loader is not None
made_probes = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made_probes)
DIM, NAMES, ages, made, matched, moods, probe_of = (
    getattr(made_probes, name)
    for name in ("DIM", "NAMES", "ages", "made", "matched", "moods", "probe_of")
)


def test_codes_that_know_nothing_are_no_better_than_the_usual_answer() -> None:
    codes, texts = moods(120)
    probe = made(codes, texts[::-1])
    assert probe.held_out.score < probe.held_out.baseline + 10
    codes, texts = ages(200)
    numbers = made(codes, texts[::-1])
    assert numbers.held_out.score > 0.9 * numbers.held_out.baseline
    assert abs(numbers.held_out.correlation or 0) < 0.3


def test_people_are_held_out_whole() -> None:
    # The codes say who it is, and every person has one mood: known people are no news.
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(20), 4)
    codes = rng.normal(size=(20, DIM))[who] + rng.normal(0, 0.05, (80, DIM))
    texts = [NAMES[i % 2] for i in who]
    by_face = made(codes, texts)
    by_person = made(codes, texts, people=tuple(f"p{i}" for i in who))
    by_file = made(codes, texts, files=tuple(f"{i}.mp4" for i in who))
    assert [p.held_out.by for p in (by_face, by_person, by_file)] == ["faces", "people", "files"]
    assert by_face.held_out.score > 95
    assert by_person.held_out.score < 80
    assert by_file.held_out.score < 80
    wide = [p.held_out.high - p.held_out.low for p in (by_person, by_face)]
    assert wide[0] > 3 * wide[1]
    # Half of them have each mood, whoever is left out.
    assert by_person.held_out.baseline == 50


def test_no_group_is_on_both_sides() -> None:
    who = tuple(f"p{i % 7}" for i in range(100))
    samples = samples_of(matched(*moods(100), people=who))
    folds = make_folds(samples, np.random.default_rng(0))
    assert folds.part.max() == 6
    for k, order in enumerate(folds.orders):
        held = {who[i] for i in np.flatnonzero(folds.part == k)}
        assert not held & {who[i] for i in order}
        assert len(order) + (folds.part == k).sum() == 100


def test_the_same_image_twice_is_held_out_together() -> None:
    codes, texts = moods(40)
    samples = samples_of(matched(np.vstack([codes, codes[:5]]), texts + texts[:5]))
    assert samples.groups[40:].tolist() == samples.groups[:5].tolist()
    assert len(set(samples.groups.tolist())) == 40


def test_what_is_held_out_is_not_learned_from() -> None:
    samples = samples_of(matched(*moods(60)))
    folds = make_folds(samples, np.random.default_rng(0))
    seen = []

    def learn(part: Samples, _: np.random.Generator) -> Linear:
        seen.append({row.tobytes() for row in part.codes})
        return Linear(*standards(part.codes), np.zeros((DIM, 3)), np.array([0.0, 1, 0]), 1.0)

    found = predicted(samples, learn, folds, np.random.default_rng(0), labels=12)
    assert (found == 1).all()
    for k, rows in enumerate(seen):
        assert len(rows) == 12
        assert not rows & {row.tobytes() for row in samples.codes[folds.part == k]}


def test_the_learning_curve_rises_to_the_score() -> None:
    probe = probe_of("moods", 120)
    assert [point.labels for point in probe.curve] == [6, 12, 24, 48, 96]
    assert probe.curve[-1].score == probe.held_out.score
    scores = [point.score for point in probe.curve]
    assert scores[0] < scores[2] < scores[4]
    assert all(point.low <= point.score <= point.high for point in probe.curve)
    assert (sizes(400), sizes(9)) == ((25, 50, 100, 200), (4,))
    numbers = probe_of("ages", 150)
    assert numbers.curve[0].score > 1.5 * numbers.curve[-1].score


def test_the_strength_is_that_of_the_least_error_left_out() -> None:
    few, noisy = ages(40, noise=0.01), ages(40, noise=100.0)
    strengths = [
        learn_numbers(samples_of(matched(*data)), np.random.default_rng(0)).strength
        for data in (few, noisy)
    ]
    assert strengths[0] < 0.1 < 10 < strengths[1]
    clear, unclear = moods(60), (moods(60)[0], [NAMES[i % 3] for i in range(60)])
    strengths = [
        learn_classes(samples_of(matched(*data)), np.random.default_rng(0)).strength
        for data in (clear, unclear)
    ]
    assert strengths[0] < strengths[1] == 10


def test_errors_left_out_are_those_of_fitting_again(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(matched(*ages(30)))
    monkeypatch.setattr("mien.linear.ridge.STRENGTHS", np.array([2.0]))
    whole = learn_numbers(samples, np.random.default_rng(0))
    assert whole.spread is not None
    part = samples.parts(10, np.random.default_rng(0))
    residual, excess = np.empty((2, 30))
    for k in range(10):
        rest, held = np.flatnonzero(part != k), np.flatnonzero(part == k)
        x, y = whole.features(samples.codes), samples.labels
        middle, mean = x[rest].mean(axis=0), y[rest].mean()
        gram = (x[rest] - middle).T @ (x[rest] - middle) + 2 * np.eye(DIM)
        weights = np.linalg.solve(gram, (x[rest] - middle).T @ (y[rest] - mean))
        away = x[held] - middle
        residual[held] = y[held] - mean - away @ weights
        excess[held] = 1 + 1 / len(rest) + (away * np.linalg.solve(gram, away.T).T).sum(axis=1)
    assert whole.spread.noise == pytest.approx(np.mean(residual**2 / excess), rel=1e-6)


def test_more_numbers_than_samples_change_nothing() -> None:
    codes, texts = moods(30)
    wide = np.hstack([codes, np.zeros((30, 40))])
    one, other = (
        learn_classes(samples_of(matched(c, texts)), np.random.default_rng(0))
        for c in (codes, wide)
    )
    assert other.weights.shape == (DIM + 40, 3)
    # What does not vary has no weight, and the length of the features is that of all columns.
    assert not other.weights[DIM:].any()
    assert (one.outputs(codes).argmax(1) == other.outputs(wide).argmax(1)).mean() > 0.9


def test_kinds_of_labels() -> None:
    codes = moods(40)[0]
    kinds = {
        "numbers that are many": [str(i) for i in range(40)],
        "numbers that are not whole": [str(i % 4 / 2) for i in range(40)],
    }
    for texts in kinds.values():
        assert samples_of(matched(codes, texts)).numbers
    whole = [str(i % 5 + 8) for i in range(40)]
    samples = samples_of(matched(codes, whole))
    assert samples.classes == ("8", "9", "10", "11", "12")
    assert samples_of(matched(codes, whole), "number").labels.tolist()[:6] == [8, 9, 10, 11, 12, 8]
    assert samples_of(matched(codes, kinds["numbers that are not whole"]), "class").classes == (
        *("0.0", "0.5", "1.0"),
        "1.5",
    )
    with pytest.raises(MienError, match="no kind words"):
        samples_of(matched(codes, whole), "words")


def test_labels_that_hold_nothing_to_learn_are_refused() -> None:
    codes, texts = moods(20)
    broken = codes.copy()
    broken[4, 2] = np.nan
    numbers = [str(i + 0.5) for i in range(20)]
    refused = {
        "7 labels are too few to probe with: give 8": matched(codes[:7], texts[:7]),
        "no codes of 2, first x": matched(codes[:7], texts[:7], without_codes=("x", "y")),
        r"1 samples have no codes, first 4\.png": matched(broken, texts),
        "all 20 labels of mood are 'sad'": matched(codes, ["sad"] * 20),
        "all labels are of one person, ann": matched(codes, texts, people=("ann",) * 20),
        "1 classes of mood have one label only, first 'odd'": matched(codes, [*texts[1:], "odd"]),
        r"1 labels of mood are no finite numbers, first 'nan' of 19\.png": matched(
            codes, [*numbers[1:], "nan"]
        ),
    }
    for message, samples in refused.items():
        with pytest.raises(MienError, match=message):
            samples_of(samples)
    with pytest.raises(MienError, match="19 labels of mood are no finite numbers, first 'sad'"):
        samples_of(matched(codes, [*["sad"] * 19, "1"]), "number")
    with pytest.raises(MienError, match="all 20 labels of mood are 3:"):
        samples_of(matched(codes, ["3"] * 20), "number")
