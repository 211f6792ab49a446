from __future__ import annotations

import pytest
import torch
from torch import nn

from mien.errors import MienError
from mien.train import engine
from mien.train.engine import check_device, launch
from mien.train.optim import WeightAverage, learning_rate, make_optimizer, set_learning_rate
from mien.train.options import LoopOptions, Stage1Options

PACE = Stage1Options(steps=110, warmup_steps=10, learning_rate=2.0, min_lr_ratio=0.1)


def test_the_rate_warms_up_and_falls_to_its_minimum():
    rates = [learning_rate(step, PACE) for step in range(111)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx((2.0 + 0.2) / 2)
    assert rates[110] == pytest.approx(0.2)
    assert max(rates) <= 2.0 + 1e-12


def test_groups_scale_their_rate_and_weight_decay_makes_adamw():
    module = nn.Linear(2, 2)
    groups = [{"params": [module.weight]}, {"params": [module.bias], "lr_scale": 0.5}]
    optimizer = make_optimizer(groups, LoopOptions(), PACE)
    assert optimizer.defaults["weight_decay"] == 0
    set_learning_rate(optimizer, 0.3)
    assert [group["lr"] for group in optimizer.param_groups] == [0.3, 0.15]
    decayed = [{"params": [module.weight], "weight_decay": 0.1}, {"params": [module.bias]}]
    optimizer = make_optimizer(decayed, LoopOptions(beta2=0.5), PACE)
    assert type(optimizer) is torch.optim.AdamW
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    assert optimizer.defaults["betas"] == (0.9, 0.5)


def test_the_average_follows_its_formula_and_copies_buffers():
    module = nn.BatchNorm1d(1)
    assert module.running_mean is not None
    assert module.num_batches_tracked is not None
    average = WeightAverage(module, decay=0.5)
    with torch.no_grad():
        module.weight.fill_(3.0)
        module.running_mean.fill_(7.0)
        module.num_batches_tracked.fill_(4)
    average.update(0)  # d = min(0.5, 1 / 10)
    state = average.state()
    assert state["weight"].item() == pytest.approx(0.1 * 1 + 0.9 * 3)
    assert state["running_mean"].item() == 7.0
    assert state["num_batches_tracked"].item() == 4
    average.update(1000)  # d = 0.5
    assert state["weight"].item() == pytest.approx(0.5 * 2.8 + 0.5 * 3)
    other = WeightAverage(nn.BatchNorm1d(1), decay=0.5)
    other.restore(state)
    assert other.state()["weight"].item() == state["weight"].item()


def test_a_device_that_is_not_there_is_an_error():
    if not torch.cuda.is_available():
        with pytest.raises(MienError, match="--device cuda"):
            check_device("cuda")
    with pytest.raises(MienError, match="unknown device"):
        check_device("gpu")
    assert check_device("cpu") == "cpu"
    assert check_device("auto") in ("cpu", "cuda", "mps")


def test_one_process_on_the_cpu_is_launched_without_a_word(capsys, caplog):
    fabric = launch("cpu", LoopOptions())
    assert fabric.world_size == 1
    assert capsys.readouterr() == ("", "")


def test_torchrun_says_how_many_processes_there_are(monkeypatch):
    processes = engine._processes  # pyright: ignore[reportPrivateUsage]
    assert processes(LoopOptions(devices=2)) == (2, 1)
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert processes(LoopOptions()) == (4, 2)
    assert processes(LoopOptions(devices=4, num_nodes=2)) == (4, 2)
    with pytest.raises(MienError, match="4 processes on each of 2 machines"):
        processes(LoopOptions(devices=2))
