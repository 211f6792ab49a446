"""What probes add to the table of `embed`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from mien.embedding.job import JobFolder
from mien.embedding.options import EmbedOptions
from mien.embedding.readouts import Readout, probe_values
from mien.embedding.run import embed, embed_to_parquet
from mien.errors import MienError
from mien.geometry.rotation import angles_to_rotation
from mien.linear.model import ErrorVariance, Linear
from mien.media.image import write_png
from mien.probes.probe import HeldOut, Probe
from mien.table.read import read_table
from mien.table.schema import COLUMNS
from mien.types import Factors, GazeCode, Light, Pose

FACES = EmbedOptions(detector="none", batch_size=2, workers=2)
REDS = (10, 200, 120, 250)
"""The third has no eyes."""


@dataclass(frozen=True)
class GazeSize:
    code_dim: int = 2


@dataclass(frozen=True)
class FakeConfig:
    texture_dim: int = 1
    shape_dim: int = 1
    face_embedding_dim: int = 0
    gaze: GazeSize | None = field(default_factory=GazeSize)


@dataclass
class RedModel:
    """Every code, and yaw, is the mean red, from 0 to 1; images that are blue have no eyes."""

    weights_id: str = "fake00000000"
    crop_size: int = 12
    eye_crop_size: tuple[int, int] = (6, 40)
    config: FakeConfig = field(default_factory=FakeConfig)

    @property
    def features_dim(self) -> int:
        return 3

    def encode(self, images: torch.Tensor, /, *, features: bool = False) -> Factors:
        red = images.float().mean(dim=(2, 3))[:, :1] / 255
        nothing = torch.zeros(len(images))
        return Factors(
            *(red, red, red, red),
            pose=Pose(angles_to_rotation(red[:, 0], nothing, nothing), nothing.expand(3, -1).T),
            light=Light(nothing, nothing, torch.tensor([[0.0, 0, -1]]).expand(len(images), 3)),
            gaze=self.encode_eyes(images),
            features=red.expand(-1, 3) if features else None,
        )

    def encode_eyes(self, eye_crops: torch.Tensor, /) -> GazeCode:
        colour = eye_crops.float().mean(dim=(2, 3))
        count = len(colour)
        code = (colour[:, :1] / 255).expand(-1, 2)
        return GazeCode(code, colour[:, 2] < 100, torch.zeros(count, 2, 2), torch.ones(count))


def made(
    path: Path, label: str, columns: tuple[tuple[str, int], ...], *, number: bool = False
) -> Path:
    """Write a probe that says "red" above a red of 0.5, or 100 times the red."""
    size = sum(length for _, length in columns)
    weights = np.full((size, 1), 100 / size) if number else np.tile([[-10.0, 10]], (size, 1)) / size
    function = Linear(
        mean=np.zeros(size),
        scale=np.ones(size),
        weights=weights,
        intercept=np.zeros(1) if number else np.array([5.0, -5]),
        strength=1.0,
        spread=ErrorVariance(4.0, np.zeros((size, 0)), np.zeros(0)) if number else None,
    )
    score = HeldOut(1, 0, 2, 1, "faces", () if number else (50.0, 50), None)
    classes = () if number else ("dark", "red")
    Probe(label, columns, classes, "fake00000000", 9, function, score, ()).save(path)
    return path


BOTH = (("identity", 2), ("yaw_rad", 1))


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    (tmp_path / "faces").mkdir()
    for number, red in enumerate(REDS):
        pixels = np.full((12, 12, 3), (red, 0, 200 * (number == 2)), dtype=np.uint8)
        write_png(tmp_path / "faces" / f"{number}.png", pixels)
    (tmp_path / "faces" / "9.png").write_text("no image")
    return tmp_path / "faces"


@pytest.fixture
def model() -> RedModel:
    return RedModel()


def frame_of(*paths: Any, **options: Any) -> Any:
    """Return what `embed` does; pandas' types say too little about what is in a frame."""
    return embed(*paths, **options)


def test_probes_add_their_columns(faces: Path, tmp_path: Path, model: RedModel) -> None:
    probes = [
        made(tmp_path / "c.json", "colour", BOTH),
        made(tmp_path / "r.json", "redness", (("expression", 2),), number=True),
    ]
    frame = frame_of(faces, model=model, detector="none", probes=probes)
    plain = [column.name for column in COLUMNS if column.needs in ("", "gaze")]
    added = ["colour", "colour_prob", "redness", "redness_std"]
    assert list(frame.columns) == plain + added
    red = np.array(REDS) / 255
    assert frame["colour"][:4].tolist() == ["dark", "red", "dark", "red"]
    chance = 1 / (1 + np.exp(-np.abs(20 * red - 10)))
    np.testing.assert_allclose(frame["colour_prob"][:4], chance, rtol=1e-5)
    np.testing.assert_allclose(frame["redness"][:4], 100 * red, rtol=1e-5)
    np.testing.assert_allclose(frame["redness_std"][:4], 2 * np.sqrt(1 + 2 * red**2), rtol=1e-5)
    assert frame.loc[4, added].isna().all()
    assert frame.attrs["columns"]["colour"]["range"] == "dark | red"


def test_the_table_says_which_probes(faces: Path, tmp_path: Path, model: RedModel) -> None:
    probes = (made(tmp_path / "c.json", "colour", BOTH),)
    out = tmp_path / "t.parquet"
    embed_to_parquet(faces, out, model=model, options=replace(FACES, probes=probes))
    table = read_table(out)
    assert table.frame["colour"].tolist()[:4] == ["dark", "red", "dark", "red"]
    assert table.info is not None
    (named,) = table.info.options["probes"]  # type: ignore[misc]
    assert named.startswith("colour ")
    assert len(named) == len("colour ") + 16
    assert [str(kind) for kind in pq.read_schema(out).types[-2:]] == ["string", "float"]


def test_a_probe_of_gaze_says_nothing_without_eyes(
    faces: Path, tmp_path: Path, model: RedModel
) -> None:
    probe = made(tmp_path / "g.json", "look", (("gaze_code", 2),), number=True)
    frame = frame_of(faces, model=model, detector="none", probes=[probe])
    assert frame["look"].isna().tolist() == [False, False, True, False, True]
    eye_crops = tmp_path / "eye_crops"
    eye_crops.mkdir()
    for number, red in enumerate(REDS):
        pixels = np.full((12, 60, 3), (red, 0, 200 * (number == 2)), dtype=np.uint8)
        write_png(eye_crops / f"{number}.png", pixels)
    frame = frame_of(eye_crops, model=model, crop="eyes", probes=[probe])
    assert frame["look"].isna().tolist() == [False, False, True, False]
    assert frame["look"][1] == pytest.approx(100 * 200 / 255)
    whole = made(tmp_path / "c.json", "colour", BOTH)
    with pytest.raises(MienError, match="sees identity, which is not known here"):
        frame_of(eye_crops, model=model, crop="eyes", probes=[whole])


def test_probes_that_cannot_be_applied_are_refused(
    faces: Path, tmp_path: Path, model: RedModel
) -> None:
    probe = made(tmp_path / "c.json", "colour", BOTH)
    taken = made(tmp_path / "t.json", "yaw_rad", BOTH)
    refused = {
        "no probe": tmp_path / "none.json",
        "adds the column yaw_rad, which the table has already": taken,
        "for identity of length 5, not 2": made(tmp_path / "l.json", "l", (("identity", 5),)),
    }
    for message, path in refused.items():
        with pytest.raises(MienError, match=message):
            frame_of(faces, model=model, detector="none", probes=[path])
    with pytest.raises(MienError, match=r"adds the column colour, which .*c\.json has already"):
        frame_of(faces, model=model, detector="none", probes=[probe, probe])
    model.weights_id = "other0000000"
    out = tmp_path / "t.parquet"
    with pytest.raises(MienError, match="belongs to the weights fake00000000"):
        embed_to_parquet(faces, out, model=model, options=replace(FACES, probes=(probe,)))
    assert not out.exists()
    assert not JobFolder(out).path.exists()


def test_a_probe_that_says_nonsense_is_refused(tmp_path: Path, model: RedModel) -> None:
    path = made(tmp_path / "c.json", "redness", (("identity", 2),), number=True)
    file = Readout(Probe.load(path), "checksum")
    file.content.function.weights[:] = 1e39
    with (
        np.errstate(over="ignore"),
        pytest.raises(MienError, match="probe of redness predicts what is not finite"),
    ):
        probe_values([file], model.encode(torch.full((1, 3, 12, 12), 200, dtype=torch.uint8)))


def test_a_broken_off_job_wants_the_same_probes(
    faces: Path, tmp_path: Path, model: RedModel
) -> None:
    probe = made(tmp_path / "c.json", "colour", BOTH)
    out, options = tmp_path / "t.parquet", replace(FACES, probes=(probe,))

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_to_parquet(faces, out, model=model, options=options, on_progress=stop)
    with pytest.raises(MienError, match="probes was"):
        embed_to_parquet(faces, out, model=model, options=FACES, resume=True)
    assert embed_to_parquet(faces, out, model=model, options=options, resume=True).faces == 4


def test_a_probe_of_features_has_them_read_and_not_written(
    faces: Path, tmp_path: Path, model: RedModel
) -> None:
    probe = made(tmp_path / "p.json", "look", (("features", 3),))
    frame = frame_of(faces, model=model, probes=[probe], detector="none")
    assert "features" not in frame
    assert frame["look"][:4].tolist() == ["dark", "red", "dark", "red"]
    assert frame["look"].isna().tolist() == [False] * 4 + [True]
    both = frame_of(faces, model=model, probes=[probe], detector="none", features=True)
    assert both["look"][:4].tolist() == frame["look"][:4].tolist()
    assert both["features"][1] == pytest.approx([200 / 255] * 3)
    assert both["features"][4] is None
