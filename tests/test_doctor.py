import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mien import doctor
from mien.doctor import KernelError, compare_golden, examine, kernel_error, record_golden
from mien.errors import MienError
from mien.model import Model, load
from mien.weights import CONFIG_FILE


@pytest.fixture
def small_crops(crops):
    return (crops * 255).byte()


def test_the_numba_kernels_agree_with_the_reference():
    error = kernel_error("numba")
    assert error.within_tolerance
    assert error.values < 1e-5
    assert error.gradients < 1e-4


def test_a_kernel_that_is_off_is_noticed(monkeypatch):
    real = doctor.interpolate

    def off(*args, backend, **kwargs):
        return real(*args, backend=backend, **kwargs) * (1.01 if backend == "numba" else 1.0)

    monkeypatch.setattr(doctor, "interpolate", off)
    assert not kernel_error("numba").within_tolerance
    found = {check.name: check.state for check in examine()}
    assert found["numba kernels"] == "broken"


def test_one_pixel_that_sees_another_triangle_is_too_much():
    assert not KernelError(1e-3, 0.0, 0.0).within_tolerance
    assert not KernelError(0.0, 1e-3, 0.0).within_tolerance
    assert not KernelError(0.0, 0.0, 1e-3).within_tolerance


def test_recorded_output_is_given_again(tiny_model, small_crops, tmp_path):
    path = tmp_path / "golden.safetensors"
    record_golden(tiny_model, small_crops, path)
    assert compare_golden(tiny_model, path) < 1e-6
    assert [p.name for p in tmp_path.iterdir()] == ["golden.safetensors"]


def test_another_output_is_noticed(tiny_model, tiny_folder, small_crops, tmp_path):
    path = tmp_path / "golden.safetensors"
    record_golden(tiny_model, small_crops, path)
    other = load(tiny_folder)
    with torch.no_grad():
        other.network.autoencoder.to_codes.weight.mul_(1.5)
    assert compare_golden(other, path) > doctor.GOLDEN_TOLERANCE


def test_output_of_other_weights_is_refused(tiny_model, small_crops, tmp_path):
    path = tmp_path / "golden.safetensors"
    record_golden(tiny_model, small_crops, path)
    other = Model(tiny_model.network, weights_id="0" * 12)
    with pytest.raises(MienError, match="was recorded for weights"):
        compare_golden(other, path)


def test_what_cannot_be_recorded_or_read_is_said(tiny_model, small_crops, tmp_path):
    with pytest.raises(MienError, match="save the model"):
        record_golden(Model(tiny_model.network), small_crops, tmp_path / "x")
    with pytest.raises(MienError, match="cannot read the recorded output"):
        compare_golden(tiny_model, tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"no")
    with pytest.raises(MienError, match="cannot read the recorded output"):
        compare_golden(tiny_model, tmp_path / "bad")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("images"), "holds no images"),
        (lambda t: t.update(images=t["images"].float()), "holds no images"),
        (lambda t: t.update(images=t["images"][0]), "holds no images"),
        (lambda t: t.pop("rotation"), "differs from the weights in rotation"),
        (lambda t: t.update(more=torch.ones(1)), "differs from the weights in more"),
    ],
)
def test_damaged_recordings_are_refused(change, message, tiny_model, small_crops, tmp_path):
    path = tmp_path / "golden.safetensors"
    record_golden(tiny_model, small_crops, path)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"weights_id": tiny_model.weights_id})
    with pytest.raises(MienError, match=message):
        compare_golden(tiny_model, path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_recordings_that_are_not_finite_differ(value, tiny_model, small_crops, tmp_path):
    path = tmp_path / "golden.safetensors"
    record_golden(tiny_model, small_crops, path)
    tensors = load_file(path)
    tensors["expression"][0] = value
    save_file(tensors, path, metadata={"weights_id": tiny_model.weights_id})
    assert compare_golden(tiny_model, path) == float("inf")


def test_sound_weights_are_ok_and_damaged_ones_broken(
    tiny_folder, tiny_model, small_crops, tmp_path, monkeypatch
):
    import shutil

    shipped = tmp_path / "weights"
    shutil.copytree(tiny_folder, shipped)
    monkeypatch.setattr(doctor, "shipped_folder", lambda: shipped)
    monkeypatch.setattr("mien.weights.shipped_folder", lambda: shipped)
    record_golden(tiny_model, small_crops)
    states = {check.name: check.state for check in examine()}
    assert states["shipped weights"] == "ok"
    assert states["recorded output"] == "ok"
    assert "broken" not in states.values()
    (tmp_path / "golden.safetensors").unlink()
    assert {c.name: c.state for c in examine()}["recorded output"] == "broken"
    header = json.loads((shipped / CONFIG_FILE).read_text())
    (shipped / CONFIG_FILE).write_text(json.dumps(header | {"sha256": "0" * 64}))
    assert {c.name: c.state for c in examine()}["shipped weights"] == "broken"


def test_a_missing_package_is_named(monkeypatch):
    from importlib import metadata

    real = metadata.version

    def version(name):
        if name in ("av", "tensorboard"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = {check.name: check for check in examine()}
    assert found["av"].state == "broken"
    assert "pip install av" in found["av"].detail
    assert found["tensorboard"].state == "note"


def test_detectors_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    monkeypatch.delenv("MIEN_YUNET", raising=False)
    found = {check.name: check.state for check in doctor.examine()}
    assert found["mien's detector"] == "ok"
    assert found["yunet detector"] == "note"

    def missing(name):
        raise MienError(f"no {name} here")

    monkeypatch.setattr(doctor, "open_detector", missing)
    monkeypatch.setattr(doctor, "find_yunet", lambda: tmp_path)
    found = {check.name: check for check in doctor.examine()}
    assert found["mien's detector"].state == "broken"
    assert found["yunet detector"].detail == "no yunet here"


def test_the_command_ends_with_1_when_something_is_broken(monkeypatch, capsys):
    from mien.cli.main import run

    sound = [doctor.Check("a", "ok", "fine"), doctor.Check("b", "note", "[none]")]
    monkeypatch.setattr(doctor, "examine", lambda: iter(sound))
    assert run(["doctor"]) == 0
    assert "all is well" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "examine", lambda: iter([*sound, doctor.Check("c", "broken", "x")]))
    assert run(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "1 broken" in out
    assert "[none]" in out
