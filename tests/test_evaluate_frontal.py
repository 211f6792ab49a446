"""Frontal views: the truth that they are held against, the metrics, the protocol."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from made_clips import write_clips
from made_factors import Describing
from mien.errors import MienError
from mien.evaluate.datasets.synthetic import read_clips, read_config
from mien.evaluate.datasets.synthetic_frontal import FrontalPair, FrontalStream
from mien.evaluate.protocol import EvalContext, GetFactors
from mien.evaluate.protocols import find_protocol
from mien.evaluate.tasks.arcface import POINTS, SIDE, ArcFace, aligned, identity_scores
from mien.evaluate.tasks.frontalization import (
    colour_error,
    frontal_result,
    frontal_views,
    psnr,
    ssim,
)
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model
from mien.synth.toy import toy_head
from mien.synth.writer import SynthConfig

FRONTAL = find_protocol("frontal")

ICT = Path(__file__).parents[2] / "shared" / "data" / "ict-facekit" / "ict_facekit.npz"
SMALL = ModelConfig(
    image_size=32, width=8, feature_dim=32, texture_dim=8, shape_dim=8, neutral_width=16
)
SIZE = 48


@pytest.fixture(scope="module")
def tiny() -> Model:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return Model(LatentFace(SMALL))


@pytest.fixture(scope="module")
def pairs() -> list[FrontalPair]:
    stream = FrontalStream(toy_head(), seed=3, frames=4, size=SIZE, gaze="natural", wide_yaw=True)
    return list(stream.pairs(0))


def no_describe() -> GetFactors:
    def describe(images, columns, /):
        raise AssertionError("frontal views ask for no columns")

    return Describing(describe)


def test_psnr_and_colour_error_by_hand() -> None:
    truth = np.zeros((4, 4, 3))
    made = truth + 0.1
    mask = np.ones((4, 4), bool)
    assert psnr(made=made, truth=truth, mask=mask) == pytest.approx(20)
    assert colour_error(made=made, truth=truth, mask=mask) == pytest.approx(25.5)
    # What stands outside the mask does not count.
    made[0, 0] = 1
    mask[0, 0] = False
    assert psnr(made=made, truth=truth, mask=mask) == pytest.approx(20)
    assert psnr(made=truth, truth=truth, mask=mask) == pytest.approx(100)
    assert np.isnan(colour_error(made=made, truth=truth, mask=np.zeros((4, 4), bool)))


def test_ssim_of_equal_shifted_and_opposite_images() -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.random((32, 32, 3)), np.ones((32, 32), bool)
    assert ssim(made=image, truth=image, mask=mask) == pytest.approx(1)
    flat = np.full_like(image, 0.5)
    # Flat images of means a and b: (2ab + c1) / (a² + b² + c1).
    expected = (2 * 0.5 * 0.25 + 1e-4) / (0.5**2 + 0.25**2 + 1e-4)
    assert ssim(made=flat / 2, truth=flat, mask=mask) == pytest.approx(expected)
    assert ssim(made=1 - image, truth=image, mask=mask) < -0.5


def test_the_true_view_is_straight_and_hides_the_far_side(pairs: list[FrontalPair]) -> None:
    assert np.degrees(np.abs([pair.yaw for pair in pairs])).max() > 25
    for pair in pairs:
        left, right = pair.frontal_marks[0], pair.frontal_marks[1]
        # Level eyes, the nose halfway between them: no yaw, no roll; the crop is not shifted.
        assert left[1] == pytest.approx(right[1], abs=0.5)
        assert (left[0] + right[0]) / 2 == pytest.approx(pair.frontal_marks[2, 0], abs=0.5)
        assert pair.frontal_marks[2, 0] == pytest.approx((SIZE - 1) / 2, abs=1)
        assert not (pair.hidden & ~pair.face).any()
        sides = pair.hidden[:, : SIZE // 2].sum(), pair.hidden[:, SIZE // 2 :].sum()
        if abs(pair.yaw) > np.deg2rad(25):
            # Yaw + turns the face towards image-left: the image-left cheek is lost.
            lost, kept = sides if pair.yaw > 0 else sides[::-1]
            assert lost > 20
            assert lost > 4 * kept
    most = max(pairs, key=lambda pair: abs(pair.yaw))
    least = min(pairs, key=lambda pair: abs(pair.yaw))
    assert most.hidden.sum() > least.hidden.sum()


def test_a_head_that_is_straight_already_hides_nothing() -> None:
    class Straight(FrontalStream):
        def plan(self, index):
            plan = super().plan(index)
            eye = np.eye(3, dtype=np.float32)[None]
            nothing = np.zeros_like(plan.frames.angles)
            return replace(plan, frames=replace(plan.frames, rotation=eye, angles=nothing))

    stream = Straight(toy_head(), seed=3, frames=1, size=SIZE, gaze="wide", wide_yaw=False)
    (pair,) = stream.pairs(0)
    assert pair.hidden.sum() < 0.01 * pair.face.sum()
    assert pair.yaw == 0


def test_pairs_repeat_and_the_rotated_image_is_the_clips(pairs: list[FrontalPair]) -> None:
    stream = FrontalStream(toy_head(), seed=3, frames=4, size=SIZE, gaze="natural", wide_yaw=False)
    clip = stream.clip(0)
    again = list(stream.pairs(0))
    for t, pair in enumerate(again):
        assert np.array_equal(pair.rotated, clip.images[t].transpose(1, 2, 0))
        assert pair.yaw == pytest.approx(float(clip.labels.yaw[t]))
        # The turn alone differs from the stream with wide yaw: the frontal view is the same.
        assert np.array_equal(pair.frontal, pairs[t].frontal)


def test_made_views_are_compared_with_the_truth(tiny: Model, pairs: list[FrontalPair]) -> None:
    views = frontal_views(tiny, pairs, [pair.rotated for pair in pairs])
    assert [view.pair for view in views] == pairs
    for view in views:
        assert view.made.shape == (32, 32, 3)
        assert len(view.psnr_db) == len(view.ssim) == 3
        # Pixels at the model's 32 of 48.
        hidden = view.pair.hidden.sum() * (32 / SIZE) ** 2
        assert hidden < 30 or view.hidden_error > 0
        assert hidden > 0 or np.isnan(view.hidden_error)
    # Given the truth for the rotated image, made and ceiling are one and the copy is exact.
    exact = frontal_views(tiny, pairs, [pair.frontal for pair in pairs])
    for view in exact:
        assert view.psnr_db[0] == pytest.approx(view.psnr_db[2], abs=1e-3)
        assert view.psnr_db[1] == pytest.approx(100)
        assert view.ssim[1] == pytest.approx(1)


def test_the_result_sums_up(tiny: Model, pairs: list[FrontalPair]) -> None:
    given = iter([(pairs, [pair.rotated for pair in pairs])])
    context = EvalContext(no_describe(), model=tiny, gallery=2)
    result = frontal_result(given, tiny, context, data="0" * 12)
    scores = {score.name: score for score in result.scores}
    views = frontal_views(tiny, pairs, [pair.rotated for pair in pairs])
    assert scores["PSNR"].value == pytest.approx(np.mean([v.psnr_db[0] for v in views]), abs=1e-3)
    assert scores["PSNR"].main
    assert not scores["colour error, hidden part"].higher_is_better
    assert sum(int(row[1] or 0) for row in result.tables[1].rows) == len(pairs)
    assert len(result.failures) == 2
    worst = min(views, key=lambda view: view.psnr_db[0])
    assert np.array_equal(result.failures[0].images[2], worst.pair.frontal)
    assert all(max(p.shape) <= 160 for f in result.failures for p in f.images)


def test_alignment_brings_five_points_to_their_places() -> None:
    turn = np.deg2rad(20)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    marks = POINTS @ rotation.T * 1.5 + [60, -20]
    image = np.zeros((260, 260, 3), np.uint8)
    for x, y in np.round(marks).astype(int):
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    found = aligned(image, marks)
    assert found.shape == (SIDE, SIDE, 3)
    for x, y in np.round(POINTS).astype(int):
        assert found[y, x].min() > 200
    assert found[5, 5].max() == 0


def field(number: int, value: bytes | str | int) -> bytes:
    """A field of a protobuf message."""

    def varint(n: int) -> bytes:
        return bytes([n]) if n < 128 else bytes([n % 128 + 128]) + varint(n // 128)

    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number * 8 + 2) + varint(len(data)) + data


def tiny_network(path: Path) -> None:
    """An ONNX network that gives the mean red, green and blue of an image."""

    def tensor(name: str, *sizes: int) -> bytes:
        shape = b"".join(field(1, field(1, size)) for size in sizes)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, shape)))

    pool = field(1, "x") + field(2, "p") + field(3, "pool") + field(4, "GlobalAveragePool")
    flat = field(1, "p") + field(2, "y") + field(3, "flat") + field(4, "Flatten")
    graph = field(1, pool) + field(1, flat) + field(2, "g")
    graph += field(11, tensor("x", 1, 3, SIDE, SIDE)) + field(12, tensor("y", 1, 3))
    path.write_bytes(field(1, 7) + field(7, graph) + field(8, field(1, "") + field(2, 11)))


def test_a_network_sees_red_green_blue_about_zero(tmp_path) -> None:
    tiny_network(tmp_path / "arcface.onnx")
    network = ArcFace(tmp_path / "arcface.onnx")
    face = np.zeros((SIDE, SIDE, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    codes = network.codes([face, 255 - face])
    assert codes[0] == pytest.approx(np.array([1, -1, -1]) / np.sqrt(3), abs=1e-5)
    assert codes[1] == pytest.approx(-codes[0], abs=1e-5)
    (tmp_path / "broken.onnx").write_bytes(struct.pack("<4I", 1, 2, 3, 4))
    with pytest.raises(MienError, match=r"broken\.onnx is no ONNX file"):
        ArcFace(tmp_path / "broken.onnx")


def plain(shade: tuple[int, int, int]) -> np.ndarray:
    return np.zeros((SIDE, SIDE, 3), np.uint8) + np.array(shade, np.uint8)


def coloured(person: int, colour: tuple[int, int, int]) -> FrontalPair:
    """Images of a person of one colour."""
    marks = POINTS.astype(np.float32)
    inside = np.ones((SIDE, SIDE), bool)
    return FrontalPair(person, 0, 0.0, plain(colour), plain(colour), inside, inside, marks, marks)


def test_identity_is_compared_with_the_persons_other_images(tmp_path) -> None:
    tiny_network(tmp_path / "arcface.onnx")
    red, cyan = (255, 0, 0), (0, 255, 255)
    people = [coloured(0, red), coloured(0, red), coloured(1, cyan)]
    made = [plain(red), plain(cyan), plain(cyan)]
    network, rng = ArcFace(tmp_path / "arcface.onnx"), np.random.default_rng(0)
    scores, table = identity_scores(people, made, network, rng)
    # Person 0: one view as its other image (0), one opposite (2); person 1 has no other.
    assert scores[0].value == pytest.approx(1, abs=1e-4)
    assert scores[0].count == 2
    assert not scores[0].higher_is_better
    # To the other person: 2 and 0, and person 1's made view to both reds: 2.
    assert scores[1].value == pytest.approx(4 / 3, abs=1e-4)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["true frontal image"] == pytest.approx((0, 2), abs=1e-4)


def test_a_folder_without_a_head_model_or_with_another_is_refused(tmp_path, tiny: Model) -> None:
    context = EvalContext(no_describe(), model=tiny)
    assert not FRONTAL.matches(tmp_path)
    assert not FRONTAL.matches(tmp_path / "nothing")
    with pytest.raises(MienError, match=r"no head_model\.npz or .*clone ICT-FaceKit"):
        FRONTAL.run(tmp_path, context)
    with pytest.raises(MienError, match="leave --table out"):
        FRONTAL.run(tmp_path, EvalContext(no_describe()))
    (tmp_path / "head_model.npz").write_bytes(b"no")
    assert FRONTAL.matches(tmp_path)
    with pytest.raises(MienError, match="head model"):
        FRONTAL.run(tmp_path, context)


def test_clips_of_a_folder_are_rendered_again(tmp_path, tiny: Model, monkeypatch) -> None:
    head = toy_head()
    monkeypatch.setattr("mien.evaluate.datasets.synthetic_frontal.load_head_model", lambda _: head)
    folder = tmp_path / "clips"
    write_clips(head, SynthConfig(identities=3, frames=2, size=SIZE, seed=5, format="jpg"), folder)
    assert not FRONTAL.matches(folder)
    (tmp_path / "head_model.npz").write_bytes(b"")
    assert FRONTAL.matches(folder)
    context = EvalContext(no_describe(), model=tiny)
    result = FRONTAL.run(folder, context)
    assert result.scores[0].count == 6
    assert result.data == read_clips(folder, "frontal").checksum
    assert read_config(read_clips(folder, "frontal").tree, "frontal")["size"] == SIZE
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "seed": 6}))
    with pytest.raises(MienError, match="not what this version"):
        FRONTAL.run(folder, context)
    (folder / "config.json").write_text(json.dumps({**config, "head_model": "another"}))
    with pytest.raises(MienError, match="another head model"):
        FRONTAL.run(folder, context)
    (folder / "config.json").write_text("[]")
    with pytest.raises(MienError, match=r"config\.json is damaged"):
        FRONTAL.run(folder, context)


@pytest.mark.data
def test_people_are_rendered_where_there_are_no_clips(tmp_path, tiny: Model, monkeypatch) -> None:
    if not ICT.is_file():
        pytest.skip("ict-facekit is not there")
    monkeypatch.setattr("mien.evaluate.datasets.synthetic_frontal.PEOPLE", 1)
    monkeypatch.setattr("mien.evaluate.datasets.synthetic_frontal.SIZE", SIZE)
    (tmp_path / "head_model.npz").symlink_to(ICT)
    result = FRONTAL.run(tmp_path, EvalContext(no_describe(), model=tiny))
    assert result.scores[0].count == 5
