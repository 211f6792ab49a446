"""Metrics against numbers worked by hand, probes on made-up codes, the rendered protocol."""

import io
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.cross_validate import cross_validate
from benchmarks.fer2013 import fer2013_scores, labels_of
from benchmarks.rendered import (
    direct_scores,
    factor_matrix,
    frontal_depth,
    masked_depth_correlation,
    read_truth,
)
from benchmarks.same_person import verification_auc
from PIL import Image

from mien.columns import FACE_CODES
from mien.errors import MienError
from mien.linear.metrics import correlation
from mien.linear.verification import sample_pairs

PEOPLE, FRAMES, SIZE = 20, 6, 16
EXPRESSIONS = ("happy", "neutral")


def test_correlation_by_hand() -> None:
    prediction, target = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 7.0])
    assert correlation(prediction=prediction, target=target) == pytest.approx(
        5 / np.sqrt(2 * 38 / 3)
    )
    assert correlation(prediction=-target, target=target) == pytest.approx(-1)


def test_depth_is_compared_inside_the_mask_only() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((1, 8, 8))
    mask = np.zeros((1, 8, 8), bool)
    mask[:, 2:6, 2:6] = True
    prediction = np.where(mask, 3 * truth + 2, rng.random((1, 8, 8)))
    found = masked_depth_correlation(prediction=prediction, target=truth, mask=mask)
    assert found == pytest.approx([1.0])


def test_pairs_are_what_they_say() -> None:
    person = np.repeat(np.arange(5), 3)
    first, second, same = sample_pairs(person=person, pairs=50, rng=np.random.default_rng(0))
    assert (person[first[same]] == person[second[same]]).all()
    assert (first[same] != second[same]).all()
    assert (person[first[~same]] != person[second[~same]]).all()
    assert same.sum() == 50
    assert len(same) == 100


def test_auc_is_one_for_separate_people_and_a_half_for_noise() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 5)
    exact = rng.standard_normal((40, 16))[person]
    noise = rng.standard_normal((200, 16))
    assert verification_auc(codes=exact, person=person, pairs=500, rng=rng) > 0.999
    assert verification_auc(codes=noise, person=person, pairs=2000, rng=rng) == pytest.approx(
        0.5, abs=0.03
    )


def test_probe_reads_what_is_there_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 8)
    labels = rng.integers(0, 3, 320)
    codes = rng.standard_normal((320, 8))
    assert cross_validate(codes=codes, labels=labels, person=person).mean() < 0.5
    codes[:, :3] += 5 * np.eye(3)[labels]
    assert cross_validate(codes=codes, labels=labels, person=person).mean() > 0.9
    angle = rng.standard_normal(320)
    codes[:, 5] = angle + 0.1 * rng.standard_normal(320)
    assert cross_validate(codes=codes, labels=angle, person=person).mean() > 0.97


def rendered_folder(folder) -> pd.DataFrame:
    """Write a folder as `mien synth` does and return the table of a perfect model."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(PEOPLE) + 1, FRAMES)
    frame = np.tile(np.arange(FRAMES), PEOPLE)
    rows = PEOPLE * FRAMES
    labels = pd.DataFrame(
        {
            "path": [
                f"person_{p:06d}/frame_{t:03d}.png" for p, t in zip(person, frame, strict=True)
            ],
            "person": person,
            "expression": [EXPRESSIONS[t % 2] for t in frame],
            **{name: rng.uniform(-0.4, 0.4, rows) for name in ("yaw_rad", "pitch_rad", "roll_rad")},
            **{f"light_{axis}": rng.uniform(-1, 1, rows) for axis in "xyz"},
            "light_ambient": rng.random(rows),
            "light_diffuse": rng.random(rows),
        }
    )
    labels.loc[0, ["yaw_rad", "pitch_rad"]] = 0.0
    pq.write_table(pa.Table.from_pandas(labels), folder / "labels.parquet")
    for p in range(1, PEOPLE + 1):
        (folder / f"person_{p:06d}").mkdir()
        with zipfile.ZipFile(folder / f"person_{p:06d}" / "truth.zip", "w") as archive:
            for t in range(FRAMES):
                for kind, pixels in (
                    ("depth", true_depth()),
                    ("mask", np.full((SIZE, SIZE), 255, np.uint8)),
                ):
                    buffer = io.BytesIO()
                    Image.fromarray(pixels).save(buffer, "png")
                    archive.writestr(f"frame_{t:03d}_{kind}.png", buffer.getvalue())
    who = rng.standard_normal((PEOPLE, 8))[person - 1]
    what = rng.standard_normal((2, 8))[frame % 2]
    table = labels.drop(columns=["person", "expression", "light_z"]).assign(face_found=True)
    table["identity"] = list(who.astype(np.float32))
    table["expression"] = list((what + 0.1 * rng.standard_normal((rows, 8))).astype(np.float32))
    table["texture_code"] = list((who + what)[:, :4].astype(np.float32))
    table["shape_code"] = list((who + what)[:, 4:].astype(np.float32))
    return table.sample(frac=1, random_state=0)


def true_depth() -> np.ndarray:
    down, across = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    return (5000 + 1000 * (down**2 + across**2)).astype(np.uint16)


def test_rendered_people_by_a_perfect_model(tmp_path) -> None:
    table = rendered_folder(tmp_path)
    truth = read_truth(tmp_path, table)
    scores = direct_scores(truth, np.random.default_rng(0))
    assert scores["yaw_rad correlation"] == pytest.approx(1)
    assert scores["light_x correlation"] == pytest.approx(1)
    assert scores["same person AUC from identity"] > 0.99
    assert scores["same person AUC from expression"] == pytest.approx(0.5, abs=0.06)
    matrix = factor_matrix(truth)
    assert matrix.loc["expression", "expression"] > 0.95
    assert matrix.loc["identity", "expression"] < 0.7
    depth = np.repeat(true_depth()[None].astype(float), len(table), axis=0)
    found = frontal_depth(tmp_path, truth, depth)
    assert len(found) >= 1
    assert found == pytest.approx(np.ones(len(found)))


def test_a_folder_without_labels_or_a_short_table_is_refused(tmp_path) -> None:
    with pytest.raises(MienError, match=r"labels\.parquet does not exist"):
        read_truth(tmp_path, pd.DataFrame({"path": []}))
    table = rendered_folder(tmp_path)
    with pytest.raises(MienError, match="1 images"):
        read_truth(tmp_path, table.iloc[1:])


def test_fer2013_reads_classes_from_folders() -> None:
    rng = np.random.default_rng(0)

    def table(rows: int) -> pd.DataFrame:
        classes = rng.integers(0, 3, rows)
        codes = rng.standard_normal((rows, 6)) + 3 * np.eye(6)[classes]
        numbers = {
            f"{name}": rng.standard_normal(rows) for name in ("yaw_rad", "pitch_rad", "roll_rad")
        }
        lights = ("ambient", "diffuse", "x", "y", "z")
        numbers |= {f"light_{name}": rng.standard_normal(rows) for name in lights}
        paths = [f"{'abc'[c]}/{i}.jpg" for i, c in enumerate(classes)]
        return pd.DataFrame(
            {"path": paths, **numbers, **{name: list(codes) for name in FACE_CODES}}
        )

    scores = fer2013_scores(table(300), table(200))
    assert set(scores) == {*FACE_CODES, "all codes"}
    assert min(scores.values()) > 0.85
    with pytest.raises(MienError, match="folders named"):
        labels_of(pd.DataFrame({"path": ["one.jpg"]}))
