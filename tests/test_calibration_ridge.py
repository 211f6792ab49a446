from __future__ import annotations

import numpy as np
import pytest

from mien.linear.model import leverage
from mien.linear.ridge import Ridge
from mien.probes.gaze_regression import make_basis, regress, strongest
from mien.probes.samples import GazeSamples, target_groups

STRENGTHS = np.array([0.01, 1.0, 30.0])


def problem(count: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    x = rng.normal(size=(count, features))
    y = x[:, :2] + rng.normal(size=(count, 2)) + 3
    return x - x.mean(axis=0), y


def ridge(x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weights and intercept by the normal equations, the intercept not penalised."""
    columns = np.hstack([x, np.ones((len(x), 1))])
    penalty = np.diag([strength] * x.shape[1] + [0])
    both = np.linalg.solve(columns.T @ columns + penalty, columns.T @ y)
    return both[:-1], both[-1]


def test_weights_are_those_of_the_normal_equations() -> None:
    for count, features in ((30, 5), (10, 25)):
        x, y = problem(count, features)
        found = Ridge.fit(x, y, standardise=False)
        for strength in STRENGTHS:
            np.testing.assert_allclose(found.weights(strength), ridge(x, y, strength)[0], atol=1e-9)
        both = found.weights(STRENGTHS[:2])
        for i in range(2):
            np.testing.assert_allclose(both[:, i], ridge(x, y, STRENGTHS[i])[0][:, i], atol=1e-9)


@pytest.mark.parametrize(("count", "features"), [(30, 5), (12, 25)])
@pytest.mark.parametrize("size", [1, 3, 10])
def test_errors_left_out_are_those_of_fitting_again(count: int, features: int, size: int) -> None:
    x, y = problem(count, features)
    groups = np.arange(count) // size
    found = Ridge.fit(x, y, standardise=False).left_out(STRENGTHS, groups)
    for k, strength in enumerate(STRENGTHS):
        for group in np.unique(groups):
            rest, held = groups != group, groups == group
            weights, intercept = ridge(x[rest], y[rest], strength)
            wrong = y[held] - x[held] @ weights - intercept
            np.testing.assert_allclose(found.residual[k, held], wrong, atol=1e-8)
            columns = np.hstack([x, np.ones((count, 1))])
            penalty = np.diag([strength] * features + [0])
            inverse = np.linalg.inv(columns[rest].T @ columns[rest] + penalty)
            excess = 1 + np.einsum("nf,fg,ng->n", columns[held], inverse, columns[held])
            np.testing.assert_allclose(found.excess[k, held], excess, rtol=1e-7)


def test_leverage_counts_directions_that_no_sample_took() -> None:
    x, y = problem(6, 9)
    rows = np.random.default_rng(1).normal(size=(4, 9))
    parts = Ridge.fit(x, y, standardise=False)
    inverse = np.linalg.inv(x.T @ x + 0.5 * np.eye(9))
    expected = np.einsum("nf,fg,ng->n", rows, inverse, rows)
    np.testing.assert_allclose(leverage(rows, parts.right, parts.values, 0.5), expected)


def test_features_have_mean_0_and_deviation_1_over_the_samples() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(3, 2, (40, 7))
    inputs[:, 3] = 5.0
    basis = make_basis(inputs, rng.normal(size=(7, 5)))
    features = basis.features(inputs)
    assert features.shape == (40, basis.size) == (40, 7 + 15)
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-9)
    std = features.std(axis=0)
    np.testing.assert_allclose(np.delete(std, 3), 1)
    assert std[3] == 0
    assert make_basis(inputs).features(inputs).shape == (40, 7)


def test_products_are_of_what_the_gaze_follows_and_the_head() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(500, 9))
    weights = np.zeros((9, 2))
    weights[1, 0], weights[4, 1], weights[7, 0] = 0.5, -0.3, 2.0
    linear = make_basis(inputs)
    directions = strongest(linear, inputs, weights, code_dim=6, more=0)
    assert directions.shape == (9, 5)
    features = make_basis(inputs, directions).features(inputs)[:, 9:]
    for first, second in ((1, 1), (1, 4), (4, 4), (1, 7), (4, 6), (7, 8)):
        wanted = inputs[:, first] * inputs[:, second]
        assert np.abs(np.corrcoef(features.T, wanted)[-1, :-1]).max() > 0.95
    assert strongest(linear, inputs, weights, code_dim=6, more=4).shape == (9, 9)


def test_offsets_are_shrunk_by_what_the_samples_are_worth() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 0.2, (40, 2))
    number = np.repeat(np.arange(40), np.where(np.arange(40) < 20, 3, 30))
    angles = truth[number] + rng.normal(0, 0.3, (len(number), 2))
    people = [f"p{i:02}" for i in number]
    inputs = rng.normal(size=(len(number), 2))
    made = regress(inputs, angles, np.arange(len(number)), code_dim=2, people=people)
    assert made.persons is not None
    assert made.persons.scale > 0
    np.testing.assert_allclose(made.noise, 0.3, rtol=0.1)
    found, variance = made.predict(np.zeros((40, 2)), made.persons.names)
    means = np.array([angles[number == i].mean(axis=0) for i in range(40)])
    few = slice(0, 20)
    assert np.square(found - truth)[few].mean() < 0.9 * np.square(means - truth)[few].mean()
    # The error of a new sample is noise and what is not known of the offset.
    rest = np.square(found - truth)[few].mean() + 0.3**2
    assert rest == pytest.approx(variance[few].mean(), rel=0.2)


def test_groups_are_people_then_targets_then_samples() -> None:
    rng = np.random.default_rng(0)
    angles = rng.normal(0, 0.2, (12, 2))
    people = np.array(["a", "b"] * 6)
    apart = GazeSamples(rng.normal(size=(12, 3)), angles, people, 3)
    assert apart.groups(by_people=True)[1] == "people"
    assert apart.groups(by_people=False)[1] == "samples"
    assert apart.take(np.arange(0, 12, 2)).groups(by_people=True)[1] == "samples"
    places = GazeSamples(apart.inputs, np.repeat(angles[:4], 3, axis=0), None, 3)
    groups, by = places.groups(by_people=True)
    assert by == "targets"
    assert len(set(groups)) == 4
    assert (groups.reshape(4, 3) == groups.reshape(4, 3)[:, :1]).all()


def test_targets_within_a_tenth_of_a_degree_are_one() -> None:
    angles = np.deg2rad([[10.0, 5.0], [10.01, 5.0], [10.0, 5.5], [-10.0, 5.0]])
    groups = target_groups(angles)
    assert groups[0] == groups[1]
    assert len(set(groups)) == 3
