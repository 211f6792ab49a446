"""Each data set of expression on a tiny tree of its official layout, with factors made to order."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.errors import MienError
from mien.evaluate.expression import (
    ckplus as ckplus_module,
    few_labels as few_module,
    linear as linear_module,
    measure as measure_module,
)
from mien.evaluate.expression.affectnet import AFFECTNET
from mien.evaluate.expression.affwild2 import (
    AFFWILD2_AMOUNTS,
    AFFWILD2_EXPRESSION,
    AFFWILD2_UNITS,
)
from mien.evaluate.expression.ckplus import CKPLUS
from mien.evaluate.expression.fer2013 import FER2013, read_fer2013
from mien.evaluate.expression.ferplus import FERPLUS, majority
from mien.evaluate.expression.rafdb import RAFDB
from mien.evaluate.expression.task import COLUMNS
from mien.evaluate.protocol import Described, Setting

REAL = Path(__file__).parents[2] / "shared" / "data" / "fer2013"
FER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(few_module, "COUNTS", (1,))
    monkeypatch.setattr(linear_module, "STRENGTHS", (30.0,))
    monkeypatch.setattr(measure_module, "SETS", {"all codes": COLUMNS})


class Made:
    """Gives factors that say, without an error, what a function says of a picture's name."""

    def __init__(self, say):
        self.say = say
        self.asked: Any = None

    def __call__(self, pictures, columns, /):
        self.asked = pictures
        said = np.array([np.atleast_1d(self.say(name)) for name in pictures.names], np.float64)
        if said.shape[1] == 1:  # a class
            said = 4 * np.eye(9)[said[:, 0].astype(int)]
        noise = 0.05 * np.random.default_rng(0).standard_normal(said.shape)
        count = len(pictures)
        values = {
            name: (said + noise).astype(np.float32)
            if name in COLUMNS[:4]
            else np.full(count, 0.1, np.float32)
            for name in columns
        }
        return Described(np.ones(count, bool), np.ones(count, bool), values)


def run(protocol, path, say):
    made = Made(say)
    outcome = protocol.run(path, Setting(made, draws=1, gallery=2))
    return outcome, made.asked


def value_of(outcome, name):
    (found,) = [score for score in outcome.scores if score.name == name]
    return found.value


def png(shade, kind="png", size=(48, 48)):
    buffer = io.BytesIO()
    Image.fromarray(np.full(size, shade, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def put(place, name, data):
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(data if isinstance(data, bytes) else data.encode())


# --- FER-2013 ---


def fer_rows(parts):
    """One (emotion, usage) a row; every picture has its own shade."""
    return [(row % 7, usage) for usage, count in parts for row in range(count)]


def fer_csv(rows, columns=("emotion", "pixels", "Usage"), shades=None):
    shades = list(range(len(rows))) if shades is None else shades
    lines = [",".join(columns)]
    for (emotion, usage), shade in zip(rows, shades, strict=True):
        cells = {"emotion": str(emotion), "Usage": usage, "pixels": " ".join([str(shade)] * 2304)}
        lines.append(",".join(cells[name.strip()] for name in columns))
    return "\n".join(lines) + "\n"


def test_fer2013_csv_is_tested_on_the_private_part(tmp_path):
    rows = fer_rows([("Training", 42), ("PublicTest", 7), ("PrivateTest", 14)])
    shades = list(range(len(rows)))
    shades[3] = shades[50]  # a training picture that is also in the private part
    put(tmp_path, "fer2013.csv", fer_csv(rows, shades=shades))
    mistold = {"PrivateTest/00049.png": 3}
    outcome, asked = run(
        FER2013, tmp_path, lambda n: mistold.get(n, rows[int(n.split("/")[1][:5])][0])
    )
    assert FER2013.matches(tmp_path)
    assert asked.crop == "face"
    assert asked.read(5).shape == (48, 48, 3)
    assert (asked.read(5) == 5).all()
    assert value_of(outcome, "accuracy, linear, all codes") == pytest.approx(100 * 13 / 14)
    assert outcome.failures[0].caption.startswith("angry, taken for happy")
    assert "private" in outcome.notes[0]
    assert outcome.notes[1].startswith("1 training pictures are also in the test part")
    assert "41 pictures to learn from, 14 to test on" in outcome.notes


def test_fer2013_of_the_first_competition_says_the_same(tmp_path):
    rows = fer_rows([("Training", 14), ("PublicTest", 7)])
    put(tmp_path / "a", "fer2013.csv", fer_csv(rows))
    columns = ("emotion", " Usage", " pixels")
    put(tmp_path / "b", "fer2013/icml_face_data.csv", fer_csv(rows, columns))
    assert FER2013.matches(tmp_path / "b")
    assert not FER2013.matches(tmp_path / "c")
    one, two = read_fer2013(tmp_path / "a"), read_fer2013(tmp_path / "b")
    assert one.labels.tolist() == two.labels.tolist() == [row[0] for row in rows]
    assert one.usage.tolist() == two.usage.tolist()
    assert one.pictures.names == two.pictures.names
    assert (two.pictures.read(20) == 20).all()


def test_fer2013_in_folders_and_zips_is_one_data_set(tmp_path):
    files = {
        f"{part}/{name}/{usage}_{i}.jpg": png(20 * k + 2 * i + (part == "val"), "jpeg")
        for part, usage in (("train", "Training"), ("val", "PublicTest"))
        for k, name in enumerate(FER)
        for i in range(4)
    }
    for name, data in files.items():
        put(tmp_path / "folders", name, data)
    (tmp_path / "zips").mkdir()
    for part in ("train", "val"):
        with zipfile.ZipFile(tmp_path / "zips" / f"{part}.zip", "w") as archive:
            for name, data in files.items():
                if name.startswith(part):
                    archive.writestr(name.removeprefix(f"{part}/"), data)
    outcomes = []
    for place in ("folders", "zips"):
        assert FER2013.matches(tmp_path / place)
        outcome, asked = run(FER2013, tmp_path / place, lambda n: FER.index(n.split("/")[1]))
        assert asked.names[0] == "train/angry/Training_0.jpg"
        outcomes.append(outcome)
        assert outcome.notes[0] == "tested on the public test part"
        assert outcome.notes[1].startswith("0 training pictures")
        assert value_of(outcome, "accuracy, linear, all codes") == 100
    assert outcomes[0].data == outcomes[1].data


def test_fer2013_knows_the_parts_by_the_names_of_files(tmp_path):
    for name in ("PublicTest_1.jpg", "PrivateTest_2.jpg", "im3.png"):
        put(tmp_path, f"test/happy/{name}", png(9))
    put(tmp_path, "train/sad/Training_4.jpg", png(8))
    data = read_fer2013(tmp_path)
    usage = dict(zip(data.pictures.names, data.usage, strict=True))
    assert usage["test/happy/PublicTest_1.jpg"] == "PublicTest"
    assert usage["test/happy/PrivateTest_2.jpg"] == usage["test/happy/im3.png"] == "PrivateTest"
    assert usage["train/sad/Training_4.jpg"] == "Training"


def test_fer2013_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(MienError, match=r"neither fer2013\.csv nor train/angry/"):
        FER2013.run(tmp_path, Setting(Made(lambda _: 0)))
    rows = fer_rows([("Training", 3)])
    put(tmp_path, "fer2013.csv", fer_csv(rows))
    with pytest.raises(MienError, match="no test pictures"):
        FER2013.run(tmp_path, Setting(Made(lambda _: 0)))
    put(tmp_path, "fer2013.csv", fer_csv(rows).replace("Usage", "use"))
    with pytest.raises(MienError, match="no column Usage"):
        FER2013.run(tmp_path, Setting(Made(lambda _: 0)))
    put(tmp_path, "fer2013.csv", fer_csv(rows).replace("1 1 1 ", "1 ", 1))
    with pytest.raises(MienError, match=r"line 3 has 2302 pixels"):
        FER2013.run(tmp_path, Setting(Made(lambda _: 0)))


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/fer2013")
def test_fer2013_as_it_is_given_out():
    assert FER2013.matches(REAL)
    data = read_fer2013(REAL)
    assert {part: int((data.usage == part).sum()) for part in np.unique(data.usage)} == {
        "PublicTest": 3589,
        "Training": 28709,
    }
    assert np.bincount(data.labels[data.usage == "PublicTest"]).tolist() == [
        *(467, 56, 496, 895, 653, 415, 607)
    ]
    assert data.pictures.read(0).shape == (48, 48, 3)


# --- FER+ ---


def test_the_majority_of_ten_votes():
    assert majority([6, 0, 0, 2, 0, 0, 0, 0, 2, 0]) == 0
    assert majority([5, 0, 0, 5, 0, 0, 0, 0, 0, 0]) is None  # no more than half
    assert majority([4, 1, 1, 1, 1, 1, 1, 0, 0, 0]) == 0  # single votes are struck out
    assert majority([4, 3, 2, 1, 0, 0, 0, 0, 0, 0]) is None  # 4 of 9
    assert majority([1, 0, 0, 0, 0, 0, 0, 0, 9, 0]) is None  # unknown
    assert majority([0, 0, 0, 0, 0, 0, 0, 0, 0, 10]) is None  # no face
    assert majority([1] * 10) is None


def ferplus_votes():
    """48 training, 16 private pictures of eight classes; two rows of no use among them."""
    lines = ["Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,"]
    lines[0] += "unknown,NF"
    truth = {}
    for row in range(66):
        usage = "Training" if row < 50 else "PrivateTest"
        votes = [0] * 10
        name = f"fer{row:07d}.png"
        if row == 4:
            votes[9], name = 10, ""  # no face, and so no name
        elif row == 5:
            votes[0] = votes[1] = 5
        else:
            votes[row % 8] = 10
            truth[name] = row % 8
        lines.append(",".join([usage, name, *map(str, votes)]))
    return "\n".join(lines) + "\n", truth


def test_ferplus_joins_its_labels_to_the_pixels_by_the_row(tmp_path):
    text, truth = ferplus_votes()
    put(tmp_path, "fer2013new.csv", text)
    rows = [(0, "Training" if row < 50 else "PrivateTest") for row in range(66)]
    put(tmp_path, "fer2013.csv", fer_csv(rows))
    put(tmp_path, "pose_30_ferplus_list.txt", "2/fer0000050.jpg\n3/fer0000051.jpg\n")
    mistold = {"fer0000050.png": 7}
    outcome, asked = run(
        FERPLUS, tmp_path, lambda n: mistold.get(n.split("/")[1], truth[n.split("/")[1]])
    )
    assert FERPLUS.matches(tmp_path)
    assert not FER2013.matches(tmp_path)
    place = asked.names.index("FER2013Train/fer0000006.png")
    assert (asked.read(place) == 6).all()  # the row in the file, not in what is left of it
    assert len(asked) == 64
    assert value_of(outcome, "accuracy, linear, all codes") == pytest.approx(100 * 15 / 16)
    assert value_of(outcome, "accuracy, linear, all codes, pose 30") == pytest.approx(50)


def test_ferplus_takes_pictures_that_were_made_before(tmp_path):
    text, truth = ferplus_votes()
    put(tmp_path, "fer2013new.csv", text)
    for row, name in enumerate(sorted(truth)):
        folder = "FER2013Train" if int(name[3:10]) < 50 else "FER2013Test"
        put(tmp_path / "data", f"{folder}/{name}", png(row))
    outcome, _ = run(FERPLUS, tmp_path, lambda n: truth[n.split("/")[1]])
    assert value_of(outcome, "accuracy, linear, all codes") == 100
    (tmp_path / "data" / "FER2013Test" / "fer0000060.png").unlink()
    with pytest.raises(MienError, match=r"ferplus: 1 of 64 .* first FER2013Test/fer0000060\.png"):
        run(FERPLUS, tmp_path, lambda _: 0)
    (tmp_path / "fer2013new.csv").unlink()
    with pytest.raises(MienError, match=r"fer2013new\.csv is missing; obtain it from"):
        run(FERPLUS, tmp_path, lambda _: 0)


# --- RAF-DB ---


def test_rafdb_takes_aligned_pictures_in_the_official_parts(tmp_path):
    truth = {f"train_{i:05d}": i % 7 + 1 for i in range(1, 43)}
    truth |= {f"test_{i:04d}": i % 7 + 1 for i in range(1, 15)}
    lines = "".join(f"{name}.jpg {label}\n" for name, label in truth.items())
    put(tmp_path, "EmoLabel/list_patition_label.txt", lines)
    for name in truth:
        put(tmp_path, f"Image/aligned/{name}_aligned.jpg", png(90, "jpeg", (100, 100)))

    def say(name):
        stem = name.split("/")[-1].removesuffix("_aligned.jpg")
        return 0 if stem == "test_0001" else truth[stem] - 1

    outcome, asked = run(RAFDB, tmp_path, say)
    assert RAFDB.matches(tmp_path)
    assert asked.names[0] == "Image/aligned/train_00001_aligned.jpg"
    assert value_of(outcome, "accuracy, linear, all codes") == pytest.approx(100 * 13 / 14)
    assert outcome.failures[0].caption.startswith("fear, taken for surprise")
    assert "42 pictures to learn from, 14 to test on" in outcome.notes
    with zipfile.ZipFile(tmp_path.parent / "raf.zip", "w") as archive:
        for file in tmp_path.rglob("*.*"):
            archive.write(file, f"basic/{file.relative_to(tmp_path)}")
    zipped, _ = run(RAFDB, tmp_path.parent / "raf.zip", say)
    assert RAFDB.matches(tmp_path.parent / "raf.zip")
    assert [score.value for score in zipped.scores] == [score.value for score in outcome.scores]
    (tmp_path / "Image" / "aligned" / "test_0003_aligned.jpg").unlink()
    with pytest.raises(MienError, match=r"rafdb: 1 of 56 .*test_0003_aligned\.jpg; unpack"):
        run(RAFDB, tmp_path, say)
    put(tmp_path, "EmoLabel/list_patition_label.txt", "train_00001.jpg 8\n")
    with pytest.raises(MienError, match="line 1 is not as"):
        run(RAFDB, tmp_path, say)


# --- AffectNet ---

HEAD = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"


def affectnet_lists(place):
    """Eight classes (and one that is dropped), six training and two test pictures of each."""
    truth = {}
    for file, count in (("training", 6), ("validation", 2)):
        lines = [HEAD + "valence,arousal"]
        for label in range(9):
            for i in range(count):
                name = f"{label}{i}/{file}_{label}_{i}.jpg"
                felt = (-2, -2) if label == 8 else ((label - 4) / 5, (3 - label) / 5)
                lines.append(f"{name},10,20,40,60,1;2,{label},{felt[0]},{felt[1]}")
                truth[name] = label
                if label < 8:
                    put(place, f"Manually_Annotated_Images/{name}", png(50, "jpeg", (100, 90)))
        put(place, f"Manually_Annotated_file_lists/{file}.csv", "\n".join(lines) + "\n")
    return truth


def test_affectnet_lists_boxes_and_poses(tmp_path):
    truth = affectnet_lists(tmp_path)
    put(
        tmp_path,
        "pose_30_affectnet_list.txt",
        "0/validation_0_0.jpg\n7/validation_7_1.jpg\n0/x.jpg\n",
    )
    mistold = "70/validation_7_0.jpg"

    def say(name):
        name = name.split("Images/")[1]
        return 0 if name == mistold else truth[name]

    outcome, asked = run(AFFECTNET, tmp_path, say)
    assert AFFECTNET.matches(tmp_path)
    assert len(asked) == 64
    assert asked.crop == "box"
    # 40 x 60 about (30, 50): a square of the longer side.
    assert asked.boxes[0].tolist() == [0, 20, 60, 80]
    assert value_of(outcome, "accuracy, linear, all codes, 8 classes") == pytest.approx(
        100 * 15 / 16
    )
    assert value_of(outcome, "accuracy, linear, all codes, 7 classes") == 100
    assert value_of(outcome, "accuracy, linear, all codes, pose 30, 8 classes") == 100
    assert value_of(outcome, "CCC, valence, linear, all codes") > 0.6
    assert sum(score.main for score in outcome.scores) == 4
    assert "1 names of pose_30_affectnet_list.txt are not among the test pictures" in outcome.notes


def test_affectnet_in_files_of_numpy(tmp_path):
    truth = {}
    for part, count in (("train_set", 4), ("val_set", 2)):
        for number in range(8 * count):
            label = number % 8
            truth[f"{part}/images/{number}.jpg"] = label
            put(tmp_path, f"{part}/images/{number}.jpg", png(50, "jpeg"))
            for kind, value in (("exp", str(label)), ("val", "0.5"), ("aro", "-2")):
                buffer = io.BytesIO()
                np.save(buffer, np.array(value))
                put(tmp_path, f"{part}/annotations/{number}_{kind}.npy", buffer.getvalue())
    outcome, asked = run(AFFECTNET, tmp_path, lambda n: truth[n])
    assert AFFECTNET.matches(tmp_path)
    assert asked.crop == "face"
    assert value_of(outcome, "accuracy, linear, all codes, 8 classes") == 100
    assert not [score for score in outcome.scores if "CCC" in score.name]
    assert "48 pictures have no valence and arousal" in outcome.notes
    put(tmp_path, "val_set/annotations/3_exp.npy", b"nothing")
    with pytest.raises(MienError, match=r"3_exp\.npy is not one number"):
        run(AFFECTNET, tmp_path, lambda n: truth[n])


def test_affectnet_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(MienError, match=r"neither validation\.csv nor train_set/annotations"):
        run(AFFECTNET, tmp_path, lambda _: 0)
    affectnet_lists(tmp_path)
    (tmp_path / "Manually_Annotated_Images" / "31" / "validation_3_1.jpg").unlink()
    with pytest.raises(MienError, match=r"affectnet: 1 of 64 .*31/validation_3_1\.jpg"):
        run(AFFECTNET, tmp_path, lambda _: 0)


# --- Aff-Wild2 ---


def affwild_videos(place, *, folder, header, line_of, pictured=lambda frame: True):
    """Three training videos of 90 frames and two for validation of 12."""
    for part, count, frames in (("Train_Set", 3, 90), ("Validation_Set", 2, 12)):
        for video in range(count):
            name = f"{part[0]}{video}-30-1280x720"
            lines = [header, *(line_of(part, frame) for frame in range(1, frames + 1))]
            put(place, f"annotations/{folder}/{part}/{name}.txt", "\n".join(lines) + "\n")
            for frame in range(1, frames + 1):
                if pictured(frame):
                    put(
                        place, f"cropped_aligned/{name}/{frame:05d}.jpg", png(frame, "jpeg", (8, 8))
                    )


def frame_of(name):
    return int(name.split("/")[-1][:5])


def test_affwild2_line_i_is_frame_i(tmp_path):
    header = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise"

    def label(part, frame):
        if part == "Validation_Set" and frame == 5:
            return "-1"
        return str((frame // 10 if part == "Train_Set" else frame) % 7)

    affwild_videos(
        tmp_path,
        folder="EXPR_Classification_Challenge",
        header=header,
        line_of=label,
        pictured=lambda frame: frame != 7,
    )

    def say(name):
        number = frame_of(name)
        train = name.split("/")[1].startswith("T")
        if not train and number == 12:
            return 0
        return (number // 10 if train else number) % 7

    outcome, asked = run(AFFWILD2_EXPRESSION, tmp_path, say)
    assert AFFWILD2_EXPRESSION.matches(tmp_path)
    assert not AFFWILD2_AMOUNTS.matches(tmp_path)
    assert asked.crop == "detect"
    assert asked.fallback is not None
    training = [name for name in asked.names if "/T0" in name]
    assert [frame_of(name) for name in training] == [1, 12, 22, 32, 42, 52, 62, 72, 82]
    tested = [frame_of(name) for name in asked.names if "/V1" in name]
    assert tested == [1, 2, 3, 4, 6, 8, 9, 10, 11, 12]
    assert value_of(outcome, "accuracy, linear, all codes") == pytest.approx(90)
    assert [score.name.split(",")[0] for score in outcome.scores if score.main] == [
        "accuracy",
        "macro-F1",
    ]
    assert "2 frames without a label and 5 labelled ones without a picture" in outcome.notes[1]


def test_affwild2_amounts_leave_out_what_annotators_gave_up(tmp_path):
    def line(part, frame):
        return "-5,-5" if frame == 3 else f"{frame / 100:.2f},{-frame / 200:.3f}"

    affwild_videos(tmp_path, folder="VA_Set", header="valence,arousal", line_of=line)
    outcome, asked = run(AFFWILD2_AMOUNTS, tmp_path, lambda n: [frame_of(n) * k for k in (1, -1)])
    assert AFFWILD2_AMOUNTS.matches(tmp_path)
    assert 3 not in [frame_of(name) for name in asked.names]
    assert value_of(outcome, "CCC, valence, linear, all codes") > 0.95
    assert value_of(outcome, "CCC, arousal, linear, all codes") > 0.95
    assert "5 frames without a label" in outcome.notes[1]


def test_affwild2_units_and_what_is_missing(tmp_path):
    def line(part, frame):
        first = frame % 2 if part == "Validation_Set" else frame // 10 % 2
        return f"{first},{1 - first}"

    affwild_videos(tmp_path, folder="AU_Detection_Challenge", header="AU1,AU2", line_of=line)

    def say(name):
        number = frame_of(name)
        return (number % 2) if "/V" in name else number // 10 % 2

    outcome, _ = run(AFFWILD2_UNITS, tmp_path, say)
    assert AFFWILD2_UNITS.matches(tmp_path)
    assert value_of(outcome, "mean F1, linear, all codes") == 100
    with pytest.raises(MienError, match=r"affwild2-va: .* no annotations/VA_Set/Train_Set"):
        run(AFFWILD2_AMOUNTS, tmp_path, say)
    for picture in (tmp_path / "cropped_aligned" / "V1-30-1280x720").iterdir():
        picture.unlink()
    with pytest.raises(MienError, match=r"1 annotated videos have no pictures .* V1-30-1280x720"):
        run(AFFWILD2_UNITS, tmp_path, say)


# --- CK+ ---


def ckplus(place, people=12):
    truth = {}
    for person in range(people):
        for sequence, label in ((1, person % 7 + 1), (2, (person + 3) % 7 + 1)):
            who, what = f"S{person + 5:03d}", f"{sequence:03d}"
            for frame in range(1, 7):
                name = f"cohn-kanade-images/{who}/{what}/{who}_{what}_{frame:08d}.png"
                put(place, name, png(90))
                truth[name] = 7 if frame == 1 else label - 1
            put(
                place,
                f"Emotion/{who}/{what}/{who}_{what}_00000006_emotion.txt",
                f"   {label:.7e}\n",
            )
    return truth


def test_ckplus_takes_peaks_and_keeps_people_apart(tmp_path):
    truth = ckplus(tmp_path)
    put(tmp_path, "cohn-kanade-images/S099/001/S099_001_00000001.png", png(1))  # has no label
    mistold = "cohn-kanade-images/S005/001/S005_001_00000006.png"
    outcome, asked = run(CKPLUS, tmp_path, lambda n: 6 if n == mistold else truth[n])
    assert CKPLUS.matches(tmp_path)
    first = [name for name in asked.names if "/S005/001/" in name]
    assert [int(name[-7:-4]) for name in first] == [1, 4, 5, 6]
    assert asked.crop == "detect"
    assert value_of(outcome, "accuracy, linear, all codes, 7 classes") == pytest.approx(
        100 * 71 / 72
    )
    assert value_of(outcome, "accuracy, linear, all codes, 8 classes") == pytest.approx(
        100 * 95 / 96
    )
    assert "72 pictures in 10 folds, 7 classes" in outcome.notes
    assert outcome.notes[0].startswith("12 people")


def test_ckplus_learns_nothing_from_who_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(ckplus_module, "FOLDS", 3)
    ckplus(tmp_path)
    # Factors that say the person only: 12 people are given 7 of 9 classes.
    outcome, _ = run(CKPLUS, tmp_path, lambda n: int(n.split("/")[1][1:]) % 9)
    assert value_of(outcome, "accuracy, linear, all codes, 7 classes") < 40


def test_ckplus_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(MienError, match=r"ckplus: .*_emotion\.txt and its like are missing"):
        run(CKPLUS, tmp_path, lambda _: 0)
    ckplus(tmp_path, people=2)
    put(tmp_path, "Emotion/S005/001/S005_001_00000006_emotion.txt", "8.0")
    with pytest.raises(MienError, match=r"says '8\.0' and not 1 to 7"):
        run(CKPLUS, tmp_path, lambda _: 0)
    put(tmp_path, "Emotion/S005/001/S005_001_00000006_emotion.txt", "3.0")
    for frame in (4, 5, 6):
        (tmp_path / f"cohn-kanade-images/S006/002/S006_002_{frame:08d}.png").unlink()
    with pytest.raises(MienError, match="S006/002 has 3 frames and a label"):
        run(CKPLUS, tmp_path, lambda _: 0)
