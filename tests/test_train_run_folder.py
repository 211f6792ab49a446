from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from mien.errors import MienError
from mien.media.atomic import write_text
from mien.train.log import Meter, RunLog, duration
from mien.train.run_folder import RunFolder, is_first_process


@pytest.fixture
def used(tmp_path):
    run = RunFolder.open(tmp_path / "run")
    write_text(run.config, "a: 1\n")
    for name in ("events", "sheets", "checkpoints", "exported", "cache"):
        (run.path / name).mkdir()
        (run.path / name / "file").write_text("x")
    (run.path / "notes.txt").write_text("mine")
    return run


def test_a_new_folder_is_made(tmp_path):
    assert RunFolder.open(tmp_path / "a" / "b").path.is_dir()


def test_a_folder_with_a_run_is_refused(used):
    with pytest.raises(MienError, match="--resume, --overwrite"):
        RunFolder.open(used.path)


def test_resume_leaves_everything(used):
    RunFolder.open(used.path, resume=True)
    assert (used.path / "checkpoints" / "file").exists()


def test_overwrite_leaves_the_cache_and_foreign_files(used):
    RunFolder.open(used.path, overwrite=True)
    assert sorted(p.name for p in used.path.iterdir()) == ["cache", "notes.txt"]


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}])
def test_a_folder_that_holds_no_run_is_never_touched(tmp_path, how):
    (tmp_path / "exported").mkdir()
    with pytest.raises(MienError, match="holds no run"):
        RunFolder.open(tmp_path, **how)
    assert (tmp_path / "exported").is_dir()


def test_both_at_once_and_a_file_are_refused(tmp_path):
    with pytest.raises(MienError, match="contradict"):
        RunFolder.open(tmp_path, resume=True, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match="is a file"):
        RunFolder.open(tmp_path / "file")


def test_other_processes_of_a_run_do_not_refuse_the_first_ones_folder(used, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first_process()
    assert RunFolder.open(used.path).path == used.path


def test_metrics_lines_after_the_checkpoint_and_cut_off_ones_are_taken_out(tmp_path):
    run = RunFolder.open(tmp_path).of_stage("stage2")
    rows = [{"stage": "stage1", "step": 9}, {"stage": "stage2", "step": 2}]
    late = {"stage": "stage2", "step": 3}
    run.metrics.write_text("".join(json.dumps(r) + "\n" for r in [*rows, late]) + '{"stage": "st')
    RunLog(run, step=2)
    assert [json.loads(line) for line in run.metrics.read_text().splitlines()] == rows


def test_metrics_text_sheets_and_events_are_written(tmp_path):
    said = []
    run = RunFolder.open(tmp_path).of_stage("stage1")
    log = RunLog(run, tensorboard=True, echo=said.append)
    values = {"total": 1.5, "broken": float("nan")}
    log.metrics(10, values, batch_size=4, steps=20)
    log.image(10, np.zeros((4, 6, 3), np.uint8))
    log.image(10, np.zeros((4, 6, 3), np.uint8))
    log.close()
    row = json.loads(run.metrics.read_text())
    assert row["step"] == 10
    assert row["images"] == 40
    assert row["broken"] is None
    assert run.sheet(10).is_file()
    assert any(run.events.iterdir())
    assert "step 10 of 20: loss 1.5000" in run.log.read_text()
    assert len(said) == 1


def test_without_tensorboard_the_run_goes_on_and_says_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    log = RunLog(RunFolder.open(tmp_path), tensorboard=True, echo=said.append)
    log.close()
    assert said == ["TensorBoard events are left out: tensorboard is not installed"]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    run = RunFolder.open(tmp_path).of_stage("stage1")
    log = RunLog(run)
    run.metrics.mkdir()  # cannot be opened for writing
    with pytest.raises(MienError, match=r"cannot write .*metrics\.jsonl"):
        log.metrics(1, {"total": 1.0}, batch_size=1, steps=2)


def test_the_meter_averages_and_survives_a_checkpoint():
    meter = Meter()
    meter.add({"a": torch.tensor(1.0), "b": torch.tensor(4.0)})
    other = Meter()
    other.restore(*meter.state())
    other.add({"a": torch.tensor(2.0)})
    assert other.means() == {"a": 1.5, "b": 4.0}
    assert other.means() == {}


def test_durations_are_said_as_people_say_them():
    assert [duration(s) for s in (5, 600, 7200)] == ["5 s", "10 min", "2.0 h"]
