from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mien.errors import MienError
from mien.train.process import Interrupted
from mien.types import Loss

SCRIPT = Path(__file__).with_name("toy_training.py")
SPEC = importlib.util.spec_from_file_location("toy_training", SCRIPT)
assert SPEC is not None
assert SPEC.loader is not None
toy = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(toy)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    for row in found:
        del row["images_per_s"]
    return found


def child(folder, *arguments, wait=True):
    source = str(Path(__file__).parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK"):
        environment.pop(name, None)
    command = [sys.executable, str(SCRIPT), str(folder), *arguments]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if wait:
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
    return process


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_stopping_and_going_on_changes_nothing(tmp_path, precision):
    changes = [f"loop.precision={precision}", "loop.log_every=2"]
    whole = toy.toy_run(tmp_path / "whole", changes)
    objective = toy.ToyObjective()

    def stop_early(batch, step, generator):
        if step == 5:
            signal.raise_signal(signal.SIGINT)
        return toy.ToyObjective.compute(objective, batch, step, generator)

    stopped = toy.ToyObjective()
    objective.module = stopped.module
    stopped.compute = stop_early
    with pytest.raises(Interrupted, match="step 6"):
        toy.toy_run(tmp_path / "parts", changes, stopped)
    again = toy.ToyObjective()
    parts = toy.toy_run(tmp_path / "parts", changes, again)
    assert again.seen == [6, 7, 8]
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert whole.weights.keys() == parts.weights.keys()
    for name, value in whole.weights.items():
        assert torch.equal(value, parts.weights[name]), name


@pytest.mark.slow  # starts a process, which imports torch
def test_kill_9_changes_nothing(tmp_path):
    toy.toy_run(tmp_path / "whole", [])
    process = child(tmp_path / "killed", "--pause", "0.05", wait=False)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    while process.poll() is None:
        if metrics.exists() and metrics.read_text().count("\n") >= 5:
            break
        time.sleep(0.01)
    process.kill()
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    objective = toy.ToyObjective()
    toy.toy_run(tmp_path / "killed", [], objective)
    assert 4 <= objective.seen[0] < 9
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")


@pytest.mark.slow  # starts two processes, each of which imports torch
def test_two_processes_have_the_gradients_of_one(tmp_path):
    changes = ["loop.precision=32-true", "stage1.steps=1", "loop.grad_clip=0"]
    objective = toy.ToyObjective(random=False)
    toy.toy_run(tmp_path / "one", changes, objective)
    file = tmp_path / "gradients.safetensors"
    child(tmp_path / "two", "--plain", "--gradients", str(file), "loop.devices=2", *changes)
    both = load_file(file)
    learned = dict(objective.module.named_parameters())
    assert learned.keys() == both.keys()
    for name, parameter in learned.items():
        assert torch.allclose(parameter.grad, both[name], rtol=1e-5, atol=1e-7), name
    first, second = rows(tmp_path / "one")[0], rows(tmp_path / "two")[0]
    assert first["total"] == pytest.approx(second["total"], rel=1e-5)


def test_a_loss_that_is_not_finite_stops_names_the_term_and_keeps_the_checkpoint(tmp_path):
    with pytest.raises(MienError, match=r"step 6: loss term error is not finite"):
        toy.toy_run(tmp_path, [], toy.ToyObjective(nan_at=5))
    assert (tmp_path / "checkpoints" / "stage1" / "last").read_text() == "step_000004"
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5]
    toy.toy_run(tmp_path, [])
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 10))


def test_a_gradient_that_is_not_finite_is_named(tmp_path):
    objective = toy.ToyObjective(random=False)
    objective.module[0].weight.register_hook(lambda grad: grad * float("inf"))
    with pytest.raises(MienError, match=r"gradient of 0\.weight is not finite"):
        toy.toy_run(tmp_path, [], objective)


def test_the_logged_total_is_the_optimised_one(tmp_path):
    objective = toy.ToyObjective()

    def wrong(batch, step, generator):
        loss = toy.ToyObjective.compute(objective, batch, step, generator)
        return Loss(loss.total * 2, loss.parts)

    other = toy.ToyObjective()
    objective.module = other.module
    other.compute = wrong
    with pytest.raises(ValueError, match="sum to"):
        toy.toy_run(tmp_path, [], other)


def test_other_data_is_refused_on_resume(tmp_path):
    toy.toy_run(tmp_path, ["stage1.steps=2"])
    with pytest.raises(MienError, match="data differs"):
        toy.toy_run(tmp_path, ["loop.seed=3"])


def test_a_finished_stage_is_not_run_again_and_gives_its_weights(tmp_path):
    first = toy.toy_run(tmp_path, [])
    objective = toy.ToyObjective()
    second = toy.toy_run(tmp_path, [], objective)
    assert objective.seen == []
    assert all(torch.equal(value, second.weights[name]) for name, value in first.weights.items())


def test_warnings_sheets_and_rates_are_shown(tmp_path):
    said = []
    toy.toy_run(tmp_path, ["loop.log_images_every=4", "loop.log_every=3"], echo=said.append)
    warned = [line for line in said if "it is dark" in line]
    # Not while the rate still warms up: what has not begun has not collapsed.
    assert [line.split(":")[1] for line in warned] == [" stage1 step 6", " stage1 step 9"]
    assert "it is dark" in (tmp_path / "train.log").read_text()
    names = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert names == [f"stage1_step_{step:06d}.png" for step in (4, 8, 9)]
    assert {"total", "error", "edges", "brightness", "gradient_norm"} <= rows(tmp_path)[0].keys()


def test_the_process_keeps_its_own_random_numbers_and_signals(tmp_path):
    objective = toy.ToyObjective()
    before, handler = torch.get_rng_state(), signal.getsignal(signal.SIGINT)
    toy.toy_run(tmp_path, ["stage1.steps=1"], objective)
    assert torch.equal(before, torch.get_rng_state())
    assert signal.getsignal(signal.SIGINT) is handler


def test_eight_images_are_learned_by_heart(tmp_path):
    changes = ["stage1.steps=60", "stage1.learning_rate=0.02", "loop.checkpoint_every=100"]
    toy.toy_run(tmp_path, changes, toy.ToyObjective(random=False))
    found = rows(tmp_path)
    assert found[-1]["total"] < 0.6 * found[0]["total"]
