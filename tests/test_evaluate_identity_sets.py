"""Tiny trees of the official layouts of LFW, SLLFW, CPLFW, CALFW, CFP and AgeDB."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from made_factors import Describing
from mien.errors import MienError
from mien.evaluate.datasets.cfp import read_cfp
from mien.evaluate.datasets.lfw import MIDDLE, read_cross, read_lfw, read_sllfw
from mien.evaluate.datasets.pairs import lfw_pairs, row_pairs, two_line_pairs
from mien.evaluate.datasets.sampled_pairs import PER_PERSON, read_agedb, read_people, sample_folds
from mien.evaluate.protocol import EvalContext, FactorColumns
from mien.evaluate.protocols import find_protocol

AGEDB = find_protocol("agedb")
AGEDB30 = find_protocol("agedb30")
CALFW = find_protocol("calfw")
CPLFW = find_protocol("cplfw")
CFP_FF = find_protocol("cfp-ff")
CFP_FP = find_protocol("cfp-fp")
LFW_PEOPLE = find_protocol("lfw-people")
LFW = find_protocol("lfw")
SLLFW = find_protocol("sllfw")

REAL = Path(__file__).parents[2] / "shared" / "data" / "lfw-unpaired" / "images.zip"
PEOPLE = [f"Ann_{chr(65 + i)}" for i in range(8)]


def jpeg(grey=90, size=(12, 12)):
    out = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), grey, np.uint8)).save(out, "JPEG")
    return out.getvalue()


def put(place, name, data=None):
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg() if data is None else data)


def person_in(name):
    """The person that a path of any of the layouts tells."""
    words = name.split(" ")[0].replace("/frontal", "").replace("/profile", "").split("/")
    return words[-2] if words[-2:-1] and not words[-1].startswith("Ann") else words[-1][:5]


def knowing(who=person_in):
    """GetFactors images by codes that know everybody: as the names say."""
    asked = []

    def describe(images, columns):
        asked.append(images)
        images.read(0)
        people = [sum(ord(c) * 31**i for i, c in enumerate(who(n))) for n in images.names]
        codes = np.stack([np.random.default_rng(p).normal(size=16) for p in people])
        found = np.ones(len(images), dtype=bool)
        yaw = np.zeros(len(images), np.float32)
        out = {name: yaw if name == "yaw_rad" else codes.astype(np.float32) for name in columns}
        return FactorColumns(found, found, out)

    return EvalContext(Describing(describe), gallery=2), asked


def main_score(result):
    (score,) = [score for score in result.scores if score.main]
    assert score.name == "accuracy, cosine"
    return score


def lfw_list(folds=2, each=2):
    """Fold i holds two people: each with himself, and the one with the other."""
    lines = [f"{folds}\t{each}"]
    for i in range(folds):
        p, q = PEOPLE[2 * i], PEOPLE[2 * i + 1]
        lines += [f"{p}\t1\t2", f"{q}\t1\t2", f"{p}\t1\t{q}\t2", f"{p}\t2\t{q}\t1"]
    return "\n".join(lines) + "\n"


@pytest.fixture
def lfw(tmp_path):
    place = tmp_path / "lfw_root"
    for person in PEOPLE[:5]:
        for i in (1, 2):
            put(place, f"lfw_funneled/{person}/{person}_000{i}.jpg")
    put(place, "lfw_funneled/Ann_Z/Ann_Z_0001.jpg")
    put(place, "pairs.txt", lfw_list().encode())
    return place


def test_lfw_is_read_scored_and_told_apart(lfw, tmp_path):
    assert LFW.matches(lfw)
    assert not LFW.matches(tmp_path)
    assert not LFW.matches(tmp_path / "missing")
    pairs = read_lfw(lfw)
    assert pairs.notes == ("Images of lfw_funneled/",)
    names = pairs.images.names
    assert names[pairs.first[2]] == "lfw_funneled/Ann_A/Ann_A_0001.jpg"
    assert names[pairs.second[2]] == "lfw_funneled/Ann_B/Ann_B_0002.jpg"
    assert pairs.same.tolist() == [True, True, False, False] * 2
    assert pairs.fold.tolist() == [0] * 4 + [1] * 4
    assert len(names) == 10  # all who have two, in no pair too, and not the one who has one
    context, asked = knowing()
    result = LFW.run(lfw, context)
    assert main_score(result).value == 100
    assert {s.name: s.count for s in result.scores}["rank-1, cosine"] == 5
    assert asked[-1].fallback is not None
    x1, y1, x2, y2 = MIDDLE
    assert 250 * (x2 - x1) == pytest.approx(250 * (y2 - y1))
    assert 250 * (x2 - x1) == pytest.approx(119.3, abs=0.1)


def test_lfw_in_a_zip_says_the_same(lfw, tmp_path):
    packed = tmp_path / "lfw.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(lfw.rglob("*.*")):
            archive.write(path, path.relative_to(lfw).as_posix())
    assert LFW.matches(packed)
    assert LFW.run(packed, knowing()[0]).data == LFW.run(lfw, knowing()[0]).data


def test_what_lfw_lacks_is_named(lfw):
    (lfw / "lfw_funneled/Ann_A/Ann_A_0002.jpg").unlink()
    with pytest.raises(MienError, match=r"lfw: 1 images of the pairs are not in .*Ann_A_0002"):
        read_lfw(lfw)
    (lfw / "pairs.txt").unlink()
    with pytest.raises(MienError, match=r"pairs\.txt is missing; LFW's pairs\.txt of View 2"):
        read_lfw(lfw)
    put(lfw, "pairs.txt", b"1100\nAnn_A\t1\t2\n")
    assert not LFW.matches(lfw)
    with pytest.raises(MienError, match="View 2"):
        read_lfw(lfw)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.rsplit("\n", 2)[0], "has 7 pairs where its first line has 2 x 4"),
        (lambda text: text.replace("Ann_A\t1\t2\n", "Ann_A\t1\tx\n"), "line 2 is neither"),
        (lambda text: text.replace("Ann_A\t1\t2\n", "Ann_A\t1\tAnn_C\t2\n"), "fold 1 has not 2"),
        (lambda text: "", "does not begin with"),
    ],
)
def test_broken_lists_of_lfw_are_refused(change, message):
    with pytest.raises(MienError, match=message):
        lfw_pairs(change(lfw_list()), where="pairs.txt")


def test_sllfw_takes_its_own_list_with_lfws_images(lfw):
    rows = []
    for i in (0, 2):
        p, q = PEOPLE[i], PEOPLE[i + 1]
        rows += [f"{p}/{p}_0001.jpg", f"{p}/{p}_0002.jpg"]
        rows += [f"{p}/{p}_0001.jpg", f"{q}/{q}_0002.jpg"]
    put(lfw, "pair_SLLFW.txt", "\n".join(rows).encode())
    assert SLLFW.matches(lfw)
    pairs = read_sllfw(lfw)
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.fold.tolist() == [0, 0, 1, 1]
    assert main_score(SLLFW.run(lfw, knowing()[0])).value == 100
    put(lfw, "pair_SLLFW.txt", "\n".join(rows[:-1]).encode())
    with pytest.raises(MienError, match="has 7 lines, not two for every pair"):
        read_sllfw(lfw)
    (lfw / "pair_SLLFW.txt").unlink()
    assert not SLLFW.matches(lfw)
    with pytest.raises(MienError, match=r"sllfw: .*pair_SLLFW\.txt is missing"):
        read_sllfw(lfw)


def test_cplfw_and_calfw_are_read_from_their_lists(tmp_path):
    for name, protocol, ending in (("CPLFW", CPLFW, "{}"), ("CALFW", CALFW, "000{}")):
        place = tmp_path / name
        rows = []
        for fold in range(2):
            p = PEOPLE[fold]
            label = fold + 1 if name == "CALFW" else 1
            rows += [f"{p}_{ending.format(i)}.jpg {label}" for i in (1, 2)]
        for fold in range(2):
            p, q = PEOPLE[fold], PEOPLE[fold + 2]
            rows += [f"{p}_{ending.format(1)}.jpg 0", f"{q}_{ending.format(1)}.jpg 0"]
        for person in PEOPLE[:4]:
            for i in (1, 2):
                put(place, f"images/{person}_{ending.format(i)}.jpg")
                put(place, f"aligned images/{person}_{ending.format(i)}.jpg", b"no image")
        put(place, f"pairs_{name}.txt", "\n".join(rows).encode())
        assert protocol.matches(place)
        assert not (CALFW if name == "CPLFW" else CPLFW).matches(place)
        result = protocol.run(place, knowing()[0])
        assert main_score(result).value == 100
        assert main_score(result).count == 4
        assert result.notes[0] == "Images of images/"
        # All of one person first: the i-th part of either kind is fold i.
        pairs = read_cross(place, protocol=name.lower())
        assert pairs.fold.tolist() == [0, 1, 0, 1]
        assert pairs.person is not None
        assert len(set(pairs.person)) == 4


def test_lists_of_two_lines_that_contradict_themselves_are_refused():
    with pytest.raises(MienError, match="lines 1 and 2 are a pair and differ"):
        two_line_pairs("a_1.jpg 1\na_2.jpg 0\n", where="list", labelled=True)
    with pytest.raises(MienError, match="line 2 is not `IMAGE NUMBER`"):
        two_line_pairs("a_1.jpg 1\na_2.jpg\n", where="list", labelled=True)
    with pytest.raises(MienError, match="yes is not the number of a fold"):
        two_line_pairs("a_1.jpg yes\na_2.jpg yes\n", where="list", labelled=True)
    with pytest.raises(MienError, match="is missing"):
        read_cross(Path(__file__).parent, protocol="cplfw")


@pytest.fixture
def cfp(tmp_path):
    place = tmp_path / "cfp-dataset"
    frontal, profile = [], []
    for i in range(4):
        for j in (1, 2):
            put(place, f"Data/Images/00{i + 1}/frontal/0{j}.jpg")
            frontal.append(f"{len(frontal) + 1} ../Data/Images/00{i + 1}/frontal/0{j}.jpg")
        put(place, f"Data/Images/00{i + 1}/profile/01.jpg", jpeg(grey=30))
        profile.append(f"{len(profile) + 1} ../Data/Images/00{i + 1}/profile/01.jpg")
    put(place, "Protocol/Pair_list_F.txt", "\n".join(frontal).encode())
    put(place, "Protocol/Pair_list_P.txt", "\n".join(profile).encode())
    for fold in (0, 1):
        p, q = 2 * fold, 2 * fold + 1  # people
        split = f"Protocol/Split/FP/0{fold + 1}"
        put(place, f"{split}/same.txt", f"{2 * p + 1},{p + 1}\n{2 * q + 2},{q + 1}\n".encode())
        put(place, f"{split}/diff.txt", f"{2 * p + 1},{q + 1}\n{2 * q + 2},{p + 1}\n".encode())
        split = f"Protocol/Split/FF/0{fold + 1}"
        put(place, f"{split}/same.txt", f"{2 * p + 1},{2 * p + 2}\n".encode())
        put(place, f"{split}/diff.txt", f"{2 * p + 1},{2 * q + 2}\n".encode())
    return place


def test_cfp_numbers_lead_to_frontal_and_profile_images(cfp):
    assert CFP_FP.matches(cfp)
    assert CFP_FF.matches(cfp.parent)
    pairs = read_cfp(cfp, kind="FP", protocol="cfp-fp")
    names = pairs.images.names
    assert (names[pairs.first[1]], names[pairs.second[1]]) == (
        "Data/Images/002/frontal/02.jpg",
        "Data/Images/002/profile/01.jpg",
    )
    assert pairs.same.tolist() == [True, True, False, False] * 2
    assert pairs.images.read(int(pairs.second[1]))[0, 0, 0] < 60
    assert main_score(CFP_FP.run(cfp, knowing()[0])).value == 100
    both = CFP_FF.run(cfp.parent, knowing()[0])
    assert main_score(both).value == 100
    assert main_score(both).count == 4


def test_what_cfp_lacks_is_named(cfp):
    put(cfp, "Protocol/Split/FP/01/same.txt", b"1,9\n")
    with pytest.raises(MienError, match=r"01/same\.txt: line 1 names an image that is in no list"):
        read_cfp(cfp, kind="FP", protocol="cfp-fp")
    put(cfp, "Protocol/Split/FP/01/same.txt", b"1;1\n")
    with pytest.raises(MienError, match="line 1 is not two numbers"):
        read_cfp(cfp, kind="FP", protocol="cfp-fp")
    (cfp / "Protocol/Split/FF/01/same.txt").unlink()
    with pytest.raises(MienError, match="Split/FF has 1 folds"):
        read_cfp(cfp, kind="FF", protocol="cfp-ff")
    (cfp / "Protocol/Pair_list_F.txt").unlink()
    with pytest.raises(MienError, match=r"cfp-ff: .*Pair_list_F\.txt is missing"):
        read_cfp(cfp, kind="FF", protocol="cfp-ff")


def test_agedb30_unpacked_is_read_by_its_list(tmp_path):
    for i in range(8):
        put(tmp_path, f"agedb30_align_112/{i}.jpg", jpeg(size=(112, 112)))
    rows = ["0.jpg 1.jpg 1", "0.jpg 2.jpg 0", "4.jpg 5.jpg 1", "4.jpg 6.jpg -1"]
    put(tmp_path, "agedb_30_pair.txt", "\n".join(rows).encode())
    assert AGEDB30.matches(tmp_path)
    context, asked = knowing(lambda name: str(int(name.split("/")[1][0]) // 2))
    result = AGEDB30.run(tmp_path, context)
    assert main_score(result).value == 100
    assert asked[0].crop == "box"
    assert asked[0].names[0] == "agedb30_align_112/0.jpg"
    with pytest.raises(MienError, match="line 1 is not `IMAGE IMAGE LABEL`"):
        row_pairs("0.jpg 1.jpg 2", where="list")
    with pytest.raises(MienError, match=r"agedb30: neither .*agedb_30\.bin nor"):
        AGEDB30.run(tmp_path / "agedb30_align_112", context)


def test_agedbs_pairs_are_thirty_years_apart(tmp_path):
    number = 0
    for person in PEOPLE:
        for age in (20, 35, 50, 66):
            put(tmp_path, f"AgeDB/{number}_{person.replace('_', '')}_{age}_f.jpg")
            number += 1
    assert AGEDB.matches(tmp_path)
    assert AGEDB.matches(tmp_path / "AgeDB")
    assert not AGEDB.matches(tmp_path / "none")
    pairs = read_agedb(tmp_path, np.random.default_rng(0))
    words = [name.split("_") for name in pairs.images.names]
    both = list(zip(pairs.first, pairs.second, strict=True))
    gaps = [abs(int(words[a][2]) - int(words[b][2])) for a, b in both]
    who = [words[a][1] == words[b][1] for a, b in both]
    assert min(gaps) >= 30
    assert who == pairs.same.tolist()
    assert pairs.same.sum() == 24  # 20-50, 20-66 and 35-66 of eight people
    assert (~pairs.same).sum() == 24
    assert "not those of AgeDB-30" in pairs.notes[0]
    assert len(set(pairs.fold)) == 4
    people = [{words[a][1] for a in pairs.first[pairs.fold == f]} for f in range(2)]
    assert not people[0] & people[1]
    context, _ = knowing(lambda name: name.split("_")[1])
    assert main_score(AGEDB.run(tmp_path, context)).value == 100
    with pytest.raises(MienError, match="0_MariaCallas_35_f"):
        read_agedb(Path(__file__).parent, np.random.default_rng(0))


def test_sampled_folds_share_nobody_and_repeat_no_pair():
    person = np.repeat(np.arange(30), np.tile([1, 2, 7], 10))
    first, second, same, fold = sample_folds(
        person=person, rng=np.random.default_rng(4), protocol="x"
    )
    assert (person[first] == person[second]).tolist() == same.tolist()
    assert (first != second).all()
    pairs = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(pairs) == len(first)
    assert same.sum() == 10 * 1 + 10 * PER_PERSON
    assert sorted(set(fold)) == list(range(10))
    where = {}
    for rows in (first, second):
        for row, part in zip(rows, fold, strict=True):
            assert where.setdefault(person[row], part) == part
    again = sample_folds(person=person, rng=np.random.default_rng(4), protocol="x")
    assert all((a == b).all() for a, b in zip(again, (first, second, same, fold), strict=True))
    with pytest.raises(MienError, match="x: 3 people have two images"):
        sample_folds(person=np.repeat(range(3), 2), rng=np.random.default_rng(0), protocol="x")


def test_people_in_folders_or_the_zip_in_a_folder(tmp_path):
    place = tmp_path / "people"
    for i, person in enumerate(PEOPLE):
        for j in range(1, 2 + i % 3):
            put(place, f"{person}/{person}_000{j}.jpg")
    put(place, "readme.txt", b"text")
    assert LFW_PEOPLE.matches(place)
    zipped = tmp_path / "zipped"
    zipped.mkdir()
    with zipfile.ZipFile(zipped / "images.zip", "w") as archive:
        for path in sorted(place.rglob("*.*")):
            archive.write(path, path.relative_to(place).as_posix())
    assert LFW_PEOPLE.matches(zipped)
    assert LFW_PEOPLE.matches(zipped / "images.zip")
    one, other = (LFW_PEOPLE.run(p, knowing()[0]) for p in (place, zipped))
    assert one.data == other.data
    assert main_score(one).value == 100
    assert one.notes[0] == "15 images of 8 people, of whom 5 have several"
    assert {s.name: s.count for s in one.scores}["rank-1, cosine"] == 7


def test_other_folders_are_not_taken_for_people(tmp_path):
    put(tmp_path, "anger/0001.jpg")
    assert not LFW_PEOPLE.matches(tmp_path)
    put(tmp_path / "lfw", "Ann_A/Ann_A_0001.jpg")
    put(tmp_path / "lfw", "pairs.txt", b"10 300\n")
    assert not LFW_PEOPLE.matches(tmp_path / "lfw")
    assert not LFW_PEOPLE.matches(tmp_path / "none")
    with pytest.raises(MienError, match="lfw-people: 0 people have two images"):
        read_people(tmp_path, np.random.default_rng(0))
    with pytest.raises(MienError, match=r"lfw-people: .* holds no image"):
        read_people(tmp_path / "anger", np.random.default_rng(0))


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_file(), reason="needs ../shared/data/lfw-unpaired")
def test_the_people_of_lfw_that_are_in_no_pair():
    pairs = read_people(REAL, np.random.default_rng(0))
    assert pairs.notes == ("1505 images of 1428 people, of whom 48 have several",)
    assert pairs.same.sum() == (~pairs.same).sum() == 110
    assert pairs.images.read(0).shape == (160, 160, 3)
