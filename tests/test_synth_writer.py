"""Rendered clips on disk: layout, resume, refusal, and the command."""

from __future__ import annotations

import json
import zipfile

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from made_clips import write_clips
from mien.cli.main import run
from mien.errors import MienError
from mien.synth.expression import EXPRESSIONS
from mien.synth.stream import Stream
from mien.synth.toy import toy_head
from mien.synth.writer import DEPTH_UNITS_PER_CM, SynthConfig, clip_writer

CONFIG = SynthConfig(identities=3, frames=2, size=24, seed=5)


def _decoded(data: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def test_images_and_table_say_the_same_as_the_stream(tmp_path):
    table = pq.read_table(write_clips(toy_head(), CONFIG, tmp_path / "out"))
    rows = table.to_pylist()
    clip = Stream(toy_head(), seed=5, frames_per_clip=2, size=24).clip(1)
    row = rows[3]
    assert (row["path"], row["person"], row["frame"]) == ("person_000002/frame_001.png", 2, 1)
    assert row["expression"] == EXPRESSIONS[clip.labels.expression[1]]
    assert row["yaw_rad"] == pytest.approx(float(clip.labels.yaw[1]))
    np.testing.assert_allclose(row["rotation"], clip.labels.rotation[1].ravel())
    np.testing.assert_allclose([row[f"gaze_{a}"] for a in "xyz"], clip.labels.gaze[1])
    np.testing.assert_allclose(row["landmarks"], clip.labels.landmarks[1].ravel())
    image = _decoded((tmp_path / "out" / row["path"]).read_bytes())
    np.testing.assert_array_equal(image[..., ::-1].transpose(2, 0, 1), clip.images[1])
    with zipfile.ZipFile(tmp_path / "out/person_000002/truth.zip") as archive:
        depth = _decoded(archive.read("frame_001_depth.png"))
        mask = _decoded(archive.read("frame_001_mask.png"))
    assert depth.dtype == np.uint16
    np.testing.assert_allclose(depth / DEPTH_UNITS_PER_CM, clip.depth[1], atol=0.006)
    np.testing.assert_array_equal(mask > 0, clip.mask[1])


def test_the_table_says_what_people_may_be_grouped_by(tmp_path):
    rows = pq.read_table(write_clips(toy_head(), CONFIG, tmp_path / "out")).to_pylist()
    stream = Stream(toy_head(), seed=5, frames_per_clip=2, size=24)
    people = [stream.plan(i).person for i in range(3)]
    for row in rows:
        person = people[row["person"] - 1]
        assert row["glasses"] == int(person.glasses)
        assert row["beard"] == pytest.approx(person.beard)
    # CIE L* from sRGB's luminance.
    linear = np.stack([((person.skin + 0.055) / 1.055) ** 2.4 for person in people])
    expected = 116 * np.cbrt(linear @ np.array([0.2126, 0.7152, 0.0722])) - 16
    np.testing.assert_allclose([row["skin_lightness"] for row in rows[::2]], expected, atol=0.2)


def test_the_table_carries_units_and_settings(tmp_path):
    schema = pq.read_schema(write_clips(toy_head(), CONFIG, tmp_path / "out"))
    assert schema.field("yaw_rad").metadata[b"unit"].startswith(b"radians")
    assert b"jawOpen" in schema.field("expression_weights").metadata[b"unit"]
    settings = json.loads(schema.metadata[b"mien.synth"])
    assert settings == json.loads((tmp_path / "out/config.json").read_text())
    assert settings["seed"] == 5


def _everything(folder) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path):
    write_clips(toy_head(), CONFIG, tmp_path / "whole")
    for person in clip_writer(toy_head(), CONFIG, tmp_path / "parts"):
        if person == 2:
            break
    assert not (tmp_path / "parts/labels.parquet").exists()
    (tmp_path / "parts/person_000003.tmp").mkdir()
    stamp = (tmp_path / "parts/person_000001/frame_000.png").stat().st_mtime_ns
    write_clips(toy_head(), CONFIG, tmp_path / "parts")
    assert (tmp_path / "parts/person_000001/frame_000.png").stat().st_mtime_ns == stamp
    assert _everything(tmp_path / "parts") == _everything(tmp_path / "whole")


def test_other_settings_a_full_folder_and_a_finished_run_are_refused(tmp_path):
    out = tmp_path / "out"
    write_clips(toy_head(), CONFIG, out)
    before = _everything(out)
    with pytest.raises(MienError, match="complete already"):
        write_clips(toy_head(), CONFIG, out)
    with pytest.raises(MienError, match=r"other settings \(seed\)"):
        write_clips(toy_head(), SynthConfig(3, 2, 24, seed=6), out)
    with pytest.raises(MienError, match="head_model"):
        write_clips(toy_head(identities=3), CONFIG, out)
    assert _everything(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(MienError, match="not empty"):
        write_clips(toy_head(), CONFIG, tmp_path / "mine", overwrite=True)
    with pytest.raises(MienError, match="is a file"):
        write_clips(toy_head(), CONFIG, tmp_path / "mine/letter.txt")
    (out / "config.json").write_text("{")
    with pytest.raises(MienError, match="is not JSON"):
        write_clips(toy_head(), CONFIG, out)


def test_overwrite_removes_the_earlier_run_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    write_clips(toy_head(), CONFIG, out)
    (out / "notes.txt").write_text("keep")
    write_clips(toy_head(), SynthConfig(1, 1, 24, format="jpg"), out, overwrite=True)
    found = set(_everything(out))
    images = {"person_000001/frame_000.jpg", "person_000001/truth.zip"}
    assert found == images | {"config.json", "labels.parquet", "notes.txt"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"identities": 0}, "identities"),
        ({"frames": 1000}, "frames"),
        ({"size": 4}, "size"),
        ({"seed": -1}, "seed"),
        ({"format": "gif"}, "format"),
    ],
)
def test_impossible_settings_are_named(change, word):
    with pytest.raises(MienError, match=word):
        SynthConfig(**({"identities": 1, "frames": 1} | change))


def test_a_device_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MienError, match="device"):
        write_clips(toy_head(), CONFIG, tmp_path / "out", device="nowhere")
    assert not (tmp_path / "out").exists()


def test_the_command_writes_clips_and_tells_what_is_wrong_in_one_line(tmp_path, capsys):
    words = ["synth", "--head-model", "toy", "--identities", "2", "--frames", "1", "--size", "16"]
    assert run([*words, "--out", str(tmp_path / "out")]) == 0
    assert "2 images of 2 people" in capsys.readouterr().out
    assert (tmp_path / "out/person_000002/frame_000.png").is_file()
    assert run([*words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("error: ")
    assert "--overwrite" in error[-1]
    words[2] = str(tmp_path / "none")
    assert run([*words, "--out", str(tmp_path / "two")]) == 2
