"""Gaze in the table of `embed`: codes, eyes that are not found, eye-region crops, calibration."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mien.cli.calibrate import calibrate
from mien.embedding.job import JobFolder
from mien.embedding.options import EmbedOptions
from mien.embedding.readouts import gaze_columns
from mien.embedding.run import embed, embed_to_parquet
from mien.errors import MienError
from mien.faces.eye_crop import fit_eye_crop
from mien.geometry.gaze import gaze_vector
from mien.geometry.rotation import angles_to_rotation
from mien.media.image import write_png
from mien.media.video import write_mp4
from mien.probes.fit import fit_calibration
from mien.probes.gaze import Calibration
from mien.table.read import read_table
from mien.table.schema import COLUMNS, GAZE
from mien.types import Factors, GazeCode, Light, Pose

FACES = EmbedOptions(detector="none", batch_size=4, workers=2)
EYE_CROPS = EmbedOptions(crop="eyes", batch_size=4, workers=2)
SHARED = Path(__file__).parents[2] / "shared"


@dataclass(frozen=True)
class GazeSize:
    code_dim: int = 3


@dataclass(frozen=True)
class FakeConfig:
    texture_dim: int = 3
    shape_dim: int = 2
    face_embedding_dim: int = 0
    gaze: GazeSize | None = field(default_factory=GazeSize)


@dataclass
class GazeModel:
    """Codes, head pose and eyes by the mean colour: red and green are the code, dark blue blind."""

    weights_id: str = "fake00000000"
    crop_size: int = 12
    eye_crop_size: tuple[int, int] = (6, 40)
    features_dim: int = 1
    config: FakeConfig = field(default_factory=FakeConfig)

    def encode(self, images: torch.Tensor, /, *, features: bool = False) -> Factors:
        assert images.shape[1:] == (3, 12, 12)
        colour = images.float().mean(dim=(2, 3))
        direction = torch.tensor([[0.0, 0.0, -1.0]]).expand(len(images), 3)
        return Factors(
            *(colour, colour[:, :2], colour, colour[:, 1:]),
            pose=Pose(angles_to_rotation(*head_angles(colour).T), torch.zeros(len(images), 3)),
            light=Light(colour[:, 0], colour[:, 1], direction),
            gaze=codes_of(colour),
        )

    def encode_eyes(self, eye_crops: torch.Tensor, /) -> GazeCode:
        assert eye_crops.dtype == torch.uint8
        assert eye_crops.shape[1:] == (3, *self.eye_crop_size)
        return codes_of(eye_crops.float().mean(dim=(2, 3)))


def codes_of(colour: torch.Tensor) -> GazeCode:
    code = (colour - 128) / 256
    code[:, 2] = code[:, 0] * code[:, 1]
    blind = colour[:, 2] < 100
    # What the branch says of eyes that are not there means nothing.
    code[blind] = torch.nan
    count = len(colour)
    return GazeCode(code, ~blind, torch.zeros(count, 2, 2), 1.0 - blind.float())


def head_angles(colour: torch.Tensor) -> torch.Tensor:
    """Yaw, pitch and roll that differ. [B, 3]."""
    return torch.stack(
        [(colour[:, 2] - 180) / 200, (colour[:, 0] - 128) / 900, 0.3 + 0 * colour[:, 1]], 1
    )


COLOURS = [(20, 220, 200), (240, 130, 150), (90, 40, 250), (128, 128, 20), (200, 200, 120)]
SEEN = [True, True, True, False, True]


def write_images(folder: Path, width: int = 12, height: int = 12) -> Path:
    folder.mkdir()
    for number, colour in enumerate(COLOURS):
        pixels = np.full((height, width, 3), colour, dtype=np.uint8)
        write_png(folder / f"{number}.png", pixels)
    return folder


def truth(colour: np.ndarray, *, with_pose: bool) -> tuple[np.ndarray, np.ndarray]:
    """Yaw and pitch that a regression from the code (and the head's yaw) can find."""
    yaw, pitch = (colour[:, 0] - 128) / 300, (colour[:, 1] - 128) / 400
    return yaw + with_pose * (colour[:, 2] - 180) / 400, pitch


def calibrated(path: Path, *, with_pose: bool, model_id: str = "fake00000000") -> Path:
    rng = np.random.default_rng(0)
    colour = rng.uniform(100, 255, (60, 3)).round()
    colour[:, :2] = rng.uniform(0, 255, (60, 2)).round()
    tensor = torch.from_numpy(colour).float()
    made = fit_calibration(
        codes=codes_of(tensor).code.numpy(),
        targets=gaze_vector(*truth(colour, with_pose=with_pose)),
        rng=rng,
        head_pose=head_angles(tensor).numpy() if with_pose else None,
        model_id=model_id,
    )
    made.save(path)
    return path


def frame_of(*paths: Any, **options: Any) -> Any:
    """Return what `embed` does; pandas' types say too little about what is in a frame."""
    return embed(*paths, **options)


@pytest.fixture
def model() -> GazeModel:
    return GazeModel()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write_images(tmp_path / "faces")


@pytest.fixture
def eye_crops(tmp_path: Path) -> Path:
    return write_images(tmp_path / "eye_crops", width=60)


def test_faces_have_codes_where_eyes_are_found(faces: Path, model: GazeModel) -> None:
    (faces / "9.png").write_text("no image")
    frame = frame_of(faces, model=model, detector="none")
    assert list(frame.columns) == [c.name for c in COLUMNS if c.needs in ("", "gaze")]
    assert frame["eyes_found"].tolist() == [*SEEN, False]
    assert [code is not None for code in frame["gaze_code"]] == [*SEEN, False]
    np.testing.assert_allclose(frame["gaze_code"][1], [112 / 256, 2 / 256, 224 / 65536], rtol=1e-6)
    assert frame["face_found"][3]
    assert frame["reason"][:5].isna().all()
    assert frame["identity"][3].tolist() == [128, 128, 20, 128, 128]


def test_weights_without_gaze_give_the_table_without_it(faces: Path, model: GazeModel) -> None:
    model.config = FakeConfig(gaze=None)
    whole = model.encode
    model.encode = lambda images, *, features=False: replace(whole(images), gaze=None)
    frame = frame_of(faces, model=model, detector="none")
    assert list(frame.columns) == [column.name for column in COLUMNS if not column.needs]
    assert len(frame) == 5


def test_of_eye_crops_there_is_gaze_alone(eye_crops: Path, model: GazeModel) -> None:
    frame = frame_of(eye_crops, model=model, crop="eyes")
    assert frame["face_found"].all()
    assert frame["face_id"].tolist() == [0] * 5
    assert frame["det_score"].isna().all()
    assert frame[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == [[0, 0, 60, 12]] * 5
    others = [c.name for c in COLUMNS[15:] if not c.needs and c.kind != "codes"]
    assert "identity" not in frame
    assert frame[others].isna().all(axis=None)
    assert frame["eyes_found"].tolist() == SEEN
    np.testing.assert_allclose(frame["gaze_code"][0][:2], [-108 / 256, 92 / 256], rtol=1e-6)
    assert frame["gaze_code"][3] is None
    assert frame.attrs["detector"] == "none"
    assert frame.attrs["options"]["crop"] == "eyes"


def test_a_film_of_eye_crops_is_one_track(tmp_path: Path, model: GazeModel) -> None:
    images = (np.full((32, 64, 3), 150, dtype=np.uint8) for _ in range(4))
    write_mp4(tmp_path / "clip.mp4", images, fps=10)
    frame = frame_of(tmp_path, model=model, crop="eyes")
    assert frame["track_id"].tolist() == [0] * 4
    assert frame["eyes_found"].all()


def test_what_is_no_eye_crop_is_a_row_with_the_reason(tmp_path: Path, model: GazeModel) -> None:
    for name, (height, width) in {"high": (50, 40), "small": (10, 31), "square": (32, 32)}.items():
        write_png(tmp_path / f"{name}.png", np.full((height, width, 3), 150, dtype=np.uint8))
    (tmp_path / "text.png").write_text("no image")
    out = tmp_path / "out" / "t.parquet"
    summary = embed_to_parquet(tmp_path, out, model=model, options=EYE_CROPS)
    frame: Any = read_table(out).frame.set_index("path")
    assert frame["face_found"].to_dict() == {
        "high.png": False,
        "small.png": False,
        "square.png": True,
        "text.png": False,
    }
    assert frame.loc["high.png", "reason"] == "no eye-region crop: 40 x 50 px, higher than wide"
    assert frame.loc["small.png", "reason"] == (
        "too small for eyes: 31 px wide, at least 32 is read"
    )
    assert frame["eyes_found"].to_list() == (frame.index == "square.png").tolist()
    assert summary.without_eyes == 0
    assert sum(summary.failures.values()) == 3


def test_an_eye_crop_of_the_right_width_is_cut_or_continued() -> None:
    rows = np.arange(9, dtype=np.uint8)[:, None, None]
    eye_crop = np.broadcast_to(rows, (9, 40, 3))
    cut = fit_eye_crop(eye_crop, (6, 40))
    assert cut.shape == (6, 40, 3)
    assert cut[:, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]
    longer = fit_eye_crop(eye_crop, (12, 40))
    assert longer[:, 7, 1].tolist() == [0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    columns = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None], (9, 40, 3))
    assert (fit_eye_crop(columns, (6, 40)) == np.arange(40)[:, None]).all()


def test_an_eye_crop_keeps_its_proportions() -> None:
    """A white spot at two thirds of the width stays round and where it is."""
    y, x = np.mgrid[:100, :400]
    spot = np.where((x - 267) ** 2 + (y - 50) ** 2 < 30**2, 255, 0).astype(np.uint8)
    fitted = fit_eye_crop(np.repeat(spot[..., None], 3, axis=2), (60, 200))[..., 0] / 255.0
    rows, columns = fitted.sum(axis=1), fitted.sum(axis=0)
    assert (np.arange(200) * columns).sum() / columns.sum() == pytest.approx(133.3, abs=0.5)
    assert (np.arange(60) * rows).sum() / rows.sum() == pytest.approx(29.8, abs=0.5)
    assert columns.max() == pytest.approx(30, abs=1)
    assert rows.max() == pytest.approx(30, abs=1)


@pytest.mark.data
def test_real_eye_crops_keep_every_pixel_of_their_width() -> None:
    archive = SHARED / "data" / "columbia-gaze-strips" / "images.zip"
    if not archive.exists():
        pytest.skip("columbia-gaze-strips is not here")
    with zipfile.ZipFile(archive) as images:
        names = sorted(name for name in images.namelist() if name.endswith(".jpg"))[::500]
        opened = [Image.open(io.BytesIO(images.read(name))) for name in names]
    for image in (np.array(image.convert("RGB")) for image in opened):
        fitted = fit_eye_crop(image, (96, 200))
        assert fitted.shape == (96, 200, 3)
        middle = len(image) // 2
        np.testing.assert_array_equal(fitted[38:58], image[middle - 10 :][:20])


@pytest.mark.parametrize("with_pose", [False, True])
def test_a_calibration_adds_directions(
    faces: Path, tmp_path: Path, model: GazeModel, with_pose: bool
) -> None:
    path = calibrated(tmp_path / "c.json", with_pose=with_pose)
    frame = frame_of(faces, model=model, detector="none", calibration=path)
    assert list(frame.columns) == [
        c.name for c in COLUMNS if c.needs not in ("face_embedding", "features")
    ]
    yaw, pitch = truth(np.array(COLOURS, dtype=float), with_pose=with_pose)
    seen = np.array(SEEN)
    np.testing.assert_allclose(frame["gaze_yaw_rad"][seen], yaw[seen], atol=0.02)
    np.testing.assert_allclose(frame["gaze_pitch_rad"][seen], pitch[seen], atol=0.02)
    # Up is -y, image-left is -x, towards the camera is -z.
    x, y, z = (frame[name][seen] for name in ("gaze_x", "gaze_y", "gaze_z"))
    np.testing.assert_allclose(x, -np.cos(pitch)[seen] * np.sin(yaw)[seen], atol=0.02)
    np.testing.assert_allclose(y, -np.sin(pitch)[seen], atol=0.02)
    assert (z < 0).all()
    np.testing.assert_allclose(x**2 + y**2 + z**2, 1, atol=1e-6)
    assert (frame["gaze_std_rad"][seen] > 0).all()
    assert frame[list(GAZE)][~seen].isna().all(axis=None)
    assert frame["yaw_rad"].notna().all()


def test_eye_crops_are_calibrated_without_a_head_pose(
    eye_crops: Path, tmp_path: Path, model: GazeModel
) -> None:
    plain = calibrated(tmp_path / "plain.json", with_pose=False)
    frame = frame_of(eye_crops, model=model, crop="eyes", calibration=plain)
    yaw, _ = truth(np.array(COLOURS, dtype=float), with_pose=False)
    np.testing.assert_allclose(frame["gaze_yaw_rad"][SEEN], yaw[SEEN], atol=0.02)
    blind = gaze_columns(
        Calibration.load(plain), codes_of(torch.tensor([[9.0, 9, 9], [9, 9, 200]]))
    )
    assert {name: np.isnan(v).tolist() for name, v in blind.items()} == {
        name: [True, False] for name in GAZE
    }
    posed = calibrated(tmp_path / "posed.json", with_pose=True)
    with pytest.raises(MienError, match="eye-region crops do not show: calibrate with --no-pose"):
        frame_of(eye_crops, model=model, crop="eyes", calibration=posed)
    with pytest.raises(ValueError, match="uses a head pose"):
        gaze_columns(Calibration.load(posed), model.encode_eyes(torch.zeros(1, 3, 6, 40).byte()))


def test_a_calibration_of_other_weights_is_refused(
    faces: Path, tmp_path: Path, model: GazeModel
) -> None:
    options = replace(FACES, calibration=calibrated(tmp_path / "c.json", with_pose=False))
    out = tmp_path / "t.parquet"
    model.weights_id = "other0000000"
    with pytest.raises(MienError, match="belongs to the weights fake00000000"):
        embed_to_parquet(faces, out, model=model, options=options)
    model.weights_id, model.config = "fake00000000", FakeConfig(gaze=GazeSize(5))
    with pytest.raises(MienError, match="length 3, not 5"):
        embed_to_parquet(faces, out, model=model, options=options)
    with pytest.raises(MienError, match="no calibration"):
        frame_of(faces, model=model, detector="none", calibration=tmp_path / "none.json")
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "c.json"}


def test_nonsense_is_refused_where_it_would_be_stored(
    faces: Path, tmp_path: Path, model: GazeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.encode

    def broken(images: torch.Tensor, /, *, features: bool = False) -> Factors:
        factors = whole(images)
        assert factors.gaze is not None
        factors.gaze.code[2, 1] = torch.inf
        return factors

    model.encode = broken
    with pytest.raises(
        MienError, match=r"fake00000000 give factors that are not finite for 2\.png"
    ):
        frame_of(faces, model=model, detector="none")
    model.encode = whole
    path = calibrated(tmp_path / "c.json", with_pose=False)
    predict = Calibration.predict

    def wrong(self: Calibration, codes: np.ndarray, pose: np.ndarray | None) -> Any:
        estimate = predict(self, codes, pose)
        estimate.std_rad[1] = np.nan
        return estimate

    monkeypatch.setattr(Calibration, "predict", wrong)
    with pytest.raises(MienError, match=r"gaze that is not finite for 1\.png"):
        frame_of(faces, model=model, detector="none", calibration=path)


def test_the_summary_counts_faces_without_eyes(
    faces: Path, tmp_path: Path, model: GazeModel
) -> None:
    summary = embed_to_parquet(faces, tmp_path / "t.parquet", model=model, options=FACES)
    assert (summary.faces, summary.without_eyes) == (5, 1)
    assert summary.lines()[0].endswith("5 faces in 5 inputs; 1 face without eyes")


def test_a_broken_off_job_wants_the_same_crop_and_calibration(
    eye_crops: Path, tmp_path: Path, model: GazeModel
) -> None:
    out = tmp_path / "t.parquet"
    path = calibrated(tmp_path / "c.json", with_pose=False)
    options = replace(EYE_CROPS, calibration=path)

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_to_parquet(eye_crops, out, model=model, options=options, on_progress=stop)
    assert JobFolder(out).path.is_dir()
    with pytest.raises(MienError, match="calibration was"):
        embed_to_parquet(eye_crops, out, model=model, options=EYE_CROPS, resume=True)
    whole = replace(FACES, calibration=path)
    with pytest.raises(MienError, match="crop was eyes and is face"):
        embed_to_parquet(eye_crops, out, model=model, options=whole, resume=True)
    before = path.read_text()
    path.unlink()
    calibrated(path, with_pose=False, model_id="")
    with pytest.raises(MienError, match="calibration was"):
        embed_to_parquet(eye_crops, out, model=model, options=options, resume=True)
    path.write_text(before)
    assert embed_to_parquet(eye_crops, out, model=model, options=options, resume=True).faces == 5
    info = read_table(out).info
    assert info is not None
    assert len(str(info.options["calibration"])) == 16


def test_from_eye_crops_to_a_calibration_and_back(tmp_path: Path, model: GazeModel) -> None:
    (tmp_path / "in").mkdir()
    colours = [(20 + 40 * (i % 5), 30 + 35 * (i // 5), 20 if i == 7 else 200) for i in range(25)]
    yaw, pitch = np.rad2deg(truth(np.array(colours, dtype=float), with_pose=False))
    lines = ["path,gaze_yaw_deg,gaze_pitch_deg"]
    for i, colour in enumerate(colours):
        write_png(tmp_path / "in" / f"{i}.png", np.full((20, 60, 3), colour, np.uint8))
        lines.append(f"{i}.png,{yaw[i]},{pitch[i]}")
    (tmp_path / "targets.csv").write_text("\n".join(lines))
    table, made = tmp_path / "t.parquet", tmp_path / "c.json"
    embed_to_parquet(tmp_path / "in", table, model=model, options=EYE_CROPS)
    calibrate(str(table), targets=tmp_path / "targets.csv", out=made)
    frame = frame_of(tmp_path / "in", model=model, crop="eyes", calibration=made).set_index("path")
    assert frame.index[frame["gaze_x"].isna()].tolist() == ["7.png"]
    for i in (0, 4, 24):
        assert np.rad2deg(frame.loc[f"{i}.png", "gaze_yaw_rad"]) == pytest.approx(yaw[i], abs=1)
        assert np.rad2deg(frame.loc[f"{i}.png", "gaze_pitch_rad"]) == pytest.approx(pitch[i], abs=1)
