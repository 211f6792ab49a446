"""Same-person scores by hand, and the shared run on made-up codes with a known answer."""

from dataclasses import replace

import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate.datasets.pairs import Pairs, folds_by_order
from mien.evaluate.protocol import EvalContext, FactorColumns, Images
from mien.evaluate.tasks.verification import face_codes, mirrored, verify
from mien.linear.verification import (
    FoldedPairs,
    auc,
    best_threshold,
    decide_over_folds,
    eer,
    fold_similarity,
    rank_1,
    roc,
    tar_at_far,
    unit_rows,
)
from mien.linear.verifier import pair_features, trained_decisions

YES, NO = True, False
KNOWN = ("identity", "texture_code", "shape_code", "yaw_rad")


def bools(*values):
    return np.array(values, dtype=bool)


def among(*, same=None, fold, first=None, second=None):
    """Pairs of which a test says no more than it needs."""
    row = np.arange(len(fold))
    first, second = (row if given is None else given for given in (first, second))
    same = np.ones(len(fold), dtype=bool) if same is None else same
    return FoldedPairs(first=first, second=second, same=same, fold=fold)


def test_the_threshold_lies_half_way_and_in_the_middle_of_equals():
    alike, same = np.array([0.1, 0.3, 0.5, 0.9]), bools(NO, NO, YES, YES)
    assert best_threshold(similarity=alike, same=same) == pytest.approx(0.4)
    # Above 0.2, 0.4 or 0.6 three of four are right: the middle one is taken.
    alike, same = np.array([0.1, 0.3, 0.5, 0.7]), bools(NO, YES, NO, YES)
    assert best_threshold(similarity=alike, same=same) == pytest.approx(0.2)
    everyone = best_threshold(similarity=np.array([-0.5, 0.5]), same=bools(YES, YES))
    assert everyone < -0.5
    nobody = best_threshold(similarity=np.array([-0.5, 0.5]), same=bools(NO, NO))
    assert nobody > 0.5


def test_pairs_without_a_face_are_never_accepted():
    alike = np.array([-1.0, -1.0, -1.0, 0.2])
    threshold = best_threshold(similarity=alike, same=bools(YES, YES, YES, YES))
    assert threshold > -1
    assert threshold < 0.2


def test_each_fold_is_decided_by_the_others_threshold():
    alike = np.array([0.1, 0.5, 0.6, 0.8])
    same, fold = bools(NO, YES, NO, YES), np.array([0, 0, 1, 1])
    done = decide_over_folds(among(same=same, fold=fold), alike)
    assert done.threshold.tolist() == pytest.approx([0.7, 0.3])
    assert done.correct.tolist() == [True, False, False, True]
    assert done.accuracy.tolist() == [0.5, 0.5]


def test_the_curve_its_area_and_its_rates_are_those_by_hand():
    same = bools(YES, YES, YES, YES, NO, NO, NO, NO)
    alike = np.array([0.9, 0.8, 0.6, 0.3, 0.7, 0.4, 0.2, 0.1])
    curve = roc(similarity=alike, same=same)
    wins = (alike[:4, None] > alike[None, 4:]).mean()
    assert auc(curve=curve) == pytest.approx(wins)
    assert tar_at_far(curve=curve, far=0.0) == (0.5, 0.8)
    assert tar_at_far(curve=curve, far=0.25) == (0.75, 0.6)
    # Between FAR 0.25 (0.75 accepted) and 0.5 (0.75 before, 1.0 after the next true pair).
    assert tar_at_far(curve=curve, far=0.4)[0] == pytest.approx(0.75)
    assert tar_at_far(curve=curve, far=1.0)[0] == 1.0
    assert eer(curve=curve) == pytest.approx(0.25)


def test_ties_are_taken_together():
    curve = roc(similarity=np.zeros(6), same=bools(YES, YES, YES, NO, NO, NO))
    assert auc(curve=curve) == pytest.approx(0.5)
    assert tar_at_far(curve=curve, far=0.1)[0] == pytest.approx(0.1)
    assert eer(curve=curve) == pytest.approx(0.5)


def test_codes_are_centred_on_the_other_folds_only():
    codes = np.array([[5.0, 1.0], [5.0, -1.0], [9.0, 0.0], [1.0, 0.0]])
    first, second, fold = np.array([0, 2]), np.array([1, 3]), np.array([0, 1])
    pairs = among(first=first, second=second, fold=fold)
    alike = fold_similarity(pairs, codes, np.ones(4, bool))
    # Both means are (5, 0): up against down, right against left.
    assert alike.tolist() == pytest.approx([-1.0, -1.0])
    moved = codes + np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 7.0], [0.0, 7.0]])
    one = fold_similarity(pairs, moved, np.ones(4, bool))
    # The first pair is seen from (5, 7), the second still from (5, 0).
    assert one[0] == pytest.approx(1.0)
    assert one[1] == pytest.approx((49 - 16) / (49 + 16))


def test_a_missing_face_is_minus_one_and_moves_no_mean():
    codes = np.array([[5.0, 1.0], [5.0, -1.0], [9.0, 0.0], [np.nan, np.nan]])
    pairs = among(first=np.array([0, 2]), second=np.array([1, 3]), fold=np.array([0, 1]))
    alike = fold_similarity(pairs, codes, bools(YES, YES, YES, NO))
    assert np.isfinite(alike).all()
    assert alike[1] == -1.0


def test_the_nearest_first_image_says_who_it_is():
    person = np.array([7, 7, 3, 3, 5, 7])
    codes = np.array([[1.0, 0], [0.9, 0.1], [-1, 0], [1, -0.1], [0, 1], [np.nan, np.nan]])
    found = bools(YES, YES, YES, YES, YES, NO)
    probes, correct = rank_1(codes=codes, found=found, person=person)
    # Person 5 has one image; 3's second is like 7's; without a face nobody is found.
    assert probes.tolist() == [1, 3, 5]
    assert correct.tolist() == [True, False, False]
    assert len(rank_1(codes=codes[:1], found=found[:1], person=person[:1])[0]) == 0


def test_pair_features_do_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 3))
    both = pair_features(first=a, second=b)
    assert both.shape == (5, 6)
    assert (both == pair_features(first=b, second=a)).all()
    assert both[0, 3] == pytest.approx(a[0, 0] * b[0, 0])


def made_up(people=40, dim=6, noise=20.0):
    """Two images of each person; only the first columns say who it is, the rest is loud."""
    rng = np.random.default_rng(3)
    who = rng.normal(size=(people, dim))
    loud = noise * rng.normal(size=(2 * people, dim))
    codes = np.concatenate([np.repeat(who, 2, axis=0), loud], axis=1) + 4
    one = np.arange(0, 2 * people, 2)
    first = np.concatenate([one, one])
    second = np.concatenate([one + 1, np.roll(one, 2) + 1])
    # People next to each other meet, so a few are in two folds.
    fold = np.tile(np.arange(people) * 4 // people, 2)
    same = np.arange(2 * people) < people
    return codes, FoldedPairs(first=first, second=second, same=same, fold=fold)


def test_the_trained_verifier_learns_which_columns_matter():
    codes, pairs = made_up()
    found = np.ones(len(codes), dtype=bool)
    plain = decide_over_folds(pairs, fold_similarity(pairs, codes, found)).correct.mean()
    rng = np.random.default_rng(0)
    trained = (trained_decisions(pairs, codes, found, rng) == pairs.same).mean()
    assert plain < 0.75
    assert trained > plain + 0.1
    found[pairs.first[0]] = False
    assert not trained_decisions(pairs, codes, found, rng)[0]


def test_the_verifier_never_sees_the_tested_labels():
    codes, pairs = made_up()
    tested = pairs.fold == 0
    turned = replace(pairs, same=np.where(tested, ~pairs.same, pairs.same))
    one, other = (
        trained_decisions(given, codes, np.ones(len(codes), bool), np.random.default_rng(0))
        for given in (pairs, turned)
    )
    assert (one[tested] == other[tested]).all()
    assert (one != other).any()


def test_wide_codes_are_projected_and_still_tell_people_apart():
    rng = np.random.default_rng(1)
    who = np.repeat(rng.normal(size=(30, 1500)), 2, axis=0)
    _, pairs = made_up(people=30)
    decided = trained_decisions(pairs, who, np.ones(60, bool), np.random.default_rng(0))
    assert (decided == pairs.same).mean() > 0.9


def test_folds_follow_the_list_or_split_either_kind():
    mixed = bools(YES, NO, YES, NO, YES, NO)
    assert folds_by_order(same=mixed, wanted=10, protocol="x").tolist() == [0, 0, 1, 1, 2, 2]
    apart = bools(YES, YES, YES, YES, NO, NO, NO, NO)
    assert folds_by_order(same=apart, wanted=2, protocol="x").tolist() == [0, 0, 1, 1] * 2
    with pytest.raises(MienError, match=r"x: 1 pairs of one person and 2 of two people are too"):
        folds_by_order(same=bools(YES, NO, NO), wanted=10, protocol="x")


def images_of(count, **more):
    """Images whose pixels say their number, dark at the left."""

    def read(i):
        pixels = np.full((200, 100, 3), i, np.uint8)
        pixels[:, :10] = 255
        return pixels

    return Images(tuple(f"{i}.jpg" for i in range(count)), read, **more)


class Describing:
    """GetFactors images by their names: rows of `codes`, nothing for those in `lost`."""

    def __init__(self, codes, *, lost=(), knows=KNOWN, reads_pixels=True):
        self.codes, self.lost, self.reads_pixels = codes, list(lost), reads_pixels
        self.columns, self.asked = frozenset(knows), []

    def __call__(self, images, columns, /):
        if not set(columns) <= self.columns:
            raise MienError("no such column")
        self.asked.append(images.names[0])
        rows = np.array([int(name.split(".")[0]) for name in images.names])
        found = ~np.isin(rows, self.lost)
        out = {}
        for name in columns:
            yaw = np.linspace(-1, 1, len(self.codes))
            value = yaw[rows] if name == "yaw_rad" else self.codes[rows]
            out[name] = np.where(found if value.ndim == 1 else found[:, None], value, np.nan)
            out[name] = out[name].astype(np.float32)
        return FactorColumns(found, found.copy(), out)


def people_in_pairs(people=20, folds=4):
    """Each person's two images are a pair, and each person's first with the next one's second."""
    one = np.arange(0, 2 * people, 2)
    part = np.arange(people) * folds // people
    size = people // folds
    following = part * size + (np.arange(people) - part * size + 1) % size
    return Pairs(
        images=images_of(2 * people, fallback=(0.1, 0.2, 0.5, 0.6)),
        first=np.concatenate([one, one]),
        second=np.concatenate([one + 1, 2 * following + 1]),
        same=np.arange(2 * people) < people,
        fold=np.concatenate([part, part]),
        person=np.repeat(np.arange(people), 2),
    )


def score_of(result):
    return {score.name: score for score in result.scores}


def test_codes_that_know_everybody_score_all_and_codes_of_noise_nothing():
    pairs = replace(people_in_pairs(), identify=True, notes=("so it is",))
    rng = np.random.default_rng(0)
    known = np.repeat(rng.normal(size=(20, 30)), 2, axis=0)
    result = verify(pairs, EvalContext(Describing(known)))
    scores = score_of(result)
    assert [s.name for s in result.scores if s.main] == ["accuracy, cosine"]
    assert scores["accuracy, cosine"].value == 100
    assert scores["accuracy, cosine"].count == 40
    assert scores["AUC, cosine, both codes"].value == 1
    assert scores["EER, cosine"].value == 0
    assert not scores["EER, cosine"].higher_is_better
    assert scores["TAR at FAR 10 %, cosine"].value == 100
    assert "TAR at FAR 1 %, cosine" not in scores  # 20 pairs of two people are too few
    assert scores["rank-1, cosine"].value == 100
    assert scores["rank-1, cosine"].count == 20
    assert not result.failures
    assert result.notes == ("so it is",)
    noise = score_of(verify(pairs, EvalContext(Describing(rng.normal(size=(40, 30))))))
    assert 25 <= noise["accuracy, cosine"].value <= 75
    low, high = noise["accuracy, cosine"].low, noise["accuracy, cosine"].high
    assert low is not None
    assert high is not None
    assert 5 < high - low < 50
    assert low < noise["accuracy, cosine"].value < high
    assert noise["rank-1, cosine"].value < 30


def test_missing_faces_count_as_two_people_and_are_told():
    pairs = replace(people_in_pairs(), identify=True)
    known = np.repeat(np.random.default_rng(0).normal(size=(20, 30)), 2, axis=0)
    result = verify(pairs, EvalContext(Describing(known, lost=[0]), gallery=3))
    scores = score_of(result)
    # Image 0 is in one pair of one person (wrong) and in one of two people (right).
    assert scores["accuracy, cosine"].value == pytest.approx(100 * 39 / 40)
    assert scores["accuracy, trained verifier"].value <= 100 * 39 / 40
    assert scores["accuracy, cosine, pairs with faces only"].value == 100
    assert scores["accuracy, cosine, pairs with faces only"].count == 38
    assert scores["rank-1, cosine"].value == pytest.approx(95)
    assert result.notes == ("No face in 1 of 40 images: 2 pairs count as two people",)
    (worst,) = result.failures
    assert worst.caption.startswith("one person: cosine -1.00, threshold ")
    assert [image.shape for image in worst.images] == [(160, 80, 3)] * 2
    assert worst.images[1][50, 60, 0] == 1


def numbers(table, column):
    return np.array([row[column] for row in table.rows], dtype=float)


def test_tables_tell_folds_thresholds_and_turns():
    known = np.repeat(np.random.default_rng(0).normal(size=(20, 30)), 2, axis=0)
    result = verify(people_in_pairs(), EvalContext(Describing(known)))
    folds, costs, turns = result.tables
    assert [row[0] for row in folds.rows] == [*(f"fold {i}" for i in range(1, 5)), "standard error"]
    assert folds.rows[0][1:3] == (10, 100.0)
    assert costs.rows[0][0] == "FAR 10 % at most"
    assert numbers(costs, 2)[0] <= 10
    assert costs.rows[-1][2:] == (0.0, 100.0)
    # A pair turns as the more turned of its heads does.
    assert numbers(turns, 1).sum() == 40
    assert numbers(turns, 1)[0] < numbers(turns, 1)[3]
    assert all(row[2] in (None, 100.0) for row in turns.rows)


def test_what_cannot_be_had_is_done_without():
    pairs = people_in_pairs()
    known = np.repeat(np.random.default_rng(0).normal(size=(20, 30)), 2, axis=0)
    table = Describing(known, knows=KNOWN[:3], reads_pixels=False)
    result = verify(pairs, EvalContext(table))
    assert score_of(result)["accuracy, cosine"].value == 100
    assert len(result.tables) == 2
    assert result.notes == ("Codes are of the images alone: mirror images could not be described",)
    assert table.asked == ["0.jpg"]
    with pytest.raises(MienError, match="no such column"):
        verify(pairs, EvalContext(Describing(known, knows=("identity",))))


def test_mirror_images_are_described_and_their_faults_are_reported():
    class Broken(Describing):
        def __call__(self, images, columns, /):
            if "mirrored" in images.names[0]:
                raise MienError("0.jpg (mirrored) cannot be read")
            return super().__call__(images, columns)

    known = np.repeat(np.random.default_rng(0).normal(size=(20, 30)), 2, axis=0)
    sound = Describing(known)
    verify(people_in_pairs(), EvalContext(sound))
    assert sound.asked == ["0.jpg", "0.jpg (mirrored)"]
    with pytest.raises(MienError, match="cannot be read"):
        verify(people_in_pairs(), EvalContext(Broken(known)))


def test_a_fold_is_decided_by_the_threshold_of_the_others():
    # By its own threshold, 0.85, fold 0 would be all right; by the others', 0.3, half of it is.
    similarity = np.array([0.9, 0.8, 0.5, 0.1, 0.5, 0.1])
    same, fold = np.tile([True, False], 3), np.repeat(np.arange(3), 2)
    found = decide_over_folds(among(same=same, fold=fold), similarity)
    assert found.threshold[0] == pytest.approx(0.3)
    assert found.accuracy[0] == 0.5


def test_the_same_data_and_seed_give_the_same_and_other_data_another_name():
    pairs = people_in_pairs()
    codes = np.random.default_rng(5).normal(size=(40, 4))
    one, other = (verify(pairs, EvalContext(Describing(codes), seed=2)) for _ in range(2))
    assert one.scores == other.scores
    flipped = replace(pairs, first=pairs.second, second=pairs.first)
    assert verify(flipped, EvalContext(Describing(codes))).data != one.data


def test_an_image_and_its_mirror_image_are_averaged():
    class Mirror(Describing):
        def __call__(self, images, columns, /):
            turned = "mirrored" in images.names[0]
            value = np.full((len(images), 2), 3.0 if turned else 1.0, np.float32)
            found = np.array([name[0] != ("1" if turned else "0") for name in images.names])
            value[~found] = np.nan
            return FactorColumns(found, found.copy(), dict.fromkeys(columns, value))

    faces = face_codes(images_of(3), EvalContext(Mirror(np.zeros((3, 2)), knows=KNOWN[:3])))
    # 0 was found in the mirror only, 1 as it is only.
    assert faces.codes["identity"][:, 0].tolist() == [3.0, 1.0, 2.0]
    assert faces.codes["both codes"].shape == (3, 4)
    assert faces.found.all()
    assert faces.detected.tolist() == [False, True, True]


def test_mirrored_images_carry_boxes_and_fallback_along():
    plain = images_of(2, fallback=(0.1, 0.2, 0.5, 0.6))
    turned = mirrored(plain)
    assert turned.fallback == pytest.approx((0.5, 0.2, 0.9, 0.6))
    assert (turned.read(1) == plain.read(1)[:, ::-1]).all()
    assert not set(turned.names) & set(plain.names)
    boxed = images_of(1, crop="box", boxes=np.array([[10.0, 20, 40, 50]]))
    boxes = mirrored(boxed, width=100).boxes
    assert boxes is not None
    assert boxes.tolist() == [[60, 20, 90, 50]]
    with pytest.raises(ValueError, match="width"):
        mirrored(boxed)


def test_rows_of_no_length_stay_finite():
    assert np.isfinite(unit_rows(codes=np.zeros((2, 3)), mean=np.zeros(3))).all()


def test_pairs_that_make_no_sense_are_refused():
    pairs = people_in_pairs()
    with pytest.raises(ValueError, match="two folds"):
        replace(pairs, fold=np.zeros_like(pairs.fold))
