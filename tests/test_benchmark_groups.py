import numpy as np
import pandas as pd
import pytest
from benchmarks.groups import group_errors, groups_of
from benchmarks.rendered import Truth

from mien.errors import MienError

PEOPLE, FRAMES = 30, 8


@pytest.fixture
def truth():
    """People of whom the darkest third look alike to the codes and whose yaw is wrong."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(PEOPLE), FRAMES)
    skin = np.repeat(np.linspace(30, 80, PEOPLE), FRAMES)
    dark = skin < np.quantile(np.linspace(30, 80, PEOPLE), 1 / 3)
    expression = rng.integers(0, 3, len(person))
    yaw = rng.normal(0, 0.3, len(person))
    labels = pd.DataFrame(
        {
            "person": person,
            "skin_lightness": skin,
            "glasses": (person % 2).astype(int),
            "beard": np.where(person % 3 == 0, 0.5, 0.0),
            "expression": np.array(["a", "b", "c"])[expression],
            "yaw_rad": yaw,
        }
    )
    who = rng.normal(size=(PEOPLE, 16))
    identity = who[person] + 0.3 * rng.normal(size=(len(person), 16))
    identity[dark] = 3.0 + 0.3 * rng.normal(size=(dark.sum(), 16))
    codes = np.eye(3)[expression] + 0.05 * rng.normal(size=(len(person), 3))
    codes[~dark] = rng.normal(size=((~dark).sum(), 3))
    predicted = pd.DataFrame({"yaw_rad": yaw + np.where(dark, np.deg2rad(10.0), 0.0)})
    return Truth(labels, {"identity": identity, "expression": codes}, predicted)


def test_groups_are_thirds_of_people_and_those_who_wear_something(truth):
    groups = groups_of(truth.labels)
    sizes = {name: len(np.unique(truth.person[rows])) for name, rows in groups.items()}
    assert list(sizes.values()) == [10, 10, 10, 15, 15, 10, 20]
    assert list(groups)[3:] == ["glasses", "no glasses", "beard", "no beard"]


def test_each_group_is_judged_by_settings_common_to_all(truth):
    found = group_errors(truth, pairs=2000, rng=np.random.default_rng(1))
    everybody, darkest, _, fairest, *_ = found.values()
    assert next(iter(found)) == "everybody"
    assert everybody.false_match_rate == pytest.approx(0.01, abs=0.002)
    assert (darkest.yaw_deg, fairest.yaw_deg) == pytest.approx((10.0, 0.0), abs=1e-6)
    assert everybody.yaw_deg == pytest.approx(10 / 3, abs=1e-6)
    # To the codes the darkest are one person, and nobody else is like another.
    assert darkest.false_match_rate > 0.05
    assert fairest.false_match_rate < 0.01
    assert darkest.expression > fairest.expression + 0.2


def test_labels_without_looks_are_refused(truth):
    with pytest.raises(MienError, match="no column glasses; render the people again"):
        groups_of(truth.labels.drop(columns="glasses"))
