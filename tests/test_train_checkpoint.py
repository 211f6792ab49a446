from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from mien.errors import MienError
from mien.train import checkpoint


def save(folder, step, value=1.0, keep_last=2):
    tensors = {"model/w": torch.full((2, 2), value), "model/n": torch.tensor(3)}
    return checkpoint.save(folder, step, tensors, {"note": step}, keep_last=keep_last)


def last_step(folder):
    last = checkpoint.load_last(folder)
    assert last is not None
    return last.step


def test_what_is_saved_is_read_back(tmp_path):
    save(tmp_path, 3, value=0.5)
    last = checkpoint.load_last(tmp_path)
    assert last is not None
    assert last.step == 3
    assert last.state["note"] == 3
    assert checkpoint.under("model", last.tensors)["w"].tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert last.tensors["model/n"].dtype == torch.int64


def test_nothing_is_there_at_first(tmp_path):
    assert checkpoint.load_last(tmp_path / "none") is None


def test_only_the_newest_are_kept_and_numbers_are_not_compared_as_text(tmp_path):
    for step in (2, 999_999, 1_000_000):
        save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last", "step_1000000", "step_999999"]


def test_saving_the_same_step_again_keeps_what_is_there(tmp_path):
    save(tmp_path, 3, value=1.0)
    save(tmp_path, 3, value=2.0)
    last = checkpoint.load_last(tmp_path)
    assert last is not None
    assert last.tensors["model/w"][0, 0] == 1.0


@pytest.mark.parametrize("moment", ["tensors", "rename", "pointer", "prune"])
def test_death_at_any_moment_leaves_a_whole_checkpoint(tmp_path, monkeypatch, moment):
    save(tmp_path, 1)
    save(tmp_path, 2)

    class Death(BaseException):
        pass

    def die(*_, **__):
        raise Death

    with monkeypatch.context() as patched:
        if moment == "tensors":
            patched.setattr(checkpoint, "save_file", die)
        elif moment == "rename":
            patched.setattr(Path, "replace", die)
        elif moment == "pointer":
            patched.setattr(checkpoint, "write_text", die)
        else:
            patched.setattr(checkpoint, "_prune", die)
        with pytest.raises(Death):
            save(tmp_path, 3)
    assert last_step(tmp_path) == (3 if moment == "prune" else 2)
    save(tmp_path, 4)
    assert last_step(tmp_path) == 4
    assert not list(tmp_path.glob(".step*"))


def test_a_run_that_was_rolled_back_writes_the_same_step_anew(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2, value=1.0)
    (tmp_path / "last").write_text("step_000001")
    save(tmp_path, 2, value=7.0)
    last = checkpoint.load_last(tmp_path)
    assert last is not None
    assert last.tensors["model/w"][0, 0] == 7.0


def test_a_full_disk_leaves_the_last_good_one(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(MienError, match="no space left"):
        save(tmp_path, 2)
    assert last_step(tmp_path) == 1
    assert not list(tmp_path.glob(".step*"))


def test_damaged_and_foreign_ones_are_refused(tmp_path):
    path = save(tmp_path, 1)
    whole = (path / "tensors.safetensors").read_bytes()
    (path / "tensors.safetensors").write_bytes(whole[:-3])
    with pytest.raises(MienError, match="cannot be read"):
        checkpoint.load_last(tmp_path)
    (path / "tensors.safetensors").write_bytes(whole)
    (path / "state.json").write_text(json.dumps({"format": 99, "step": 1}))
    with pytest.raises(MienError, match="format 99"):
        checkpoint.load_last(tmp_path)
    shutil.rmtree(path)
    with pytest.raises(MienError, match="there is no checkpoint"):
        checkpoint.load_last(tmp_path)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_an_optimiser_goes_on_as_if_it_had_not_stopped(kind):
    def make():
        module = nn.Conv2d(3, 4, 3)
        module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
        return module, kind(module.parameters(), lr=0.1, betas=(0.9, 0.99))

    def step(module, optimizer):
        optimizer.zero_grad()
        module(torch.linspace(0, 1, 75).view(1, 3, 5, 5)).square().sum().backward()
        optimizer.step()

    module, optimizer = make()
    step(module, optimizer)
    tensors, groups = checkpoint.optimizer_state(optimizer)
    tensors = {name: value.clone().contiguous() for name, value in tensors.items()}
    other, other_optimizer = make()
    other.load_state_dict(module.state_dict())
    checkpoint.restore_optimizer(other_optimizer, tensors, json.loads(json.dumps(groups)))
    step(module, optimizer)
    step(other, other_optimizer)
    assert torch.equal(module.weight, other.weight)
    moment = other_optimizer.state[other.weight]["exp_avg"]
    assert moment.is_contiguous(memory_format=torch.channels_last)


def test_weights_of_another_model_are_refused():
    with pytest.raises(MienError, match="another model"):
        checkpoint.restore_module(nn.Linear(2, 2), {"weight": torch.zeros(3, 3)})
