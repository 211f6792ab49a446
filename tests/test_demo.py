import numpy as np
import pandas as pd
import pytest

from mien import demo
from mien.cli.main import run
from mien.demo import run_demo, shipped_clips
from mien.errors import MienError
from mien.media.image import read, write_png
from mien.media.video import read_frames, write_mp4


@pytest.fixture
def clips(tmp_path):
    """One video and one folder of frames, of soft colours."""
    rng = np.random.default_rng(0)
    images = [
        np.kron(rng.integers(40, 215, (4, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        for _ in range(5)
    ]
    folder = tmp_path / "clips"
    (folder / "b").mkdir(parents=True)
    write_mp4(folder / "a.mp4", images[:3], fps=10)
    for i, image in enumerate(images[3:]):
        write_png(folder / "b" / f"{i}.png", image)
    (folder / "LICENSE.txt").write_text("none of this is a clip")
    return folder


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(demo, "_FRAMES", 4)
    monkeypatch.setattr(demo, "_FILM_SIZE", 32)


@pytest.mark.usefixtures("quick")
def test_the_demonstration_writes_a_table_a_sheet_and_a_film(clips, tiny_folder, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["demo", "--out", str(out), "--clips", str(clips), "--weights", str(tiny_folder)]
    assert run(words) == 0
    assert "look at this first" in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir()) == ["faces.parquet", "faces.png", "turntable.mp4"]
    table = pd.read_parquet(out / "faces.parquet")
    assert len(table) == 5
    assert table.face_found.all()
    sheet = read(out / "faces.png")
    assert sheet.shape[1] > sheet.shape[0] > 2 * 112
    frames = [frame.pixels for frame in read_frames(out / "turntable.mp4")]
    assert len(frames) == 4
    assert frames[0] is not None
    assert frames[0].shape == (32, 64, 3)
    assert run(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run([*words, "--overwrite"]) == 0


def test_without_clips_there_is_nothing_to_show(tiny_model, tmp_path):
    (tmp_path / "clips").mkdir()
    with pytest.raises(MienError, match="no clips to show in"):
        run_demo(tmp_path / "out", model=tiny_model, clips=tmp_path / "clips")
    with pytest.raises(MienError, match="cannot read"):
        run_demo(tmp_path / "out", model=tiny_model, clips=tmp_path / "none")
    assert not (tmp_path / "out").exists()


def test_an_error_leaves_nothing_behind(clips, tiny_model, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(demo, "write_mp4", fail)
    with pytest.raises(MienError, match="no space left"):
        run_demo(tmp_path / "a" / "out", model=tiny_model, clips=clips)
    assert not (tmp_path / "a").exists()
    before = {path: path.read_bytes() for path in clips.rglob("*") if path.is_file()}
    with pytest.raises(MienError, match="no space left"):
        run_demo(clips, model=tiny_model, clips=clips)
    assert {path: path.read_bytes() for path in clips.rglob("*") if path.is_file()} == before


def test_a_clip_is_never_overwritten(clips, tiny_model):
    (clips / "a.mp4").rename(clips / "turntable.mp4")
    with pytest.raises(MienError, match="is read and would be overwritten"):
        run_demo(clips, model=tiny_model, clips=clips, overwrite=True)


def test_the_shipped_clips_lie_inside_the_package():
    assert shipped_clips().parent.name == "shipped"
