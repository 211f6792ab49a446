"""Leakage, disentanglement and expression transfer, on codes whose answers are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from mien.errors import MienError
from mien.evaluate.datasets.synthetic import Label, read_clips
from mien.evaluate.protocol import EvalContext, FactorColumns
from mien.evaluate.protocols import find_protocol
from mien.evaluate.tasks.disentanglement import person_similarity
from mien.evaluate.tasks.expression_transfer import transfer_result
from mien.evaluate.tasks.leakage import above_chance, leakage
from mien.geometry.gaze import gaze_vector
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.linear.cross_subject import fit_numbers, out_of_fold, person_space
from mien.linear.folds import balanced_folds
from mien.linear.model import scaled, standards
from mien.model import Model
from mien.synth.frame import rotation_matrix

FACTORS = find_protocol("factors")

PEOPLE, FRAMES = 24, 6
NAMES = ("anger", "happy", "neutral")
SMALL = ModelConfig(
    image_size=32, width=8, feature_dim=32, texture_dim=8, shape_dim=8, neutral_width=16
)


def made_up_labels(seed: int = 0) -> pd.DataFrame:
    """Labels as `mien synth` writes them, all sampled independently."""
    rng = np.random.default_rng(seed)
    rows = PEOPLE * FRAMES
    person = np.repeat(np.arange(PEOPLE) + 1, FRAMES)
    frame = np.tile(np.arange(FRAMES), PEOPLE)
    angles = rng.uniform(-0.5, 0.5, (rows, 3))
    rotation = rotation_matrix(*angles.T)
    eyes = gaze_vector(*rng.uniform(-0.3, 0.3, (2, rows)))
    gaze = np.einsum("nij,nj->ni", rotation, eyes)
    light = rng.standard_normal((rows, 3))
    light /= np.linalg.norm(light, axis=1, keepdims=True)
    shape = rng.standard_normal((PEOPLE, 8))[person - 1]
    return pd.DataFrame(
        {
            "path": [f"person_{p:06d}/{t}.png" for p, t in zip(person, frame, strict=True)],
            "person": person.astype(np.int32),
            "frame": frame.astype(np.int32),
            "identity": list(shape),
            "expression": [NAMES[i] for i in rng.integers(0, 3, rows)],
            "rotation": list(rotation.reshape(-1, 9)),
            "landmarks": list(np.zeros((rows, 10))),
            **{f"{name}_rad": angles[:, i] for i, name in enumerate(("yaw", "pitch", "roll"))},
            **{f"gaze_{axis}": gaze[:, i] for i, axis in enumerate("xyz")},
            **{f"light_{axis}": light[:, i] for i, axis in enumerate("xyz")},
            "light_ambient": rng.uniform(0.3, 0.7, rows),
            "light_diffuse": rng.uniform(0.3, 0.8, rows),
        }
    )


def write_folder(folder, labels: pd.DataFrame):
    pq.write_table(pa.Table.from_pandas(labels), folder / "labels.parquet")
    (folder / "config.json").write_text(json.dumps({"program": "mien synth"}))
    rng = np.random.default_rng(1)
    for path in labels["path"]:
        (folder / path).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / path)
    return folder


def perfect(labels: pd.DataFrame, *, leak: float = 0.0, gaze: bool = True):
    """Return what gives each factor its own labels; `leak` mixes the yaw into the identity."""
    clips_gaze = np.stack([labels[f"gaze_{a}"] for a in "xyz"], axis=1)
    rotation = np.stack(list(labels["rotation"])).reshape(-1, 3, 3)
    eyes = np.einsum("nji,nj->ni", rotation, clips_gaze)
    rng = np.random.default_rng(2)
    who = np.stack(list(labels["identity"])) + 0.05 * rng.standard_normal((len(labels), 8))
    who[:, 7] += 20 * leak * labels["yaw_rad"].to_numpy()
    what = np.eye(3)[np.unique(labels["expression"], return_inverse=True)[1]]
    what = what + 0.05 * rng.standard_normal(what.shape)
    columns = {
        name: labels[name].to_numpy()
        for name in labels.columns
        if name.endswith("_rad") or name.startswith("light_")
    }
    columns |= {"identity": who, "expression": what, "gaze_code": eyes}
    columns |= {"texture_code": who[:, :4], "shape_code": who[:, 4:] + what[:, :1]}
    rows = {name: i for i, name in enumerate(labels["path"])}

    if not gaze:
        del columns["gaze_code"]
    return Perfect(rows, columns)


class Perfect:
    reads_pixels = False

    def __init__(self, rows, values) -> None:
        self.rows, self.values, self.columns = rows, values, frozenset(values)

    def __call__(self, images, names, /) -> FactorColumns:
        order = [self.rows[name] for name in images.names]
        assert images.crop == "face"
        found = np.ones(len(order), bool)
        return FactorColumns(found, found, {name: self.values[name][order] for name in names})


def number(name: str, factor: str, values) -> Label:
    return Label(name, factor, "number", np.asarray(values, np.float64))


def test_missing_codes_are_the_mean_of_the_training_rows() -> None:
    train = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    moved = scaled(np.array([[3.0, 5.0], [np.nan, np.nan]]), *standards(train))
    assert moved.tolist() == [[1, 5], [0, 0]]
    rng = np.random.default_rng(0)
    codes, person = rng.standard_normal((100, 3)), np.repeat(np.arange(20), 5)
    target = (codes @ [1.0, -2.0, 0.5])[:, None] + 7
    probe = fit_numbers(codes, target, person)
    assert probe(np.array([[1.0, 1, 1]]))[0, 0] == pytest.approx(6.5, abs=0.2)
    assert probe(np.full((1, 3), np.nan))[0, 0] == pytest.approx(target.mean(), abs=0.05)


def test_nobody_stands_on_both_sides_of_a_fold() -> None:
    person = np.repeat(np.arange(12), 3)
    tested = []
    for fit, held in balanced_folds(person):
        assert not set(person[fit]) & set(person[held])
        tested += held.tolist()
    assert sorted(tested) == list(range(36))


def test_probes_say_what_they_never_saw() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(20), 10)
    classes = rng.integers(0, 3, 200)
    codes = rng.standard_normal((200, 5)) + 4 * np.eye(5)[classes]
    labels = (
        Label("c", "x", "class", classes),
        number("n", "x", codes[:, 4]),
        number("none", "x", rng.standard_normal(200)),
    )
    found = out_of_fold(
        codes=codes, labels={label.name: label.values for label in labels}, person=person
    )
    assert np.mean(found["c"] == classes) > 0.95
    assert np.corrcoef(found["n"], codes[:, 4])[0, 1] > 0.99
    assert abs(np.corrcoef(found["none"], labels[2].values)[0, 1]) < 0.25


def test_a_learnt_measure_finds_the_person_under_larger_noise() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(60), 6)
    codes = rng.standard_normal((360, 12))
    codes[:, 3] = 0.3 * (rng.standard_normal(60)[person] + 0.1 * codes[:, 3])
    codes[:, 5] *= 20
    fit = person < 40
    moved = person_space(codes[fit], person[fit])(codes[~fit])
    assert np.linalg.norm(moved, axis=1) == pytest.approx(np.ones(len(moved)))
    labels = (number("n", "x", codes[:, 0]),)
    named = {"identity": codes, "x": rng.permutation(codes, axis=0)}
    found = leakage(codes=named, labels=labels, person=person, relit=person < 50, rng=rng)
    assert found.scores[0, 0] > 0.75
    assert found.scores[1, 0] == pytest.approx(0.5, abs=0.06)
    raw = person_similarity(codes=codes, person=person, rng=rng).auc()
    assert raw < found.scores[0, 0]


def test_leakage_counts_what_is_not_a_codes_own() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 6)
    one, two = rng.standard_normal((2, 240))
    labels = (number("a", "pose", one), number("b", "light", two))
    codes = {"pose": one[:, None], "light": np.stack([one, two], axis=1)}
    every = np.ones(240, bool)
    found = leakage(codes=codes, labels=labels, person=person, relit=every, rng=rng)
    names, excess = found.by_factor()
    assert names == ("identity", "pose", "light")
    assert found.chance.tolist() == [0.5, 0, 0]
    assert excess[0, 1] > 0.99
    assert excess[1, 1] > 0.99
    assert excess[0, 2] < 0.15
    # pose reveals of identity and light next to nothing, light of pose all, of identity nothing.
    assert found.mean_leakage() == pytest.approx(0.25, abs=0.08)
    assert above_chance(scores=np.array([0.75, -0.2]), chance=np.array([0.5, 0.0])).tolist() == [
        0.5,
        0.0,
    ]


def test_a_code_that_knows_only_people_it_has_seen_leaks_nothing() -> None:
    """Each person has one expression and a code of his own: nothing of it holds for others."""
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(40), 6)
    classes = rng.integers(0, 2, 40)[person]
    names = rng.standard_normal((40, 30))[person]
    labels = (
        Label("expression", "expression", "class", classes),
        number("yaw", "pose", rng.standard_normal(40)[person]),
    )
    codes = {"identity": names + 0.05 * rng.standard_normal(names.shape)}
    every = np.ones(len(person), bool)
    found = leakage(codes=codes, labels=labels, person=person, relit=every, rng=rng)
    # A probe that had seen the tested people would be right nearly always.
    assert found.scores[0, 1] < 0.75
    assert abs(found.scores[0, 2]) < 0.4


def test_a_missing_face_is_like_nobody() -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(10), 4)
    codes = rng.standard_normal((10, 6))[person]
    exact = person_similarity(codes=codes, person=person, rng=np.random.default_rng(1))
    assert exact.auc() == 1
    # Also where the others' mean leaves little between two people: cosine is of what is left.
    assert exact.values[exact.same].min() == pytest.approx(1)
    codes[::4] = np.nan
    some = person_similarity(codes=codes, person=person, rng=np.random.default_rng(1))
    assert some.values.min() == -1
    assert some.auc() < 0.9
    assert np.isnan(some.auc(np.flatnonzero(some.same)))


def test_labels_of_a_folder(tmp_path) -> None:
    labels = made_up_labels()
    clips = read_clips(write_folder(tmp_path, labels), "factors")
    named = {label.name: label for label in clips.labels()}
    assert len(clips) == PEOPLE * FRAMES
    assert named["head yaw"].values == pytest.approx(labels["yaw_rad"].to_numpy())
    # The eyes' own rotation, sampled within 0.3 in the head's frame whatever the head does.
    assert np.abs(named["eye yaw"].values).max() < 0.3
    assert [clips.expression[0]] == [NAMES.index(labels["expression"][0])]
    assert named["head shape 5"].factor == "identity"
    assert clips.relit().all()
    steady = labels.copy()
    first = steady["person"] == 1
    for name in ("light_x", "light_y", "light_z", "light_ambient"):
        steady.loc[first, name] = 0.5
    (tmp_path / "other").mkdir()
    other = read_clips(write_folder(tmp_path / "other", steady), "factors")
    assert other.relit().tolist() == (~first).tolist()
    assert other.checksum != clips.checksum


def test_a_folder_of_something_else_is_refused(tmp_path) -> None:
    with pytest.raises(MienError, match=r"factors: .*labels\.parquet is missing; .*mien synth"):
        read_clips(tmp_path, "factors")
    (tmp_path / "labels.parquet").write_bytes(b"no")
    with pytest.raises(MienError, match="cannot be read"):
        read_clips(tmp_path, "factors")
    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "labels.parquet")
    with pytest.raises(MienError, match="has no person"):
        read_clips(tmp_path, "factors")
    few = made_up_labels().iloc[: 5 * FRAMES]
    write_folder(tmp_path, few)
    with pytest.raises(MienError, match="5 people"):
        FACTORS.run(tmp_path, EvalContext(perfect(few)))
    assert FACTORS.matches(tmp_path)
    assert not FACTORS.matches(tmp_path / "person_000001")


@pytest.fixture
def few_pairs(monkeypatch) -> None:
    monkeypatch.setattr("mien.evaluate.tasks.disentanglement.PAIRS", 300)
    monkeypatch.setattr("mien.evaluate.tasks.leakage.PAIRS", 300)
    monkeypatch.setattr("mien.evaluate.tasks.dci_mig.TREES", 4)


@pytest.mark.usefixtures("few_pairs")
def test_the_protocol_on_perfect_factors(tmp_path) -> None:
    labels = made_up_labels()
    result = FACTORS.run(write_folder(tmp_path, labels), EvalContext(perfect(labels)))
    scores = {score.name: score for score in result.scores}
    assert len(scores) == len(result.scores)
    assert scores["identity, same person by cosine"].value > 0.999
    assert scores["expression, linear probe"].value == pytest.approx(100, abs=1)
    assert scores["yaw_rad, no probe"].value == pytest.approx(1)
    assert scores["light_x, no probe"].value == pytest.approx(1)
    assert scores["leakage, mean over other factors' labels"].value < 15
    assert scores["DCI disentanglement, blocks, lasso"].value > 0.9
    assert scores["DCI completeness, blocks, lasso"].value > 0.9
    assert scores["DCI informativeness"].value > 0.9
    assert scores["MIG, blocks"].value > 0.5
    assert any("no expression transfer" in note for note in result.notes)
    assert result.tables[0].columns[:2] == ("code", "person")
    assert len(result.failures) == 12
    low, high = scores["yaw_rad, no probe"].low, scores["yaw_rad, no probe"].high
    assert low is not None
    assert high is not None
    assert low <= scores["yaw_rad, no probe"].value <= high + 1e-9


@pytest.mark.usefixtures("few_pairs")
def test_the_protocol_sees_yaw_in_the_identity_and_does_without_gaze(tmp_path) -> None:
    labels = made_up_labels()
    context = EvalContext(perfect(labels, leak=1.0, gaze=False), gallery=3)
    result = FACTORS.run(write_folder(tmp_path, labels), context)
    scores = {score.name: score.value for score in result.scores}
    table = {str(row[0]): row for row in result.tables[0].rows}
    yaw = result.tables[0].columns.index("head yaw")
    assert float(table["identity"][yaw] or 0) > 0.9
    assert "gaze" not in table
    assert abs(float(table["nothing (identity, rows shuffled)"][yaw] or 0)) < 0.3
    assert scores["DCI disentanglement, blocks, lasso"] < 1
    assert any("no gaze code" in note for note in result.notes)
    assert len(result.failures) == 3


@pytest.fixture(scope="module")
def tiny() -> Model:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return Model(LatentFace(SMALL))


def test_expression_transfer_is_scored_where_there_is_a_model(
    tmp_path, tiny: Model, monkeypatch
) -> None:
    monkeypatch.setattr("mien.evaluate.tasks.expression_transfer.MAX_FACES", 5)
    labels = made_up_labels()
    clips = read_clips(write_folder(tmp_path, labels), "factors")
    codes = np.random.default_rng(0).standard_normal((2, len(labels), 16))
    found = np.ones(len(labels), bool)
    faces = FactorColumns(found, found, {"identity": codes[0], "expression": codes[1]})
    context = EvalContext(perfect(labels), model=tiny, gallery=4)
    result = transfer_result(clips, faces, context)
    scores = {score.name: score for score in result.scores}
    assert 0 <= scores["expression transfer: source expression recognised"].value <= 100
    assert scores["expression transfer: identity kept"].count == 5
    assert sum(float(row[1] or 0) for row in result.tables[0].rows) == pytest.approx(100, abs=0.1)
    assert all(len(failure.images) == 3 for failure in result.failures)
    again = transfer_result(clips, faces, context)
    assert [s.value for s in again.scores] == pytest.approx(
        [s.value for s in result.scores], abs=1e-5
    )
    nobody = transfer_result(clips, faces, EvalContext(perfect(labels)))
    assert not nobody.scores
    assert "no expression transfer" in nobody.notes[0]
