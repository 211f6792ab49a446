"""`mien export`: files that other programs run, as near to torch as they say."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mien
from mien.cli.main import run
from mien.demo import shipped_clips
from mien.engines.graphs import Graph
from mien.engines.write import OPSET
from mien.errors import MienError
from mien.exporting.files import check_format, export, files_of
from mien.exporting.parts import Part, parts_of
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model
from mien.pipeline.portrait import read_clip
from mien.weights import checksum

ROOT = Path(__file__).resolve().parents[1]
SMALL = ModelConfig(
    image_size=32, texture_dim=8, shape_dim=8, width=8, feature_dim=16, neutral="regression"
)
CLIPS = sorted(shipped_clips().glob("*.mp4"))


@pytest.fixture(scope="module")
def exported(exported_model: Path) -> Path:
    """Return the folder that `mien export` wrote, once for all tests."""
    return exported_model / "out"


@pytest.fixture(scope="module")
def folder(exported_model: Path) -> Path:
    """Return the weights that were exported."""
    return exported_model / "weights"


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    return torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_onnx_files_take_any_batch_and_say_what_they_are(
    folder: Path, exported: Path, crops: torch.Tensor
) -> None:
    import onnxruntime

    parts = parts_of(mien.load(folder), crops)
    names = [part.graph.name for part in parts]
    assert names == ["encoder", "face", "decoder", "localizer", "gaze"]
    files = files_of(names, exported, "onnx")
    assert sorted(exported.iterdir()) == sorted(path for each in files for path in each)
    count = sum(len(read_clip(c, detector="none", size=224)[::4]) for c in CLIPS)
    for part, (path,) in zip(parts, files, strict=True):
        session = onnxruntime.InferenceSession(str(path))
        about = session.get_modelmeta().custom_metadata_map
        assert about["weights_sha256"] == checksum(folder)
        assert about["opset"] == str(OPSET)
        assert about["parity_crops"] == str(count)
        parity = json.loads(about["parity_to_torch"])
        assert list(parity) == list(part.graph.outputs)
        assert all(value < 1e-3 for value in parity.values())
        assert {value.shape[0] for value in session.get_inputs()} == {"batch"}
        given = zip(session.get_inputs(), part.inputs, strict=True)
        feed = {i.name: x.repeat(3, *[1] * (x.ndim - 1)).numpy() for i, x in given}
        assert all(np.asarray(x).shape[0] == 9 for x in session.run(None, feed))


def test_weights_stand_beside_an_onnx_file(
    folder: Path, exported: Path, crops: torch.Tensor, tmp_path: Path
) -> None:
    import onnxruntime

    parts = [p for p in parts_of(mien.load(folder), crops) if p.graph.name == "localizer"]
    (done,) = export(parts, tmp_path, "onnx", weights_sha256="ab", external_data=True)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["localizer.onnx", "localizer.onnx.data"]
    whole = (exported / "localizer.onnx").stat().st_size
    assert done.path.stat().st_size < whole < (tmp_path / names[1]).stat().st_size * 1.5
    session = onnxruntime.InferenceSession(str(done.path))
    about = session.get_modelmeta().custom_metadata_map
    assert about["weights_sha256"] == "ab"
    assert about["parity_crops"] == "3"
    assert json.loads(about["parity_to_torch"]) == done.parity
    assert all(value < 1e-3 for value in done.parity.values())


def test_the_command_prints_the_differences(
    exported_model: Path, folder: Path, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = (exported_model / "printed").read_text()
    assert "largest differences to torch over" in printed
    assert "gaze_code" in printed
    before = (exported / "encoder.onnx").read_bytes()
    assert run(["export", "--weights", str(folder), "--out", str(exported)]) == 2
    assert "exists" in capsys.readouterr().err
    assert (exported / "encoder.onnx").read_bytes() == before


def test_openvino_files(
    folder: Path,
    exported: Path,
    crops: torch.Tensor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    openvino = pytest.importorskip("openvino")
    import onnx

    def written_before(graph: Graph) -> object:
        return onnx.load(str(exported / f"{graph.name}.onnx"))

    monkeypatch.setattr("mien.exporting.files.to_onnx", written_before)
    parts = [p for p in parts_of(mien.load(folder), crops) if p.graph.name in ("face", "decoder")]
    done = export(parts, tmp_path, "openvino", weights_sha256="ab")
    for each in done:
        model = openvino.Core().read_model(str(each.path))
        assert model.get_rt_info(["mien", "weights_sha256"]).astype(str) == "ab"
        assert model.inputs[0].partial_shape[0].is_dynamic
        assert all(value < 1e-3 for value in each.parity.values())


def test_torch_files(folder: Path, crops: torch.Tensor, tmp_path: Path) -> None:
    parts = [p for p in parts_of(mien.load(folder), crops) if p.graph.name == "localizer"]
    (done,) = export(parts, tmp_path, "torch", weights_sha256="ab")
    assert done.path.name == "localizer.pt2"
    assert max(done.parity.values()) < 1e-3


def test_weights_without_gaze_give_what_they_have(crops: torch.Tensor) -> None:
    parts = parts_of(Model(LatentFace(SMALL)), crops)
    assert [part.graph.name for part in parts] == ["encoder", "face", "decoder"]
    assert "gaze_code" not in parts[0].graph.outputs


def test_the_command_says_that_there_is_no_gaze(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Model(LatentFace(SMALL)).save(tmp_path / "weights")
    words = ["export", "--weights", str(tmp_path / "weights"), "--format", "torch"]
    assert run([*words, "--out", str(tmp_path / "out")]) == 0
    assert "no gaze branch in these weights: no localizer, no gaze" in capsys.readouterr().err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["decoder.pt2", "encoder.pt2", "face.pt2"]


def test_weights_with_a_diffusion_model_are_refused(crops: torch.Tensor) -> None:
    with pytest.raises(MienError, match="diffusion model cannot be exported"):
        parts_of(Model(LatentFace(replace(SMALL, neutral="diffusion"))), crops)


def test_a_graph_that_is_far_from_torch_is_not_written(
    folder: Path, crops: torch.Tensor, tmp_path: Path
) -> None:
    (part,) = [p for p in parts_of(mien.load(folder), crops) if p.graph.name == "localizer"]

    class Off(torch.nn.Module):
        """Is traced once as it is, and differs when it is asked again."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = part.graph.module

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            eyes, logit = self.inner(x)
            return eyes if torch.compiler.is_compiling() else eyes + 1, logit

    off = Part(replace(part.graph, module=Off()), part.inputs)
    with pytest.raises(MienError, match="differs from torch by 1 in eyes"):
        export([off], tmp_path / "out", "torch", weights_sha256="ab")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("form", "external", "message"),
    [
        ("tflite", False, "--format tflite: no such format; take onnx, openvino, torch"),
        ("torch", True, "--external-data is for --format onnx, not for torch"),
    ],
)
def test_wrong_formats_are_refused(form: str, external: bool, message: str) -> None:
    with pytest.raises(MienError, match=message):
        check_format(form, external_data=external)
    if external:
        with pytest.raises(MienError, match=f"--int8 is for --format onnx, not for {form}"):
            check_format(form, int8=True)


@pytest.mark.parametrize(
    ("form", "package", "extra"), [("onnx", "onnx", "export"), ("openvino", "openvino", "openvino")]
)
def test_a_missing_package_names_its_extra(
    form: str,
    package: str,
    extra: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    words = ["export", "--weights", str(folder), "--format", form]
    assert run([*words, "--out", str(tmp_path / "out")]) == 2
    assert f"pip install 'mien[{extra}]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_example_reads_factors_without_torch(
    folder: Path, exported: Path, crops: torch.Tensor, tmp_path: Path
) -> None:
    model = mien.load(folder)
    pixels = (crops[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "face.png")
    script = ROOT / "examples" / "factors_without_torch.py"
    block = (
        "import sys, runpy; sys.modules['torch'] = None; sys.argv = sys.argv[1:]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", block, str(script), str(exported / "encoder.onnx")]
    command += [str(tmp_path / "face.png")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    factors = model.encode(Image.open(tmp_path / "face.png"))
    length = shown.stdout.partition("length ")[2].partition("\n")[0]
    assert float(length) == pytest.approx(float(factors.identity.norm()), abs=2e-3)
    assert factors.gaze is not None
    assert f"eyes found: {bool(factors.gaze.eyes_found[0])}" in shown.stdout


@pytest.fixture(scope="module")
def gaze_part(folder: Path) -> Part:
    clip = torch.cat([read_clip(path, detector="none", size=224) for path in CLIPS[:5]])
    (part,) = [p for p in parts_of(mien.load(folder), clip[:64]) if p.graph.name == "gaze"]
    return part


def test_gaze_in_8_bits(
    gaze_part: Part, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx
    import onnxruntime

    monkeypatch.setattr("mien.exporting.quantise.SHIFT", 4.0)  # untrained networks suffer more
    (done,) = export([gaze_part], tmp_path, "onnx", weights_sha256="ab", int8=True)
    assert done.kept_float == ""
    assert done.path.stat().st_size < (exported / "gaze.onnx").stat().st_size
    kinds = {tensor.data_type for tensor in onnx.load(str(done.path)).graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    session = onnxruntime.InferenceSession(str(done.path))
    about = session.get_modelmeta().custom_metadata_map
    assert about["weights_sha256"] == "ab"
    assert about["int8_calibration_crops"] == about["parity_crops"] == "32"
    assert 0 < json.loads(about["int8_shift"])["gaze_code"] <= 4.0
    assert json.loads(about["parity_to_torch"]) == done.parity
    assert session.get_inputs()[0].shape[0] == "batch"


def test_what_8_bits_would_spoil_stays_in_floating_point(
    gaze_part: Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mien.exporting.quantise.SHIFT", 1e-4)
    (done,) = export([gaze_part], tmp_path, "onnx", weights_sha256="ab", int8=True)
    assert done.kept_float is not None
    assert "in 8 bits gaze_code shifts by" in done.kept_float
    assert max(done.parity.values()) < 1e-3


def test_8_bits_need_gaze_and_crops(gaze_part: Part, tmp_path: Path) -> None:
    few = Part(gaze_part.graph, tuple(x[:9] for x in gaze_part.inputs))
    no_gaze = parts_of(Model(LatentFace(SMALL)), torch.rand(2, 3, 32, 32))
    for parts, message in ((few,), "at least 64 --crops"), (no_gaze, "graph gaze, which these"):
        with pytest.raises(MienError, match=message):
            export(parts, tmp_path / "out", "onnx", weights_sha256="ab", int8=True)
    assert not (tmp_path / "out").exists()
