"""What a probe learns, how it is measured, and what it wants to be told next."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from mien.errors import MienError
from mien.linear.logistic import classification
from mien.linear.model import Linear, standards
from mien.linear.ridge import regression
from mien.probes.curve import sizes
from mien.probes.fit import fit
from mien.probes.held_out import interval, make_folds, predicted
from mien.probes.match import Matched
from mien.probes.probe import Probe
from mien.probes.samples import Samples, samples_of
from mien.probes.suggest import suggest, uncertainty

DIM = 12
NAMES = ("glad", "sad", "so-so")


def matched(codes: np.ndarray, texts: list[str], **changes: Any) -> Matched:
    names = tuple(f"{i}.png" for i in range(len(codes)))
    plain = Matched(
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
    return fit(matched(codes, texts, **changes), rng=np.random.default_rng(seed))


@cache
def probe_of(kind: str, count: int) -> Probe:
    return made(*(moods if kind == "moods" else ages)(count))


def right(probe: Probe, codes: np.ndarray, texts: list[str]) -> float:
    return 100 * float((probe.predict_codes(codes).values == np.array(texts, object)).mean())


def test_classes_of_new_faces_are_told() -> None:
    probe = probe_of("moods", 120)
    assert (probe.classes, probe.numbers, probe.samples) == (NAMES, False, 120)
    fresh = moods(2000, seed=1)
    true = right(probe, *fresh)
    assert true > 80
    assert probe.held_out.low < probe.held_out.score < probe.held_out.high
    # It is learned from four fifths of the labels, and so a little too low.
    assert true - 10 < probe.held_out.score < true + 5
    assert probe.held_out.baseline == pytest.approx(100 / 3, abs=8)
    assert probe.held_out.by == "faces"
    assert probe.balanced == pytest.approx(np.mean(probe.held_out.recall))
    said = probe.predict_codes(fresh[0])
    assert said.probabilities is not None
    np.testing.assert_allclose(said.probabilities.sum(axis=1), 1)
    best = np.array(NAMES, object)[said.probabilities.argmax(axis=1)]
    assert (best == said.values).all()
    np.testing.assert_array_equal(said.certainty, said.probabilities.max(axis=1))


def test_two_classes_have_the_right_sign() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(60, DIM))
    probe = made(codes, ["yes" if row[3] > 0 else "no" for row in codes])
    assert probe.classes == ("no", "yes")
    far = np.zeros((2, DIM))
    far[:, 3] = 3, -3
    said = probe.predict_codes(far)
    assert said.values.tolist() == ["yes", "no"]
    assert (said.certainty > 0.9).all()


def test_probabilities_are_those_of_being_right() -> None:
    probe = made(*moods(200, noise=1.0))
    codes, texts = moods(4000, seed=1, noise=1.0)
    true = right(probe, codes, texts)
    assert 55 < true < 90
    assert 100 * probe.predict_codes(codes).certainty.mean() == pytest.approx(true, abs=6)


def test_numbers_of_new_faces_are_told() -> None:
    probe = probe_of("ages", 150)
    assert probe.numbers
    codes, texts = ages(3000, seed=1)
    truth = np.array(texts, dtype=float)
    said = probe.predict_codes(codes)
    errors = said.values - truth
    # Noise of 2 is a mean absolute error of 1.6.
    assert np.abs(errors).mean() == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.1)
    assert probe.held_out.low < np.abs(errors).mean() < probe.held_out.high
    assert probe.held_out.baseline == pytest.approx(
        np.abs(truth - np.median(truth)).mean(), rel=0.2
    )
    correlation = np.corrcoef(np.asarray(said.values, float), truth)[0, 1]
    assert probe.held_out.correlation == pytest.approx(correlation, abs=0.02)
    wrong = np.sqrt(np.mean(np.square(errors, dtype=float)))
    assert np.sqrt(np.square(said.certainty).mean()) == pytest.approx(wrong, rel=0.12)
    assert probe.predict_codes(100 * codes[:1]).certainty[0] > 5 * said.certainty.max()


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


def test_the_interval_is_that_of_a_mean() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(5, 2, 400)
    low, high = interval(values, np.arange(400), rng)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
    assert high - low == pytest.approx(2 * 1.96 * 2 / np.sqrt(400), rel=0.12)
    # Ten rows that are always the same are worth one.
    low, high = interval(np.repeat(values, 10), np.repeat(np.arange(400), 10), rng)
    assert high - low == pytest.approx(2 * 1.96 * 2 / np.sqrt(400), rel=0.12)


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
        mean, scale = standards(part.codes)
        return Linear(mean, scale, np.zeros((DIM, 3)), np.array([0.0, 1, 0]), 1.0)

    said = predicted(samples, learn, folds, np.random.default_rng(0), labels=12)
    assert (said == 1).all()
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
        regression(samples_of(matched(*data)), np.random.default_rng(0)).strength
        for data in (few, noisy)
    ]
    assert strengths[0] < 0.1 < 10 < strengths[1]
    clear, unclear = moods(60), (moods(60)[0], [NAMES[i % 3] for i in range(60)])
    strengths = [
        classification(samples_of(matched(*data)), np.random.default_rng(0)).strength
        for data in (clear, unclear)
    ]
    assert strengths[0] < strengths[1] == 10


def test_errors_left_out_are_those_of_fitting_again(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(matched(*ages(30)))
    monkeypatch.setattr("mien.linear.ridge.STRENGTHS", np.array([2.0]))
    whole = regression(samples, np.random.default_rng(0))
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
        classification(samples_of(matched(c, texts)), np.random.default_rng(0))
        for c in (codes, wide)
    )
    assert other.weights.shape == (DIM + 40, 3)
    # What does not vary has no weight, and the length of the features is that of all columns.
    assert not other.weights[DIM:].any()
    assert (one.outputs(codes).argmax(1) == other.outputs(wide).argmax(1)).mean() > 0.9


def test_rows_without_codes_stay_without_an_answer() -> None:
    codes = moods(50)[0]
    for probe, nothing in ((probe_of("moods", 120), None), (probe_of("ages", 150), np.nan)):
        broken = codes.copy()
        broken[3, 2] = np.nan
        said, whole = probe.predict_codes(broken), probe.predict_codes(codes)
        assert said.values[3] is None or np.isnan(said.values[3])
        assert (said.values[3] is None) == (nothing is None)
        assert np.isnan(said.certainty[3])
        rest = np.delete(np.arange(50), 3)
        np.testing.assert_allclose(said.certainty[rest], whole.certainty[rest])
        if nothing is None:
            assert (said.values[rest] == whole.values[rest]).all()
        else:
            np.testing.assert_allclose(said.values[rest].astype(float), whole.values[rest])
        assert len(probe.predict_codes(codes[:0]).values) == 0


def test_columns_are_put_together_in_their_order() -> None:
    codes, _ = moods(50)
    probe = probe_of("moods", 120)
    parts = {"expression": codes[:, 8:], "identity": codes[:, :8], "more": codes}
    assert (probe.predict(parts).values == probe.predict_codes(codes).values).all()
    with pytest.raises(MienError, match="sees identity, and there is none"):
        probe.predict({"expression": codes[:, 8:]})
    with pytest.raises(MienError, match="for identity of length 8, not 12"):
        probe.predict({"identity": codes, "expression": codes})
    with pytest.raises(MienError, match="12"):
        probe.predict_codes(codes[:, :5])


def test_other_weights_are_refused() -> None:
    probe = probe_of("moods", 120)
    lengths = {"identity": 8, "expression": 4, "yaw_rad": 1}
    probe.check_model("0123456789ab", lengths)
    probe.check_model("", lengths)
    with pytest.raises(MienError, match="belongs to the weights 0123456789ab"):
        probe.check_model("ba9876543210", lengths)
    with pytest.raises(MienError, match="for expression of length 4, not 5"):
        probe.check_model("0123456789ab", lengths | {"expression": 5})
    with pytest.raises(MienError, match="sees identity, which is not known here"):
        probe.check_model("0123456789ab", {"expression": 4})


def test_the_seed_decides_everything() -> None:
    data = moods(24, noise=1.0)
    one, again, other = made(*data), made(*data), made(*data, seed=1)
    np.testing.assert_array_equal(one.function.weights, again.function.weights)
    assert (one.held_out, one.curve) == (again.held_out, again.curve)
    assert one.held_out != other.held_out


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


def test_labels_that_teach_nothing_are_refused() -> None:
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


def test_what_is_suggested_is_doubtful_and_not_alike() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(60, DIM))
    texts = ["yes" if row[0] > 0 else "no" for row in codes]
    sure = rng.normal(size=(40, DIM))
    sure[:, 0] = 4
    unsure = rng.normal(size=(3, DIM))
    unsure[:, 0] = 0
    # Ten copies of one doubtful face are worth one label.
    pool = np.vstack([sure, np.repeat(unsure[:1], 10, axis=0), unsure]).astype(np.float32)
    data = matched(codes, texts, others=100 + np.arange(len(pool)), other_codes=pool)
    probe = fit(data, rng=np.random.default_rng(0))
    rows, _ = suggest(probe, data, 3)
    assert len({tuple(pool[row - 100]) for row in rows}) == 3
    assert {tuple(pool[row - 100]) for row in rows} == {tuple(row) for row in pool[-3:]}
    assert suggest(probe, data, 3)[0].tolist() == rows.tolist()
    assert sorted(suggest(probe, data, 999)[0]) == data.others.tolist()


def test_a_probe_that_is_sure_of_every_face_suggests_some():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(40, DIM)).astype(np.float32)
    codes[:, 0] = 1000.0 * np.where(np.arange(40) % 2, 1, -1)
    texts = ["yes" if row[0] > 0 else "no" for row in codes]
    pool = np.repeat(codes, 2, axis=0)
    pool[:, 0] *= 1e6
    data = matched(codes, texts, others=100 + np.arange(len(pool)), other_codes=pool)
    probe = fit(data, rng=np.random.default_rng(0))
    assert not uncertainty(probe.predict_codes(pool)).any()
    rows, _ = suggest(probe, data, 5)
    assert len({tuple(pool[row - 100]) for row in rows}) == 5
    with pytest.raises(MienError, match="nothing to suggest"):
        suggest(probe, replace(data, others=np.arange(0), other_codes=pool[:0]), 3)


def test_uncertainty_lies_between_nothing_and_one() -> None:
    probe = probe_of("moods", 120)
    said = probe.predict_codes(moods(500, seed=1)[0])
    assert said.probabilities is not None
    doubt = uncertainty(said)
    first, second = np.sort(said.probabilities, axis=1)[:, ::-1][:, :2].T
    np.testing.assert_allclose(doubt, 1 - first + second, atol=1e-12)
    numbers = uncertainty(probe_of("ages", 150).predict_codes(ages(100)[0]))
    assert 0 < numbers.min() < numbers.max() == 1
