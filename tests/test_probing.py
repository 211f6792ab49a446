"""What a probe predicts of new faces, and which faces it suggests to label next."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.probes.fit import fit_probe
from mien.probes.suggest import suggest, uncertainty

SPEC = importlib.util.spec_from_file_location(
    "made_probes", Path(__file__).with_name("made_probes.py")
)
assert SPEC is not None
assert SPEC.loader is not None
made_probes = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made_probes)
DIM, NAMES, ages, made, matched, moods, probe_of, right = (
    getattr(made_probes, name)
    for name in ("DIM", "NAMES", "ages", "made", "matched", "moods", "probe_of", "right")
)


def test_classes_of_new_faces_are_predicted() -> None:
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
    found = probe.predict_codes(fresh[0])
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)
    best = np.array(NAMES, object)[found.probabilities.argmax(axis=1)]
    assert (best == found.values).all()
    np.testing.assert_array_equal(found.certainty, found.probabilities.max(axis=1))


def test_two_classes_have_the_right_sign() -> None:
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(60, DIM))
    probe = made(codes, ["yes" if row[3] > 0 else "no" for row in codes])
    assert probe.classes == ("no", "yes")
    far = np.zeros((2, DIM))
    far[:, 3] = 3, -3
    found = probe.predict_codes(far)
    assert found.values.tolist() == ["yes", "no"]
    assert (found.certainty > 0.9).all()


def test_probabilities_are_those_of_being_right() -> None:
    probe = made(*moods(200, noise=1.0))
    codes, texts = moods(4000, seed=1, noise=1.0)
    true = right(probe, codes, texts)
    assert 55 < true < 90
    assert 100 * probe.predict_codes(codes).certainty.mean() == pytest.approx(true, abs=6)


def test_numbers_of_new_faces_are_predicted() -> None:
    probe = probe_of("ages", 150)
    assert probe.numbers
    codes, texts = ages(3000, seed=1)
    truth = np.array(texts, dtype=float)
    found = probe.predict_codes(codes)
    errors = found.values - truth
    # Noise of 2 is a mean absolute error of 1.6.
    assert np.abs(errors).mean() == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.1)
    assert probe.held_out.low < np.abs(errors).mean() < probe.held_out.high
    assert probe.held_out.baseline == pytest.approx(
        np.abs(truth - np.median(truth)).mean(), rel=0.2
    )
    correlation = np.corrcoef(np.asarray(found.values, float), truth)[0, 1]
    assert probe.held_out.correlation == pytest.approx(correlation, abs=0.02)
    wrong = np.sqrt(np.mean(np.square(errors, dtype=float)))
    assert np.sqrt(np.square(found.certainty).mean()) == pytest.approx(wrong, rel=0.12)
    assert probe.predict_codes(100 * codes[:1]).certainty[0] > 5 * found.certainty.max()


def test_rows_without_codes_stay_without_an_answer() -> None:
    codes = moods(50)[0]
    for probe, nothing in ((probe_of("moods", 120), None), (probe_of("ages", 150), np.nan)):
        broken = codes.copy()
        broken[3, 2] = np.nan
        found, whole = probe.predict_codes(broken), probe.predict_codes(codes)
        assert found.values[3] is None or np.isnan(found.values[3])
        assert (found.values[3] is None) == (nothing is None)
        assert np.isnan(found.certainty[3])
        rest = np.delete(np.arange(50), 3)
        np.testing.assert_allclose(found.certainty[rest], whole.certainty[rest])
        if nothing is None:
            assert (found.values[rest] == whole.values[rest]).all()
        else:
            np.testing.assert_allclose(found.values[rest].astype(float), whole.values[rest])
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
    probe = fit_probe(data, rng=np.random.default_rng(0))
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
    probe = fit_probe(data, rng=np.random.default_rng(0))
    assert not uncertainty(probe.predict_codes(pool)).any()
    rows, _ = suggest(probe, data, 5)
    assert len({tuple(pool[row - 100]) for row in rows}) == 5
    with pytest.raises(MienError, match="nothing to suggest"):
        suggest(probe, replace(data, others=np.arange(0), other_codes=pool[:0]), 3)


def test_uncertainty_lies_between_nothing_and_one() -> None:
    probe = probe_of("moods", 120)
    found = probe.predict_codes(moods(500, seed=1)[0])
    assert found.probabilities is not None
    doubt = uncertainty(found)
    first, second = np.sort(found.probabilities, axis=1)[:, ::-1][:, :2].T
    np.testing.assert_allclose(doubt, 1 - first + second, atol=1e-12)
    numbers = uncertainty(probe_of("ages", 150).predict_codes(ages(100)[0]))
    assert 0 < numbers.min() < numbers.max() == 1
