"""Probes of expression against numbers worked by hand, and what is done about missing faces."""

from dataclasses import replace

import numpy as np
import pytest

from made_factors import Describing
from mien.errors import MienError
from mien.evaluate.datasets.fer2013 import without_duplicates
from mien.evaluate.datasets.sets import (
    ActionUnitSet,
    LabelledSet,
    ValenceArousalSet,
    sample_per_class,
)
from mien.evaluate.protocol import EvalContext, FactorColumns, Images
from mien.evaluate.scores import small
from mien.evaluate.tasks import few_labels as few_module
from mien.evaluate.tasks.action_units import (
    best_threshold,
    measure_action_units,
    predict_action_unit,
)
from mien.evaluate.tasks.classification import measure, merged
from mien.evaluate.tasks.labelled import COLUMNS, SETS, codes_of, known_sets
from mien.evaluate.tasks.valence_arousal import measure_valence_arousal
from mien.linear.folds import held_out
from mien.linear.knn import knn_probabilities, neighbour_votes
from mien.linear.logistic import linear_probabilities
from mien.linear.metrics import (
    accuracy,
    balanced_accuracy,
    binary_f1,
    concordance,
    confusion,
    macro_f1,
)

CLASSES = ("sad", "happy", "angry")


def rng(seed=0):
    return np.random.default_rng(seed)


def images(count):
    names = tuple(f"{i:04d}.png" for i in range(count))
    return Images(names, lambda i: np.full((200, 100, 3), i % 256, np.uint8))


def described(codes, found=None, yaw=0.0):
    """Factors whose codes say `codes`, and whose pose and light say nothing."""
    count = len(codes)
    found = np.ones(count, bool) if found is None else found
    columns = {
        name: np.full(count, 0.1, np.float32)
        if name.endswith("_rad") or name.startswith("light")
        else np.asarray(codes, np.float32).copy()
        for name in COLUMNS
    }
    columns["yaw_rad"] = np.full(count, yaw, np.float32) + np.zeros(count, np.float32)
    for values in columns.values():
        values[~found] = np.nan
    return FactorColumns(found, found, columns)


def clear_codes(labels, seed=1):
    """Codes from which the class can be read without an error."""
    noise = 0.1 * rng(seed).standard_normal((len(labels), 6))
    return 4 * np.eye(6)[labels] + noise


def context(**more):
    return EvalContext(Describing(lambda *_: pytest.fail("nothing is described")), trials=1, **more)


def value_of(result, name):
    (found,) = [score.value for score in result.scores if score.name == name]
    return found


def test_metrics_of_a_confusion_by_hand() -> None:
    target = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    predicted = np.array([0, 0, 0, 1, 1, 2, 2, 0])
    matrix = confusion(prediction=predicted, target=target, classes=4)
    assert matrix.tolist() == [[3, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert accuracy(matrix) == pytest.approx(5 / 8)
    assert balanced_accuracy(matrix) == pytest.approx((3 / 4 + 1 / 2 + 1 / 2) / 3)
    # TP, FP, FN: 3 1 1, then 1 1 1, then 1 1 1; the fourth class never occurs.
    assert macro_f1(matrix) == pytest.approx((6 / 8 + 2 / 4 + 2 / 4) / 3)


def test_a_class_that_is_only_ever_said_costs_f1() -> None:
    matrix = confusion(prediction=np.array([0, 1]), target=np.array([0, 0]), classes=2)
    assert macro_f1(matrix) == pytest.approx((2 / 3 + 0) / 2)
    assert balanced_accuracy(matrix) == pytest.approx(1 / 2)


def test_the_held_out_fifth_keeps_groups_together_and_classes_alive() -> None:
    labels = np.repeat([0, 1], [50, 2])
    fit, held = held_out(labels=labels, groups=None, rng=rng())
    assert sorted([*fit, *held]) == list(range(52))
    assert (labels[held] == 0).sum() == 10
    assert (labels[held] == 1).sum() == 1
    groups = np.arange(52) % 10
    fit, held = held_out(labels=labels, groups=groups, rng=rng())
    assert not set(groups[fit]) & set(groups[held])
    assert len(set(groups[held])) == 2
    _, none = held_out(labels=np.array([0, 1, 2]), groups=None, rng=rng())
    assert len(none) == 0


def test_a_linear_probe_reads_what_is_there_and_nothing_else() -> None:
    labels = rng().integers(0, 3, 240)
    codes = clear_codes(labels)
    known = {"train": codes[:120], "labels": labels[:120], "test": codes[120:], "classes": 3}
    chance = linear_probabilities(**known, rng=rng())
    assert chance.sum(axis=1) == pytest.approx(np.ones(120))
    assert (chance.argmax(axis=1) == labels[120:]).all()
    shuffled = linear_probabilities(
        **{**known, "labels": rng(3).permutation(labels[:120])}, rng=rng()
    )
    assert (shuffled.argmax(axis=1) == labels[120:]).mean() < 0.6


def test_a_class_that_is_not_taught_has_no_probability() -> None:
    labels = np.repeat([0, 2], 20)
    codes = clear_codes(labels)
    chance = linear_probabilities(train=codes, labels=labels, test=codes, classes=4, rng=rng())
    assert (chance[:, [1, 3]] == 0).all()
    assert (chance.argmax(axis=1) == labels).all()


def test_neighbours_vote_and_the_nearer_class_wins_a_tie() -> None:
    gallery = np.array([[1.0, 0.0], [0.9, 0.3], [0.0, 1.0]])
    labels = np.array([1, 0, 0])
    votes = neighbour_votes(
        gallery=gallery, labels=labels, queries=np.array([[2.0, 0.1]]), classes=2, counts=(1, 2, 3)
    )
    assert votes[1].tolist() == [[0, 1]]
    assert votes[2].argmax() == 1
    assert votes[2] == pytest.approx(np.array([[0.5, 0.5]]), abs=1e-3)
    assert votes[3] == pytest.approx(np.array([[2 / 3, 1 / 3]]), abs=1e-3)


def test_the_number_of_neighbours_is_chosen_where_labels_are_noisy() -> None:
    labels = np.repeat([0, 1], 200)
    codes = rng().standard_normal((400, 2)) * 0.3 + np.where(labels[:, None], [1.0, 0], [0, 1.0])
    noisy = np.where(rng(2).random(400) < 0.3, 1 - labels, labels)
    chance = knn_probabilities(train=codes, labels=noisy, test=codes, classes=2, rng=rng())
    # One neighbour, itself, would repeat the wrong labels: 70 % right.
    assert (chance.argmax(axis=1) == labels).mean() > 0.78


def test_so_many_labels_of_each_class_are_sampled() -> None:
    labels = np.repeat([0, 1, 2], [10, 3, 10])
    rows = sample_per_class(labels=labels, count=4, rng=rng())
    assert np.bincount(labels[rows]).tolist() == [4, 3, 4]
    assert len(set(rows)) == 11
    assert set(rows) != set(sample_per_class(labels=labels, count=4, rng=rng(1)))


def test_concordance_by_hand() -> None:
    target = np.array([0.0, 1.0, 2.0])
    assert concordance(prediction=target, target=target) == pytest.approx(1)
    assert concordance(prediction=-target, target=-target[::-1]) == pytest.approx(-1)
    # cov 2/3, variances 2/3 each, means 1 apart: (4/3) / (4/3 + 1)
    assert concordance(prediction=target + 1, target=target) == pytest.approx(4 / 7)
    assert concordance(prediction=2 * target, target=target) == pytest.approx(
        2 * (4 / 3) / (8 / 3 + 2 / 3 + 1)
    )
    assert np.isnan(concordance(prediction=np.ones(3), target=np.ones(3)))


def test_f1_and_its_best_threshold_by_hand() -> None:
    predicted, truth = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 0], bool)
    assert binary_f1(prediction=predicted, target=truth) == pytest.approx(1 / 2)
    assert binary_f1(prediction=~predicted & False, target=~predicted & False) == 0
    limit, best = best_threshold(
        probability=np.array([0.9, 0.4, 0.4, 0.1]), target=np.array([1, 1, 0, 0], bool)
    )
    # 0.9 alone: 2/3; both rows of 0.4 with it: 4/5.
    assert (limit, best) == (0.4, pytest.approx(4 / 5))


def test_action_units_that_never_change_are_said_as_they_are() -> None:
    codes = rng().standard_normal((8, 3))
    for always in (True, False):
        predicted, margin = predict_action_unit(
            train=codes, seen=np.full(8, always), test=codes[:3], rng=rng()
        )
        assert predicted.tolist() == [always] * 3
        assert not margin.any()


def task_of(labels, train, **more):
    rows = np.arange(len(labels))
    return LabelledSet(
        images(len(labels)), labels, CLASSES, ((rows[:train], rows[train:]),), **more
    )


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(few_module, "COUNTS", (1, 4))


def test_a_task_is_scored_exactly(short) -> None:
    labels = np.tile([0, 1, 2], 40)
    shown = labels.copy()
    shown[[60, 61, 62, 63]] = (labels[[60, 61, 62, 63]] + 1) % 3  # four test images mislead
    result = measure(
        replace(task_of(labels, 60), subsets={"first": np.arange(50, 64)}),
        described(clear_codes(shown), yaw=np.radians(20)),
        context(gallery=3),
    )
    for name in SETS:
        assert value_of(result, f"accuracy, linear, {name}") == pytest.approx(100 * 56 / 60)
        assert value_of(result, f"accuracy, k-NN, {name}") == pytest.approx(100 * 56 / 60)
    assert value_of(result, "accuracy, linear, all codes, first") == 0
    assert value_of(result, "accuracy, 4 labels a class, all codes") == pytest.approx(100 * 56 / 60)
    main = [score for score in result.scores if score.main]
    assert [score.name for score in main] == [
        "accuracy, linear, all codes",
        "accuracy, linear, features",
    ]
    assert main[0].low is not None
    assert main[0].high is not None
    assert main[0].low < main[0].value < main[0].high
    confused, turned, few = result.tables
    assert [row[1] for row in confused.rows] == [20, 20, 20]
    assert confused.rows[0] == ("sad", 20, 90.0, 10.0, 0.0)
    assert all(type(cell) in (str, int, float) for row in confused.rows for cell in row)
    assert turned.rows[1] == ("15-30 deg", 60, pytest.approx(100 * 56 / 60, abs=1e-3))
    assert len(few.rows) == 6
    assert len(result.failures) == 3
    assert max(result.failures[0].images[0].shape) == 160
    assert "predicted" in result.failures[0].caption


def test_a_method_with_one_description_is_asked_once() -> None:
    class Single(FactorColumns):
        def joined(self, *names):
            return np.full((len(self), 2), np.nan if names == SETS["features"] else 1.0, np.float32)

    whole = described(clear_codes(np.tile([0, 1, 2], 4)))
    assert known_sets(whole) == tuple(SETS)
    assert known_sets(Single(whole.found, whole.found, {})) == ("all codes",)


def test_images_without_a_face_count_as_the_most_frequent_class(short) -> None:
    labels = np.concatenate([np.repeat([0, 1, 2], [30, 20, 20]), np.tile([0, 1, 2], 10)])
    found = np.ones(100, bool)
    found[[0, 70, 71, 72]] = False  # one in training, three (a class each) in testing
    result = measure(task_of(labels, 70), described(clear_codes(labels), found), context())
    # Two of the three are wrong: the one of class 0 is right by luck.
    assert value_of(result, "accuracy, linear, all codes") == pytest.approx(100 * 28 / 30)
    assert value_of(result, "accuracy, linear, all codes, faces found") == 100
    assert value_of(result, "accuracy, k-NN, all codes") == pytest.approx(100 * 28 / 30)
    notes = " ".join(result.notes)
    assert "1 training images without a face" in notes
    assert "3 test images without a face" in notes
    assert result.failures == ()  # there is nothing to see in them


def test_factors_without_pose_or_light_are_enough(short) -> None:
    labels = np.tile([0, 1, 2], 20)
    given = described(clear_codes(labels))
    for name in COLUMNS[4:]:
        given.columns[name][:] = np.nan
    assert codes_of(given, "all codes").shape == (60, 24)
    result = measure(task_of(labels, 30), given, context())
    assert value_of(result, "accuracy, linear, all codes") == 100
    assert len(result.tables) == 2  # none by yaw


def test_one_seed_gives_one_outcome_and_the_data_have_a_name(short) -> None:
    labels = rng().integers(0, 3, 80)
    codes = rng(1).standard_normal((80, 6)) + np.eye(6)[labels]
    first, again = (measure(task_of(labels, 50), described(codes), context()) for _ in range(2))
    assert first.scores == again.scores
    assert first.data == again.data
    other = labels.copy()
    other[79] = (other[79] + 1) % 3
    assert measure(task_of(other, 50), described(codes), context()).data != first.data
    both = merged([first, again], gallery=2, notes=["once"])
    assert len(both.scores) == 2 * len(first.scores)
    assert both.notes == ("once", *first.notes)


def test_tasks_that_cannot_be_learned_are_refused() -> None:
    with pytest.raises(MienError, match="0 to test on"):
        task_of(np.array([0, 1]), 2)
    with pytest.raises(MienError, match="one class only"):
        task_of(np.array([1, 1, 0]), 2)
    nobody = Describing(lambda p, c: described(np.zeros((len(p), 6)), np.zeros(len(p), bool)))
    with pytest.raises(MienError, match="faces are found in no image"):
        EvalContext(nobody).describe_faces(images(3), COLUMNS)


def test_valence_and_arousal_are_scored_by_concordance() -> None:
    felt = rng().uniform(-0.9, 0.9, (120, 2))
    codes = np.concatenate([felt @ rng(1).standard_normal((2, 5)), rng(2).random((120, 1))], axis=1)
    clip = np.repeat(np.arange(12), 10)
    rows = np.arange(120)
    task = ValenceArousalSet(images(120), ("valence", "arousal"), felt, rows[:80], rows[80:], clip)
    found = np.ones(120, bool)
    result = measure_valence_arousal(task, described(codes, found), context(gallery=2))
    for name in ("valence", "arousal", "mean"):
        assert value_of(result, f"CCC, {name}, linear, all codes") > 0.98
    assert [score.name for score in result.scores if score.main] == [
        "CCC, valence, linear, all codes",
        "CCC, arousal, linear, all codes",
    ]
    found[80:100] = False
    less = measure_valence_arousal(task, described(codes, found), context(gallery=2))
    assert value_of(less, "CCC, mean, linear, all codes") < 0.8
    assert "20 test images without a face" in " ".join(less.notes)
    assert less.failures[0].caption.startswith("valence ")


def test_action_units_are_scored_by_their_mean_f1() -> None:
    seen = rng().random((200, 2)) < (0.5, 0.2)
    codes = np.concatenate([4.0 * seen, 0.1 * rng(1).standard_normal((200, 4))], axis=1)
    codes[150] = codes[np.flatnonzero(seen[:, 0] != seen[150, 0])[0]]
    rows = np.arange(200)
    task = ActionUnitSet(images(200), ("AU1", "AU2"), seen, rows[:150], rows[150:], rows // 10)
    result = measure_action_units(task, described(codes), context(gallery=4))
    wrong = seen[150:].copy()
    wrong[0] = codes[150, :2] > 2
    expected = [100 * binary_f1(prediction=wrong[:, k], target=seen[150:, k]) for k in (0, 1)]
    assert value_of(result, "F1, AU1, linear, all codes") == pytest.approx(expected[0])
    assert value_of(result, "mean F1, linear, all codes") == pytest.approx(np.mean(expected))
    assert [score.name for score in result.scores if score.main] == ["mean F1, linear, all codes"]
    assert len(result.failures) == 1
    assert "AU1" in result.failures[0].caption


def test_twins_are_left_out_of_training() -> None:
    shades = [1, 2, 3, 3, 5]
    some = Images(tuple("abcde"), lambda i: np.full((2, 2, 3), shades[i], np.uint8))
    kept, twins = without_duplicates(some, np.array([0, 1, 2]), np.array([3, 4]))
    assert kept.tolist() == [0, 1]
    assert twins == 1


def test_images_of_the_gallery_are_small() -> None:
    assert small(np.zeros((320, 640, 3), np.uint8)).shape == (80, 160, 3)
    assert small(np.zeros((48, 48, 3), np.uint8)).shape == (48, 48, 3)
