"""AffectNet, Aff-Wild2 and CK+ on tiny trees of their layouts, with factors made to order."""

import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate.datasets import ckplus as ckplus_module
from mien.evaluate.protocols import find_protocol
from mien.evaluate.tasks import classification as measure_module, few_labels as few_module
from mien.linear import logistic as linear_module

AFFECTNET = find_protocol("affectnet")
AFFWILD2_VA = find_protocol("affwild2-va")
AFFWILD2_EXPRESSION = find_protocol("affwild2-expression")
AFFWILD2_AU = find_protocol("affwild2-units")
CKPLUS = find_protocol("ckplus")

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


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(few_module, "COUNTS", (1,))
    monkeypatch.setattr(linear_module, "STRENGTHS", (30.0,))
    monkeypatch.setattr(measure_module, "known_sets", lambda _: ("all codes",))


# --- AffectNet ---

HEAD = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"


def affectnet_lists(place):
    """Eight classes (and one that is dropped), six training and two test images of each."""
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
                    put(place, f"Manually_Annotated_Images/{name}", own(name, "jpeg", (100, 90)))
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

    result, asked = run(AFFECTNET, tmp_path, say)
    assert AFFECTNET.matches(tmp_path)
    assert len(asked) == 64
    assert asked.crop == "box"
    # 40 x 60 about (30, 50): a square of the longer side.
    assert asked.boxes[0].tolist() == [0, 20, 60, 80]
    assert value_of(result, "accuracy, linear, all codes, 8 classes") == pytest.approx(
        100 * 15 / 16
    )
    assert value_of(result, "accuracy, linear, all codes, 7 classes") == 100
    assert value_of(result, "accuracy, linear, all codes, pose 30, 8 classes") == 100
    assert value_of(result, "CCC, valence, linear, all codes") > 0.6
    assert sum(score.main for score in result.scores) == 4
    assert "1 names of pose_30_affectnet_list.txt are not among the test images" in result.notes


def test_affectnet_in_files_of_numpy(tmp_path):
    truth = {}
    for part, count in (("train_set", 4), ("val_set", 2)):
        for number in range(8 * count):
            label = number % 8
            truth[f"{part}/images/{number}.jpg"] = label
            put(tmp_path, f"{part}/images/{number}.jpg", own(f"{part}{number}", "jpeg"))
            for kind, value in (("exp", str(label)), ("val", "0.5"), ("aro", "-2")):
                buffer = io.BytesIO()
                np.save(buffer, np.array(value))
                put(tmp_path, f"{part}/annotations/{number}_{kind}.npy", buffer.getvalue())
    result, asked = run(AFFECTNET, tmp_path, lambda n: truth[n])
    assert AFFECTNET.matches(tmp_path)
    assert asked.crop == "face"
    assert value_of(result, "accuracy, linear, all codes, 8 classes") == 100
    assert not [score for score in result.scores if "CCC" in score.name]
    assert "48 images have no valence and arousal" in result.notes
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


def affwild_videos(place, *, folder, header, line_of, imaged=lambda frame: True):
    """Three training videos of 90 frames and two for validation of 12."""
    for part, count, frames in (("Train_Set", 3, 90), ("Validation_Set", 2, 12)):
        for video in range(count):
            name = f"{part[0]}{video}-30-1280x720"
            lines = [header, *(line_of(part, frame) for frame in range(1, frames + 1))]
            put(place, f"annotations/{folder}/{part}/{name}.txt", "\n".join(lines) + "\n")
            for frame in range(1, frames + 1):
                if imaged(frame):
                    file = f"cropped_aligned/{name}/{frame:05d}.jpg"
                    put(place, file, own(file, "jpeg", (8, 8)))


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
        imaged=lambda frame: frame != 7,
    )

    def say(name):
        number = frame_of(name)
        train = name.split("/")[1].startswith("T")
        if not train and number == 12:
            return 0
        return (number // 10 if train else number) % 7

    result, asked = run(AFFWILD2_EXPRESSION, tmp_path, say)
    assert AFFWILD2_EXPRESSION.matches(tmp_path)
    assert not AFFWILD2_VA.matches(tmp_path)
    assert asked.crop == "detect"
    assert asked.fallback is not None
    training = [name for name in asked.names if "/T0" in name]
    assert [frame_of(name) for name in training] == [1, 12, 22, 32, 42, 52, 62, 72, 82]
    tested = [frame_of(name) for name in asked.names if "/V1" in name]
    assert tested == [1, 2, 3, 4, 6, 8, 9, 10, 11, 12]
    assert value_of(result, "accuracy, linear, all codes") == pytest.approx(90)
    assert [score.name.split(",")[0] for score in result.scores if score.main] == [
        "accuracy",
        "macro-F1",
    ]
    assert "2 frames without a label and 5 labelled ones without an image" in result.notes[1]


def test_affwild2_valence_arousal_leave_out_what_annotators_gave_up(tmp_path):
    def line(part, frame):
        return "-5,-5" if frame == 3 else f"{frame / 100:.2f},{-frame / 200:.3f}"

    affwild_videos(tmp_path, folder="VA_Set", header="valence,arousal", line_of=line)
    result, asked = run(AFFWILD2_VA, tmp_path, lambda n: [frame_of(n) * k for k in (1, -1)])
    assert AFFWILD2_VA.matches(tmp_path)
    assert 3 not in [frame_of(name) for name in asked.names]
    assert value_of(result, "CCC, valence, linear, all codes") > 0.95
    assert value_of(result, "CCC, arousal, linear, all codes") > 0.95
    assert "5 frames without a label" in result.notes[1]


def test_affwild2_units_and_what_is_missing(tmp_path):
    def line(part, frame):
        first = frame % 2 if part == "Validation_Set" else frame // 10 % 2
        return f"{first},{1 - first}"

    affwild_videos(tmp_path, folder="AU_Detection_Challenge", header="AU1,AU2", line_of=line)

    def say(name):
        number = frame_of(name)
        return (number % 2) if "/V" in name else number // 10 % 2

    result, _ = run(AFFWILD2_AU, tmp_path, say)
    assert AFFWILD2_AU.matches(tmp_path)
    assert value_of(result, "mean F1, linear, all codes") == 100
    with pytest.raises(MienError, match=r"affwild2-va: .* no annotations/VA_Set/Train_Set"):
        run(AFFWILD2_VA, tmp_path, say)
    for image in (tmp_path / "cropped_aligned" / "V1-30-1280x720").iterdir():
        image.unlink()
    with pytest.raises(MienError, match=r"1 annotated videos have no images .* V1-30-1280x720"):
        run(AFFWILD2_AU, tmp_path, say)


# --- CK+ ---


def ckplus(place, people=12):
    truth = {}
    for person in range(people):
        for sequence, label in ((1, person % 7 + 1), (2, (person + 3) % 7 + 1)):
            who, what = f"S{person + 5:03d}", f"{sequence:03d}"
            for frame in range(1, 7):
                name = f"cohn-kanade-images/{who}/{what}/{who}_{what}_{frame:08d}.png"
                put(place, name, own(name))
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
    result, asked = run(CKPLUS, tmp_path, lambda n: 6 if n == mistold else truth[n])
    assert CKPLUS.matches(tmp_path)
    first = [name for name in asked.names if "/S005/001/" in name]
    assert [int(name[-7:-4]) for name in first] == [1, 4, 5, 6]
    assert asked.crop == "detect"
    assert value_of(result, "accuracy, linear, all codes, 7 classes") == pytest.approx(
        100 * 71 / 72
    )
    assert value_of(result, "accuracy, linear, all codes, 8 classes") == pytest.approx(
        100 * 95 / 96
    )
    assert "72 images in 10 folds, 7 classes" in result.notes
    assert result.notes[0].startswith("12 people")


def test_ckplus_learns_nothing_from_who_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(ckplus_module, "FOLDS", 3)
    ckplus(tmp_path)
    # Factors that say the person only: 12 people are given 7 of 9 classes.
    result, _ = run(CKPLUS, tmp_path, lambda n: int(n.split("/")[1][1:]) % 9)
    assert value_of(result, "accuracy, linear, all codes, 7 classes") < 40


def test_ckplus_that_is_not_whole_is_refused(tmp_path):
    with pytest.raises(MienError, match=r"ckplus: .*_emotion\.txt and its like are missing"):
        run(CKPLUS, tmp_path, lambda _: 0)
    ckplus(tmp_path, people=2)
    put(tmp_path, "Emotion/S005/001/S005_001_00000006_emotion.txt", "8.0")
    with pytest.raises(MienError, match=r"holds '8\.0' and not 1 to 7"):
        run(CKPLUS, tmp_path, lambda _: 0)
    put(tmp_path, "Emotion/S005/001/S005_001_00000006_emotion.txt", "3.0")
    for frame in (4, 5, 6):
        (tmp_path / f"cohn-kanade-images/S006/002/S006_002_{frame:08d}.png").unlink()
    with pytest.raises(MienError, match="S006/002 has 3 frames and a label"):
        run(CKPLUS, tmp_path, lambda _: 0)
