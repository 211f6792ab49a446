"""Each data set of expression on a tiny tree of its official layout, with factors made to order."""

import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate.datasets.fer2013 import majority, read_fer_images
from mien.evaluate.protocol import EvalContext
from mien.evaluate.protocols import find_protocol
from mien.evaluate.tasks import classification as measure_module, few_labels as few_module
from mien.linear import logistic as linear_module

FER2013 = find_protocol("fer2013")
FERPLUS = find_protocol("ferplus")
RAFDB = find_protocol("rafdb")

SPEC = importlib.util.spec_from_file_location(
    "made_factors", Path(__file__).with_name("made_factors.py")
)
assert SPEC is not None
assert SPEC.loader is not None
made_factors = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made_factors)
run, value_of, png, own, put = (
    getattr(made_factors, name) for name in ("run", "value_of", "png", "own", "put")
)

REAL = Path(__file__).parents[2] / "shared" / "data" / "fer2013"
FER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(few_module, "COUNTS", (1,))
    monkeypatch.setattr(linear_module, "STRENGTHS", (30.0,))
    monkeypatch.setattr(measure_module, "known_sets", lambda _: ("all codes",))


# --- FER-2013 ---


def fer_rows(parts):
    """One (emotion, usage) a row; every image has its own shade."""
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
    shades[3] = shades[50]  # a training image that is also in the private part
    put(tmp_path, "fer2013.csv", fer_csv(rows, shades=shades))
    mistold = {"PrivateTest/00049.png": 3}
    result, asked = run(
        FER2013, tmp_path, lambda n: mistold.get(n, rows[int(n.split("/")[1][:5])][0])
    )
    assert FER2013.matches(tmp_path)
    assert asked.crop == "face"
    assert asked.read(5).shape == (48, 48, 3)
    assert (asked.read(5) == 5).all()
    assert value_of(result, "accuracy, linear, all codes") == pytest.approx(100 * 13 / 14)
    assert result.failures[0].caption.startswith("angry, predicted happy")
    assert "private" in result.notes[0]
    assert result.notes[1].startswith("1 training images are also in the test part")
    assert "41 images to train on, 14 to test on" in result.notes


def test_fer2013_of_the_first_competition_says_the_same(tmp_path):
    rows = fer_rows([("Training", 14), ("PublicTest", 7)])
    put(tmp_path / "a", "fer2013.csv", fer_csv(rows))
    columns = ("emotion", " Usage", " pixels")
    put(tmp_path / "b", "fer2013/icml_face_data.csv", fer_csv(rows, columns))
    assert FER2013.matches(tmp_path / "b")
    assert not FER2013.matches(tmp_path / "c")
    one, two = read_fer_images(tmp_path / "a"), read_fer_images(tmp_path / "b")
    assert one.labels.tolist() == two.labels.tolist() == [row[0] for row in rows]
    assert one.usage.tolist() == two.usage.tolist()
    assert one.images.names == two.images.names
    assert (two.images.read(20) == 20).all()


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
    results = []
    for place in ("folders", "zips"):
        assert FER2013.matches(tmp_path / place)
        result, asked = run(FER2013, tmp_path / place, lambda n: FER.index(n.split("/")[1]))
        assert asked.names[0] == "train/angry/Training_0.jpg"
        results.append(result)
        assert result.notes[0] == "tested on the public test part"
        assert result.notes[1].startswith("0 training images")
        assert value_of(result, "accuracy, linear, all codes") == 100
    assert results[0].data == results[1].data


def test_fer2013_knows_the_parts_by_the_names_of_files(tmp_path):
    for name in ("PublicTest_1.jpg", "PrivateTest_2.jpg", "im3.png"):
        put(tmp_path, f"test/happy/{name}", png(9))
    put(tmp_path, "train/sad/Training_4.jpg", png(8))
    data = read_fer_images(tmp_path)
    usage = dict(zip(data.images.names, data.usage, strict=True))
    assert usage["test/happy/PublicTest_1.jpg"] == "PublicTest"
    assert usage["test/happy/PrivateTest_2.jpg"] == usage["test/happy/im3.png"] == "PrivateTest"
    assert usage["train/sad/Training_4.jpg"] == "Training"


def test_fer2013_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(MienError, match=r"neither fer2013\.csv nor train/angry/"):
        FER2013.run(tmp_path, EvalContext(made_factors.Made(lambda _: 0)))
    rows = fer_rows([("Training", 3)])
    put(tmp_path, "fer2013.csv", fer_csv(rows))
    with pytest.raises(MienError, match="no test images"):
        FER2013.run(tmp_path, EvalContext(made_factors.Made(lambda _: 0)))
    put(tmp_path, "fer2013.csv", fer_csv(rows).replace("Usage", "use"))
    with pytest.raises(MienError, match="no column Usage"):
        FER2013.run(tmp_path, EvalContext(made_factors.Made(lambda _: 0)))
    put(tmp_path, "fer2013.csv", fer_csv(rows).replace("1 1 1 ", "1 ", 1))
    with pytest.raises(MienError, match=r"line 3 has 2302 pixels"):
        FER2013.run(tmp_path, EvalContext(made_factors.Made(lambda _: 0)))


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/data/fer2013")
def test_fer2013_as_it_is_given_out():
    assert FER2013.matches(REAL)
    data = read_fer_images(REAL)
    assert {part: int((data.usage == part).sum()) for part in np.unique(data.usage)} == {
        "PublicTest": 3589,
        "Training": 28709,
    }
    assert np.bincount(data.labels[data.usage == "PublicTest"]).tolist() == [
        *(467, 56, 496, 895, 653, 415, 607)
    ]
    assert data.images.read(0).shape == (48, 48, 3)


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
    """48 training, 16 private images of eight classes; two rows of no use among them."""
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
    result, asked = run(
        FERPLUS, tmp_path, lambda n: mistold.get(n.split("/")[1], truth[n.split("/")[1]])
    )
    assert FERPLUS.matches(tmp_path)
    assert not FER2013.matches(tmp_path)
    place = asked.names.index("FER2013Train/fer0000006.png")
    assert (asked.read(place) == 6).all()  # the row in the file, not in what is left of it
    assert len(asked) == 64
    assert value_of(result, "accuracy, linear, all codes") == pytest.approx(100 * 15 / 16)
    assert value_of(result, "accuracy, linear, all codes, pose 30") == pytest.approx(50)


def test_ferplus_takes_images_that_were_made_before(tmp_path):
    text, truth = ferplus_votes()
    put(tmp_path, "fer2013new.csv", text)
    for row, name in enumerate(sorted(truth)):
        folder = "FER2013Train" if int(name[3:10]) < 50 else "FER2013Test"
        put(tmp_path / "data", f"{folder}/{name}", png(row))
    result, _ = run(FERPLUS, tmp_path, lambda n: truth[n.split("/")[1]])
    assert value_of(result, "accuracy, linear, all codes") == 100
    (tmp_path / "data" / "FER2013Test" / "fer0000060.png").unlink()
    with pytest.raises(MienError, match=r"ferplus: 1 of 64 .* first FER2013Test/fer0000060\.png"):
        run(FERPLUS, tmp_path, lambda _: 0)
    (tmp_path / "fer2013new.csv").unlink()
    with pytest.raises(MienError, match=r"fer2013new\.csv is missing; obtain it from"):
        run(FERPLUS, tmp_path, lambda _: 0)


# --- RAF-DB ---


def test_rafdb_takes_aligned_images_in_the_official_parts(tmp_path):
    truth = {f"train_{i:05d}": i % 7 + 1 for i in range(1, 43)}
    truth |= {f"test_{i:04d}": i % 7 + 1 for i in range(1, 15)}
    lines = "".join(f"{name}.jpg {label}\n" for name, label in truth.items())
    put(tmp_path, "EmoLabel/list_patition_label.txt", lines)
    for name in truth:
        put(tmp_path, f"Image/aligned/{name}_aligned.jpg", own(name, "jpeg", (100, 100)))

    def say(name):
        stem = name.split("/")[-1].removesuffix("_aligned.jpg")
        return 0 if stem == "test_0001" else truth[stem] - 1

    result, asked = run(RAFDB, tmp_path, say)
    assert RAFDB.matches(tmp_path)
    assert asked.names[0] == "Image/aligned/train_00001_aligned.jpg"
    assert value_of(result, "accuracy, linear, all codes") == pytest.approx(100 * 13 / 14)
    assert result.failures[0].caption.startswith("fear, predicted surprise")
    assert "42 images to train on, 14 to test on" in result.notes
    with zipfile.ZipFile(tmp_path.parent / "raf.zip", "w") as archive:
        for file in tmp_path.rglob("*.*"):
            archive.write(file, f"basic/{file.relative_to(tmp_path)}")
    zipped, _ = run(RAFDB, tmp_path.parent / "raf.zip", say)
    assert RAFDB.matches(tmp_path.parent / "raf.zip")
    assert [score.value for score in zipped.scores] == [score.value for score in result.scores]
    (tmp_path / "Image" / "aligned" / "test_0003_aligned.jpg").unlink()
    with pytest.raises(MienError, match=r"rafdb: 1 of 56 .*test_0003_aligned\.jpg; unpack"):
        run(RAFDB, tmp_path, say)
    put(tmp_path, "EmoLabel/list_patition_label.txt", "train_00001.jpg 8\n")
    with pytest.raises(MienError, match="line 1 is not as"):
        run(RAFDB, tmp_path, say)
