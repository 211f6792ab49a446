"""The layouts of data sets that people have, copies, and what is read within bounds."""

from __future__ import annotations

import pickle  # noqa: TID251 - made here to be refused or read inertly
import zipfile

import numpy as np
import pytest
from scipy.io import savemat

from made_factors import png, put, run
from mien.errors import MienError
from mien.evaluate.datasets import class_folders
from mien.evaluate.datasets.affectnet import read_affectnet
from mien.evaluate.datasets.affwild2 import read_expressions
from mien.evaluate.datasets.class_folders import class_place
from mien.evaluate.datasets.columbia import read_columbia
from mien.evaluate.datasets.files import read_matlab
from mien.evaluate.datasets.insightface_bin import read_bin
from mien.evaluate.datasets.lfw import read_lfw
from mien.evaluate.datasets.rafdb import CLASSES as RAF, read_rafdb
from mien.evaluate.datasets.sets import LabelledSet
from mien.evaluate.datasets.tree import open_tree
from mien.evaluate.datasets.yale_b import read_yale_b
from mien.evaluate.protocol import Images
from mien.evaluate.protocols import every_protocol, find_protocol
from mien.evaluate.runner import find_data_sets, not_understood
from mien.evaluate.tasks import few_labels
from mien.evaluate.tasks.copies import fingerprints, near_copies, without_copies
from mien.evaluate.tasks.shape import render_depth
from mien.linear import logistic
from robustness.made_sets import FER, HEAD, RGB

AFFECT_TITLES = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
    "valence,arousal\n"
)


@pytest.mark.parametrize(
    ("folder", "known"),
    [
        *(("disgusted", "disgust"), ("Fearful", "fear"), ("surprised", "surprise")),
        *(("anger", "angry"), ("3_happy", "happy"), ("Happiness", "happy"), ("NEUTRAL", "neutral")),
        *(("contempt", None), ("surpise", None), ("3", None), ("", None)),
    ],
)
def test_folders_are_understood_by_their_synonyms(folder, known):
    assert class_place(folder, FER) == (None if known is None else FER.index(known))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(few_labels, "COUNTS", (1,))
    monkeypatch.setattr(logistic, "STRENGTHS", (30.0,))
    monkeypatch.setattr("mien.evaluate.tasks.classification.known_sets", lambda _: ("all codes",))


def test_folders_of_synonyms_are_all_seven_classes_and_the_rest_is_counted(tmp_path, quick):
    named = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")
    for number, name in enumerate(named):
        for part, shade in (("train", 10), ("test", 100)):
            for i in range(2):
                put(tmp_path, f"fer/{part}/{name}/{i}.png", png(shade + 10 * number + i))
    put(tmp_path, "fer/readme/a.png", png(255))
    protocol = find_protocol("fer2013")
    assert protocol.matches(tmp_path / "fer")
    result, asked = run(protocol, tmp_path / "fer", lambda n: named.index(n.split("/")[1]))
    assert len(asked) == 28
    assert result.scores[0].value == 100
    assert "1 images are in no folder of a class; left out" in result.notes


@pytest.mark.parametrize("top", ["", "DATASET/"])
@pytest.mark.parametrize("names", [RAF, tuple("1234567"), ("Surprise", *RAF[1:])])
def test_rafdb_in_folders_of_classes(tmp_path, names, top):
    for part in ("train", "test"):
        for number, name in enumerate(names):
            put(tmp_path, f"{top}{part}/{name}/{part}_{number:05}_aligned.jpg", RGB)
    assert find_protocol("rafdb").matches(tmp_path)
    assert not find_protocol("fer2013").matches(tmp_path)
    (labelled,) = read_rafdb(tmp_path).labels
    assert isinstance(labelled, LabelledSet)
    told = [int(name.rsplit("_", 2)[1]) for name in labelled.images.names]
    assert labelled.labels.tolist() == told
    assert sorted(told) == sorted([*range(7), *range(7)])
    assert [len(part) for part in labelled.folds[0]] == [7, 7]


def test_test_images_among_the_training_images_are_left_out_and_said(tmp_path, quick):
    lines = [f"{p}_{n:04}.jpg {n % 7 + 1}" for p in ("train", "test") for n in range(14)]
    put(tmp_path, "EmoLabel/list_patition_label.txt", "\n".join(lines))
    for number, line in enumerate(lines):
        shade = 20 if line.startswith(("train_0003", "test_0003")) else 30 + 7 * number
        put(tmp_path, f"Image/aligned/{line[:-6]}_aligned.jpg", png(shade))
    result, _ = run(find_protocol("rafdb"), tmp_path, lambda n: int(n.split("_")[1]) % 7)
    assert "1 training images are also in the test part, to the pixel; left out" in result.notes
    assert "13 images to train on, 14 to test on" in result.notes
    name = "accuracy, linear, all codes, test images without a copy in training"
    assert next(score.count for score in result.scores if score.name == name) == 13


def test_near_copies_are_counted():
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 256, (6, 48, 48, 3), np.uint8)
    faces[3] = faces[0]
    faces[4] = np.clip(faces[1].astype(int) + rng.integers(-3, 4, (48, 48, 3)), 0, 255)
    prints = fingerprints(Images(tuple("abcdef"), lambda row: faces[row]))
    folds = ((np.arange(3), np.arange(3, 6)),)
    kept, count, copied = without_copies(folds, prints)
    assert (count, kept[0][0].tolist()) == (1, [1, 2])
    assert copied.tolist() == [False, False, False, True, False, False]
    near = near_copies(kept, prints)
    assert near is not None
    assert near.tolist() == [False, False, False, False, True, False]


def test_a_damaged_image_is_the_copy_of_none():
    def read(row):
        raise MienError("damaged")

    prints = fingerprints(Images(("a", "b"), read))
    assert without_copies(((np.array([0]), np.array([1])),), prints)[1] == 0


FILES = [b"\xff\xd8" + bytes([number] * 9) for number in range(4)]
ARRAYS = [np.frombuffer(file, np.uint8) for file in FILES]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "packed",
    [
        (FILES, [True, False]),
        (ARRAYS, [True, False]),
        (ARRAYS, np.array([True, False])),
        (np.stack(ARRAYS), np.array([1, 0])),
        (np.array(FILES, dtype=object), [np.bool_(True), np.bool_(False)]),
    ],
    ids=["bytes", "arrays", "array of labels", "one array", "array of objects"],
)
def test_bin_files_of_bytes_and_of_arrays_are_read_without_unpickling(packed, protocol):
    files, same = read_bin(pickle.dumps(packed, protocol=protocol), where="x.bin")
    assert [bytes(file) for file in files] == FILES
    assert same.tolist() == [True, False]


def test_lfw_as_the_mirror_on_kaggle_has_it(tmp_path):
    rows = ["name,imagenum1,imagenum2,"]
    for fold in range(10):
        rows += [f"A_{fold},1,2,", f"A_{fold},1,B_{fold},1"]
        for name in (
            f"A_{fold}/A_{fold}_0001",
            f"A_{fold}/A_{fold}_0002",
            f"B_{fold}/B_{fold}_0001",
        ):
            put(tmp_path, f"lfw-deepfunneled/lfw-deepfunneled/{name}.jpg", RGB)
    put(tmp_path, "pairs.csv", "\n".join(rows))
    assert find_protocol("lfw").matches(tmp_path)
    assert not find_protocol("lfw-people").matches(tmp_path)
    pairs = read_lfw(tmp_path)
    assert pairs.same.tolist() == [True, False] * 10
    assert pairs.fold.tolist() == [n // 2 for n in range(20)]
    assert pairs.images.names[0].startswith("lfw-deepfunneled/lfw-deepfunneled/A_0/")


def test_affwild2_of_the_sixth_challenge_with_its_second_batch(tmp_path):
    lists = "6th ABAW Annotations/EXPR_Recognition_Challenge"
    for part, top in (("Train", "cropped_aligned"), ("Validation", "cropped_aligned_new_50_vids")):
        put(tmp_path, f"{lists}/{part}_Set/{part}1.txt", "Neutral,Anger\n0\n1\n")
        for frame in (1, 2):
            put(tmp_path, f"{top}/{part}1/{frame:05}.jpg", RGB)
    protocol = find_protocol("affwild2-expression")
    put(tmp_path, f"{lists}/Train_Set/Train2.txt", "Neutral,Anger\n1\n")
    put(tmp_path, "cropped_aligned/Train2/00001.jpg", RGB)
    assert protocol.matches(tmp_path)
    assert not find_protocol("affwild2-va").matches(tmp_path)
    (labelled,) = read_expressions(tmp_path).labels
    assert isinstance(labelled, LabelledSet)
    assert labelled.labels.tolist() == [0, 1, 0, 1]


def test_affectnet_rows_with_boxes_of_nan_or_beyond_reason_are_counted(tmp_path):
    boxes = ("1,1,9,9", "nan,1,9,9", "1,1,1e300,9", "1,1,9,9")
    for start, name in enumerate(("training", "validation")):
        rows = [f"{start}/{n}.jpg,{box},,{n % 2},0,0\n" for n, box in enumerate(boxes)]
        put(tmp_path, f"Manually_Annotated_file_lists/{name}.csv", AFFECT_TITLES + "".join(rows))
        for number in range(4):
            put(tmp_path, f"Manually_Annotated_Images/{start}/{number}.jpg", RGB)
    data = read_affectnet(tmp_path, np.random.default_rng(0))
    assert data.notes == ("4 images without a face box are left out",)
    assert data.images.boxes is not None
    assert data.images.boxes.tolist() == [[1, 1, 10, 10]] * 4


def test_folders_that_are_not_understood_are_said_beside_those_that_are(tmp_path):
    put(tmp_path, "fer/fer2013.csv", HEAD)
    put(tmp_path, "photos/a.jpg", RGB)
    put(tmp_path, "ckplus/a.txt", "x")
    protocols = every_protocol()
    found = find_data_sets(tmp_path, protocols)
    assert [(protocol.name, place.name) for protocol, place in found] == [("fer2013", "fer")]
    one, other = not_understood(tmp_path, found, protocols)
    assert one.startswith("ckplus is not understood: it is called as ckplus is, which wants cohn-")
    assert other.startswith("photos is not understood: it holds a.jpg, which are the files of no")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "a\0b"])
def test_no_path_of_a_list_leads_out_of_a_data_set(tmp_path, name):
    put(tmp_path, "secret", b"x")
    put(tmp_path, "set/a/b", b"x")
    tree = open_tree(tmp_path / "set")
    assert not tree.has(name)
    for read in (tree.read_bytes, tree.image, tree.read_text):
        with pytest.raises(MienError, match="leads out of the data set"):
            read(name)


def test_files_and_members_are_read_in_bounded_amounts(tmp_path):
    put(tmp_path, "set/a", b"x" * 100)
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"x" * 100)
    for tree in (open_tree(tmp_path / "set"), open_tree(tmp_path / "set.zip")):
        assert len(tree.read_bytes("a", most=100)) == 100
        with pytest.raises(MienError, match="is no file of at most"):
            tree.read_bytes("a", most=99)


def test_a_damaged_first_image_does_not_end_yale_b(tmp_path):
    for person in (1, 2):
        for azimuth in (10, 20, 30):
            put(tmp_path, f"yaleB0{person}_P00A+0{azimuth}E+00.png", png(90, size=(192, 168)))
    put(tmp_path, "yaleB01_P00A+010E+00.png", b"x")
    data = read_yale_b(tmp_path)
    assert len(data) == 6
    assert data.images.crop == "box"


def test_a_damaged_image_has_no_depth_and_the_others_have(tiny_model):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 32, 32, 3), np.uint8)

    def read(row):
        if row == 1:
            raise MienError("damaged")
        return images[row]

    whole = render_depth(tiny_model, 3, lambda row: images[row])
    found = render_depth(tiny_model, 3, read)
    assert (whole.unread, found.unread) == (0, 1)
    assert not found.mask[1].any()
    assert (found.mask[[0, 2]] == whole.mask[[0, 2]]).all()
    assert found.depth[2] == pytest.approx(whole.depth[2], abs=1e-5)


def test_images_that_are_not_used_are_counted(tmp_path):
    for person in range(1, 6):
        put(tmp_path, f"{person:04}_2m_0P_0V_0H.jpg", RGB)
    put(tmp_path, "holiday.jpg", RGB)
    data = read_columbia(tmp_path, eye_crops=False)
    assert data.notes[-1] == "1 other images are not used"


@pytest.mark.parametrize("compress", [False, True])
def test_matlab_files_are_read_as_scipy_writes_them(tmp_path, compress):
    rng = np.random.default_rng(0)
    numbers = {
        "a": rng.standard_normal((3, 4)),
        "b": rng.integers(0, 200, (2, 3, 4)).astype(np.uint8),
        "c": np.array([[7]]),
        "d": rng.standard_normal((2, 1)).astype(np.float32),
    }
    texts = {"e": np.array(["rec_000", "rec_10"]), "f": np.array(["ä", "longer"], dtype=object)}
    savemat(tmp_path / "x.mat", {**numbers, **texts, "g": {"h": 1}}, do_compression=compress)
    tree = open_tree(tmp_path)
    found = read_matlab(tree, "x.mat", *numbers, texts=tuple(texts))
    for name, value in numbers.items():
        assert found[name].dtype == np.float64
        assert (found[name] == value).all()
    for name, value in texts.items():
        assert found[name].tolist() == value.tolist()
    with pytest.raises(MienError, match="where numbers are due"):
        read_matlab(tree, "x.mat", "g")
    with pytest.raises(MienError, match="holds no z"):
        read_matlab(tree, "x.mat", "z")


def test_the_synonyms_name_no_class_twice():
    words = [word for group in class_folders.SYNONYMS for word in group]
    assert len(words) == len(set(words))
