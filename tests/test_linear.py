"""Linear fits, folds, intervals and metrics against numbers by hand and scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge as SklearnRidge, RidgeCV
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    roc_auc_score,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mien.errors import MienError
from mien.linear import cross_subject, logistic
from mien.linear.bootstrap import bootstrap, mean_interval, proportion_interval
from mien.linear.folds import (
    balanced_folds,
    folds_of_people,
    group_parts,
    held_out,
    over_folds,
    part_folds,
    stratified_parts,
)
from mien.linear.knn import neighbour_votes
from mien.linear.lasso import lasso_weights
from mien.linear.logistic import fit_grouped, linear_probabilities
from mien.linear.metrics import (
    accuracy,
    balanced_accuracy,
    binary_f1,
    concordance,
    confusion,
    macro_f1,
)
from mien.linear.model import scaled, standards
from mien.linear.ridge import Ridge, best_on, leave_one_out_predict
from mien.linear.verification import auc, eer, roc, tar_at_far

Rows = np.ndarray


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def numbers(count: int = 60, size: int = 7) -> tuple[np.ndarray, np.ndarray]:
    features = rng().normal(3, 2, (count, size))
    return features, features[:, :2] @ [[1.0, 0.3], [0.0, -1.0]] + rng(1).normal(size=(count, 2))


# --- folds ---


def shared(person: np.ndarray, folds: tuple[tuple[Rows, Rows], ...]) -> set[int]:
    """Return the people who stand on both sides of a fold."""
    return {p for train, test in folds for p in set(person[train]) & set(person[test])}


def test_nobody_is_on_both_sides_of_any_split() -> None:
    person = rng().integers(0, 11, 90)
    labels = rng(1).integers(0, 3, 90)
    parts = group_parts(labels=labels, groups=person, count=4, rng=rng())
    splits = {
        "cross-subject": folds_of_people(person, 5),
        "leave-one-out": folds_of_people(person, 99),
        "balanced": balanced_folds(person, 5),
        "inner": (held_out(labels=labels, groups=person, rng=rng()),),
        "parts": part_folds(parts),
    }
    for name, folds in splits.items():
        assert not shared(person, folds), name
        assert all(len(train) + len(test) == 90 for train, test in folds), name
    assert len(splits["leave-one-out"]) == 11
    assert [set(person[test]) for _, test in splits["leave-one-out"]] == [{p} for p in range(11)]
    for name in ("cross-subject", "leave-one-out", "balanced", "parts"):
        tested = np.concatenate([test for _, test in splits[name]])
        assert sorted(tested) == list(range(90)), name
    with pytest.raises(MienError, match="two people"):
        folds_of_people(np.zeros(5, int), 5)


def test_parts_have_as_many_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [8, 12, 5])
    part = stratified_parts(labels=labels, count=4, rng=rng())
    counts = np.array([np.bincount(part[labels == name], minlength=4) for name in range(3)])
    assert counts.tolist() == [[2, 2, 2, 2], [3, 3, 3, 3], [2, 1, 1, 1]]


def test_each_row_is_predicted_by_the_fold_that_tests_it() -> None:
    part = np.array([2, 0, 1, 0, 2])
    seen = []

    def predict(train: Rows, test: Rows, number: int) -> np.ndarray:
        seen.append((train.tolist(), test.tolist()))
        return np.full((len(test), 2), [number, len(train)])

    found = over_folds(part_folds(part), predict, count=6)
    assert found.tolist() == [[2, 3], [0, 3], [1, 4], [0, 3], [2, 3], [0, 0]]
    assert seen[0] == ([0, 2, 4], [1, 3])
    with pytest.raises(ValueError, match="no folds"):
        over_folds([], predict, count=1)


# --- intervals ---


def test_the_interval_is_that_of_a_mean() -> None:
    values = rng().normal(5, 2, 400)
    low, high = mean_interval(values=values, rng=rng())
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
    assert high - low == pytest.approx(2 * 1.96 * 2 / np.sqrt(400), rel=0.12)


@pytest.mark.parametrize("of", ["mean_interval", "bootstrap"])
def test_ten_equal_rows_of_one_person_are_worth_one(of: str) -> None:
    values, person = np.repeat(rng().normal(5, 2, 400), 10), np.repeat(np.arange(400), 10)

    def width(groups: np.ndarray | None) -> float:
        if of == "mean_interval":
            low, high = mean_interval(values=values, groups=groups, rng=rng())
        else:
            low, high = bootstrap(
                lambda rows: float(values[rows].mean()), count=4000, groups=groups, rng=rng()
            )
        return high - low

    assert width(person) == pytest.approx(2 * 1.96 * 2 / np.sqrt(400), rel=0.15)
    # An interval that ignores people is narrower by the square root of ten.
    assert width(None) == pytest.approx(width(person) / np.sqrt(10), rel=0.2)


def test_wilsons_interval_by_hand() -> None:
    # p = 0.8, n = 10, z = 1.96: centre (p + z^2 / 2n) / (1 + z^2 / n) = 0.7167, half 0.2266.
    assert proportion_interval(successes=8, count=10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert proportion_interval(successes=0, count=10)[0] == 0
    assert proportion_interval(successes=10, count=10)[1] == pytest.approx(1)


def test_trials_that_have_no_number_are_left_out() -> None:
    values = np.array([1.0, 2.0, np.nan])
    low, high = bootstrap(lambda rows: float(values[rows].mean()), count=3, rng=rng())
    assert 1 <= low <= high <= 2
    assert np.isnan(bootstrap(lambda _: float("nan"), count=3, rng=rng())).all()


# --- ridge regression ---


@pytest.mark.parametrize("size", [7, 90])
def test_ridge_is_scikit_learns(size: int) -> None:
    features, targets = numbers(size=size)
    ridge, fresh = Ridge.fit(features, targets), rng(2).normal(3, 2, (5, size))
    for alpha in (0.1, 10.0, 1000.0):
        known = make_pipeline(StandardScaler(), SklearnRidge(alpha)).fit(features, targets)
        np.testing.assert_allclose(ridge.predict(fresh, alpha), known.predict(fresh), atol=1e-9)
    both = ridge.predict(fresh, np.array([0.1, 1000.0]))
    np.testing.assert_allclose(both[:, 0], ridge.predict(fresh, 0.1)[:, 0], atol=1e-12)
    np.testing.assert_allclose(both[:, 1], ridge.predict(fresh, 1000.0)[:, 1], atol=1e-12)


@pytest.mark.parametrize("size", [7, 90])
def test_leaving_one_out_is_scikit_learns(size: int) -> None:
    features, targets = numbers(size=size)
    fresh, alphas = rng(2).normal(3, 2, (5, size)), np.logspace(-1, 6, 15)
    known = make_pipeline(StandardScaler(), RidgeCV(alphas, alpha_per_target=True))
    found = leave_one_out_predict(train=features, targets=targets, test=fresh, strengths=alphas)
    np.testing.assert_allclose(found, known.fit(features, targets).predict(fresh), atol=1e-8)


def test_what_is_not_known_or_does_not_vary_counts_as_the_mean() -> None:
    features, targets = numbers()
    features[:, 3] = 5.0
    features[4, 1] = np.nan
    mean, std = standards(features)
    assert (mean[3], std[3]) == (5, 1)
    assert mean[1] == pytest.approx(np.nanmean(features[:, 1]))
    assert scaled(features, mean, std)[4, 1] == 0
    nothing = np.full((1, 7), np.nan)
    predicted = Ridge.fit(features, targets).predict(nothing, 1.0)
    np.testing.assert_allclose(predicted[0], targets.mean(axis=0))
    mean, std = standards(np.full((3, 1), np.nan))
    assert (mean.tolist(), std.tolist()) == ([0], [1])
    codes, labels, _ = faces_of_people()
    codes[:, 5], codes[3, 2] = np.nan, np.nan
    model = logistic.fit_logistic(codes, labels, c=1.0)
    assert model.predict(codes[:4]).shape == (4,)


def test_the_strength_is_the_best_on_the_held_out_rows() -> None:
    features, targets = numbers(count=80, size=30)
    split, alphas = (np.arange(60), np.arange(60, 80)), np.logspace(-2, 4, 7)
    losses = []
    for alpha in alphas:
        model = make_pipeline(StandardScaler(), SklearnRidge(alpha))
        predicted = model.fit(features[:60], targets[:60]).predict(features[60:])
        losses.append(((predicted - targets[60:]) ** 2).mean(axis=0))
    each = best_on(features, targets, split, alphas, lambda p, t: ((p - t) ** 2).mean(axis=0))
    assert each.tolist() == np.argmin(losses, axis=0).tolist()
    both = best_on(features, targets, split, alphas, lambda p, t: float(((p - t) ** 2).mean()))
    assert int(both) == int(np.mean(losses, axis=1).argmin())


def test_a_lasso_keeps_the_columns_that_matter() -> None:
    features = rng().normal(size=(200, 6))
    target = 2 * features[:, 1] + 0.1 * rng(1).normal(size=200)
    split = (np.arange(150), np.arange(150, 200))
    weights = lasso_weights(features, target, split)
    assert weights[1] == pytest.approx(2, abs=0.15)
    assert np.abs(np.delete(weights, 1)).max() < 0.02
    assert not lasso_weights(np.zeros((200, 6)), target, split).any()


# --- logistic regression and neighbours ---


def faces_of_people(people: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes that hold who it is, in many columns, and the label, in few; one label a person."""
    person = np.repeat(np.arange(people), 10)
    labels = person % 2
    who = rng().normal(size=(people, 40))[person]
    codes = 3 * who + rng(1).normal(size=(len(person), 40))
    return codes, labels, person


def test_the_linear_probe_is_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, labels, _ = faces_of_people()
    monkeypatch.setattr(logistic, "STRENGTHS", (30.0,))
    found = linear_probabilities(
        train=codes[::2], labels=labels[::2], test=codes[1::2], classes=3, rng=rng()
    )
    known = make_pipeline(StandardScaler(), LogisticRegression(C=30 / 60, max_iter=200))
    expected = known.fit(codes[::2], labels[::2]).predict_proba(codes[1::2])
    np.testing.assert_allclose(found[:, :2], expected, atol=1e-9)
    assert not found[:, 2].any()


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Return the rows of all fits, as they come."""
    fits: list[np.ndarray] = []
    fit = logistic.fit_logistic

    def noted(features: np.ndarray, labels: np.ndarray, **options: object) -> object:
        fits.append(features)
        return fit(features, labels, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(logistic, "fit_logistic", noted)
    return fits


@pytest.mark.parametrize("probe", ["protocols", "grouped", "cross-subject"])
def test_the_inner_split_keeps_people_apart(probe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codes, labels, person = faces_of_people()
    fits = recorded(monkeypatch)
    if probe == "protocols":
        linear_probabilities(
            train=codes, labels=labels, test=codes, classes=2, groups=person, rng=rng()
        )
    elif probe == "grouped":
        fit_grouped(codes, labels, person, strengths=(0.1, 1.0))
    else:
        cross_subject.fit_classes(codes, labels, person)
    number = {row.tobytes(): who for row, who in zip(codes, person, strict=True)}
    assert len(fits) > 2
    for rows in fits[:-1]:
        counts = np.bincount([number[row.tobytes()] for row in rows], minlength=12)
        assert set(counts.tolist()) == {0, 10}
    assert len(fits[-1]) == len(codes)


def test_the_choice_by_people_differs_from_that_by_rows() -> None:
    # Every person has one label: by rows a weak penalty does best, as it learns who it is.
    codes, labels, person = faces_of_people()
    seen = {
        name: fit_grouped(codes, labels, groups, strengths=(1e-6, 1.0)).get_params()[
            "logisticregression__C"
        ]
        for name, groups in (("rows", np.arange(len(codes))), ("people", person % 12))
    }
    assert seen["rows"] == 1.0
    fit, held = balanced_folds(person)[0]
    assert not set(person[fit]) & set(person[held])


def test_cross_subject_predictions_never_saw_the_person() -> None:
    codes, _, person = faces_of_people()
    level = rng(3).normal(size=12)[person]
    found = cross_subject.out_of_fold(codes=codes, labels={"level": level}, person=person)
    assert abs(np.corrcoef(found["level"], level)[0, 1]) < 0.75
    known = Ridge.fit(codes[::2], level[::2, None]).predict(codes[1::2], 1.0)[:, 0]
    assert np.corrcoef(known, level[1::2])[0, 1] > 0.95


def test_votes_are_those_of_scikit_learns_neighbours() -> None:
    gallery, queries = rng().normal(size=(80, 6)), rng(1).normal(size=(30, 6))
    labels = rng(2).integers(0, 3, 80)
    votes = neighbour_votes(
        gallery=gallery, labels=labels, queries=queries, classes=3, counts=(5, 200)
    )

    def weight(distance: np.ndarray) -> np.ndarray:
        return 1 + (1 - distance) / 1000

    options: dict[str, Any] = {"metric": "cosine", "weights": weight}
    known = KNeighborsClassifier(5, **options).fit(gallery, labels)
    np.testing.assert_allclose(votes[5], known.predict_proba(queries), atol=1e-6)
    fractions = np.bincount(labels) / 80
    np.testing.assert_allclose(votes[200], np.tile(fractions, (30, 1)), atol=1e-3)


# --- metrics ---


def test_scores_of_classes_are_scikit_learns() -> None:
    target, prediction = rng().integers(0, 4, 200), rng(1).integers(0, 4, 200)
    matrix = confusion(prediction=prediction, target=target, classes=4)
    assert matrix.tolist() == confusion_matrix(target, prediction).tolist()
    assert accuracy(matrix) == pytest.approx(accuracy_score(target, prediction))
    assert balanced_accuracy(matrix) == pytest.approx(balanced_accuracy_score(target, prediction))
    assert macro_f1(matrix) == pytest.approx(f1_score(target, prediction, average="macro"))
    yes = binary_f1(prediction=prediction == 1, target=target == 1)
    assert yes == pytest.approx(f1_score(target == 1, prediction == 1))


def test_concordance_by_hand() -> None:
    p, t = np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])
    # cov = var = 2/3, and the means are 1 apart.
    assert concordance(prediction=p, target=t) == pytest.approx(2 * 2 / 3 / (4 / 3 + 1))
    assert concordance(prediction=p, target=p) == pytest.approx(1)


def test_the_curve_of_pairs_is_scikit_learns() -> None:
    same = rng().random(300) < 0.4
    similarity = np.round(rng(1).normal(size=300) + same, 1)
    curve = roc(similarity=similarity, same=same)
    assert auc(curve=curve) == pytest.approx(roc_auc_score(same, similarity))
    rate, threshold = tar_at_far(curve=curve, far=0.5)
    assert (similarity[~same] >= threshold).mean() <= 0.5
    assert rate >= (similarity[same] >= threshold).mean()
    assert 0 < eer(curve=curve) < 0.5
