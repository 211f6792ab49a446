"""Engines give the same factors; each says what it is and what it cannot run."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import mien
from mien.demo import shipped_clips
from mien.engines.engine import open_engine
from mien.engines.graph_encoder import open_graphs
from mien.engines.graphs import EncoderGraph
from mien.engines.sessions import Sessions
from mien.engines.sizes import digest_of, find_graphs, graphs_folder
from mien.errors import MienError
from mien.gaze.config import GazeConfig
from mien.gaze.cut import luminance
from mien.gaze.emib import EMIB
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model
from mien.pipeline.portrait import read_clip
from mien.types import Factors

SMALL = ModelConfig(image_size=32, texture_dim=8, shape_dim=8, width=8, feature_dim=16)


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    clips = sorted(shipped_clips().glob("*.mp4"))
    return torch.cat([read_clip(c, detector="none", size=224)[::9] for c in clips])


@pytest.fixture(scope="module")
def by_onnx() -> Model:
    return mien.load(engine="onnx")


@pytest.fixture(scope="module", params=["onnx", "openvino"])
def by_graphs(request: pytest.FixtureRequest) -> Model:
    if request.param == "openvino":
        pytest.importorskip("openvino")
        pytest.importorskip("onnx")
    return mien.load(engine=request.param)


@pytest.fixture(scope="module")
def by_torch() -> Model:
    return mien.load(engine="torch")


def _flat(factors: Factors) -> dict[str, torch.Tensor]:
    assert factors.gaze is not None
    assert factors.face_embedding is not None
    return {
        "identity": factors.identity,
        "expression": factors.expression,
        "face_embedding": factors.face_embedding,
        "rotation": factors.pose.rotation,
        "translation": factors.pose.translation,
        "ambient": factors.light.ambient,
        "diffuse": factors.light.diffuse,
        "direction": factors.light.direction,
        "gaze": factors.gaze.code,
        "eyes": factors.gaze.eyes,
        "score": factors.gaze.eye_score,
    }


def test_onnxruntime_is_the_default_on_the_cpu(by_onnx: Model, by_torch: Model) -> None:
    assert mien.load().engine == by_onnx.engine == "onnx"
    assert by_torch.engine == "torch"


@pytest.mark.parametrize("size", [224, 64, 150])
def test_engines_read_the_same_factors(
    by_graphs: Model, by_torch: Model, crops: torch.Tensor, size: int
) -> None:
    given = F.interpolate(crops.float() / 255, size=(size, size), mode="area")
    found, wanted = by_graphs.encode(given, features=True), by_torch.encode(given, features=True)
    for name, value in _flat(wanted).items():
        # Eyes are cut by whole pixels: a place that lies between two is rounded either way.
        within = 5e-3 if name == "gaze" else 5e-4
        assert torch.allclose(_flat(found)[name], value, atol=within), name
    assert found.features is not None
    assert wanted.features is not None
    assert torch.allclose(found.features, wanted.features, atol=1e-4)
    assert found.gaze is not None
    assert wanted.gaze is not None
    assert torch.equal(found.gaze.eyes_found, wanted.gaze.eyes_found)


def test_engines_read_the_same_gaze_off_eye_crops(
    by_graphs: Model, by_torch: Model, crops: torch.Tensor
) -> None:
    eyes = crops[:, :, 50:146, 12:212].contiguous()
    found, wanted = by_graphs.encode_eyes(eyes), by_torch.encode_eyes(eyes)
    assert torch.allclose(found.code, wanted.code, atol=5e-4)
    assert torch.equal(found.eyes_found, wanted.eyes_found)


def test_one_face_is_read_as_among_others(by_graphs: Model, crops: torch.Tensor) -> None:
    alone, among = by_graphs.encode(crops[1:2]), by_graphs.encode(crops[:3])[1:2]
    for name, value in _flat(alone).items():
        assert torch.allclose(value, _flat(among)[name], atol=1e-4), name


def test_eyes_are_located_once_more_where_the_guess_was_far(
    by_graphs: Model, by_torch: Model, crops: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    run = Sessions.run

    def spied(sessions: Sessions, name: str, *given: np.ndarray) -> dict[str, np.ndarray]:
        if name == "again":
            looked.append(len(given[0]))
        return run(sessions, name, *given)

    monkeypatch.setattr(Sessions, "run", spied)
    moved = torch.cat([crops[:3], torch.roll(crops[:3], 30, dims=2)])
    for rows in (moved, *moved.split(1)):
        found, wanted = by_graphs.encode(rows).gaze, by_torch.encode(rows).gaze
        assert found is not None
        assert wanted is not None
        assert torch.allclose(found.eyes, wanted.eyes, atol=5e-4)
        assert torch.allclose(found.eye_score, wanted.eye_score, atol=5e-4)
        assert torch.allclose(found.code, wanted.code, atol=5e-3)
    far = sum(looked) // 2  # together, then one by one
    assert 0 < far < len(moved)
    assert looked.count(1) >= far


def test_crops_are_reduced_in_bands_as_by_torch(by_torch: Model, crops: torch.Tensor) -> None:
    folder = find_graphs(by_torch.config)
    assert folder is not None
    found = Sessions(folder, {}).run("crops", crops[:3].permute(0, 2, 3, 1).numpy())
    floats = crops[:3].float() / 255
    small = F.interpolate(floats, size=(64, 64), mode="bilinear", antialias=True)
    assert np.allclose(found["small"], small, atol=1e-5)
    assert np.allclose(found["grey"], luminance(floats), atol=1e-5)


def test_calls_from_several_threads_do_not_mix(by_graphs: Model, crops: torch.Tensor) -> None:
    wanted = [by_graphs.encode(crops[k : k + 2]).identity for k in range(4)]
    found: dict[int, torch.Tensor] = {}

    def work(number: int) -> None:
        for _ in range(3):
            found[number] = by_graphs.encode(crops[number : number + 2]).identity

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[k], wanted[k]) for k in range(4))


def test_networks_of_other_sizes_are_run_by_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Model(LatentFace(SMALL), gaze=EMIB(GazeConfig(dim=16, heads=2))).save(tmp_path)
    assert mien.load(tmp_path).engine == "torch"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    for name in ("onnx", "openvino"):
        with pytest.raises(MienError, match=f"engine {name}: the package holds no graphs for netw"):
            mien.load(tmp_path, engine=name)


def test_an_engine_that_nobody_knows_is_refused() -> None:
    message = "engine tvm: no such engine; take auto, onnx, openvino, torch"
    with pytest.raises(MienError, match=message):
        mien.load(engine="tvm")


def test_without_onnxruntime_auto_is_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    network = LatentFace(SMALL)
    assert open_engine("auto", network, None).name == "torch"
    with pytest.raises(MienError, match="pip install onnxruntime"):
        open_engine("onnx", network, None)


@pytest.mark.parametrize("missing", ["openvino", "onnx"])
def test_without_openvino_its_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec("json")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == missing else there
    )
    with pytest.raises(MienError) as caught:
        mien.load(engine="openvino")
    line = f"engine openvino: {missing} is not installed; run: pip install 'mien[openvino]'"
    assert str(caught.value) == line


def test_a_damaged_graph_is_one_line(tmp_path: Path) -> None:
    for name in ("face.onnx", "face.json"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(MienError, match=r"engine onnx cannot use .*face\.onnx") as caught:
        Sessions(tmp_path, {}).open("face")
    assert "\n" not in str(caught.value)


def test_faces_are_read_without_torch_as_with_it(by_onnx: Model, crops: torch.Tensor) -> None:
    alone = open_graphs()
    assert alone is not None
    assert (alone.crop_size, alone.weights_id) == (by_onnx.crop_size, by_onnx.weights_id)
    assert alone.features_dim == by_onnx.features_dim
    found = alone.encode(crops.numpy(), features=True)
    wanted = by_onnx.encode(crops, features=True)
    for name, value in _flat(wanted).items():
        assert isinstance(_flat(found)[name], np.ndarray)
        assert np.allclose(_flat(found)[name], value, atol=1e-4), name
    assert found.features is not None
    assert wanted.features is not None
    assert np.allclose(found.features, wanted.features, atol=1e-4)


def test_without_graphs_for_its_networks_a_model_is_needed(tmp_path: Path) -> None:
    Model(LatentFace(SMALL)).save(tmp_path)
    assert open_graphs(tmp_path) is None


def test_embedding_does_not_load_torch(tmp_path: Path) -> None:
    clip = min(shipped_clips().glob("*.mp4"))
    command = ["mien", "embed", str(clip), "--out", str(tmp_path / "t.parquet")]
    code = f"""
import sys
sys.argv = {command!r}
from mien.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted(name for name in ("torch", "pandas", "scipy") if name in sys.modules))
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert run.stdout.splitlines()[-1] == "[]"


def test_openvino_says_of_a_damaged_graph_as_much(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    from mien.engines.openvino_sessions import OpenvinoSessions

    for name in ("face.onnx", "face.json"):
        (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(MienError, match=r"engine openvino cannot use .*face\.onnx") as caught:
        OpenvinoSessions(tmp_path, {}).open("face")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_graph_of_other_networks_is_one_line(
    name: str, by_torch: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "openvino":
        pytest.importorskip("openvino")
        pytest.importorskip("onnx")
    folder = find_graphs(by_torch.config)
    monkeypatch.setattr("mien.engines.engine.find_graphs", lambda config: folder)
    with pytest.raises(MienError, match=rf"engine {name} cannot use .*face\.onnx") as caught:
        open_engine(name, LatentFace(SMALL), None)
    assert "\n" not in str(caught.value)


def test_the_whole_encoder_is_the_model(by_torch: Model, crops: torch.Tensor) -> None:
    graph = EncoderGraph(by_torch.network, by_torch.gaze)
    with torch.no_grad():
        found = dict(zip(graph.outputs, graph(crops[:6].float() / 255), strict=True))
    wanted = by_torch.encode(crops[:6])
    assert wanted.gaze is not None
    assert torch.allclose(found["neutral_texture"], wanted.neutral_texture, atol=1e-4)
    assert torch.allclose(found["gaze_code"], wanted.gaze.code, atol=1e-3)
    assert torch.equal(found["eyes_found"], wanted.gaze.eyes_found)


# The largest take the longest; that they fit shows in their factors, above.
@pytest.mark.parametrize(
    "name",
    [
        "localizer",
        "gaze",
        "crops",
        "again",
        pytest.param("look", marks=pytest.mark.long),
        pytest.param("face", marks=pytest.mark.long),
        pytest.param("encoder", marks=pytest.mark.long),
    ],
)
def test_the_packages_graphs_are_those_of_the_present_networks(by_torch: Model, name: str) -> None:
    pytest.importorskip("onnxscript")
    onnx = pytest.importorskip("onnx")
    from tools.write_graphs import graphs_of

    from mien.engines.write import to_onnx, without_weights

    folder = find_graphs(by_torch.config)
    assert folder == graphs_folder() / digest_of(by_torch.config)
    assert folder is not None
    graph, owned = next(each for each in graphs_of(by_torch) if each[0].name == name)
    proto, weights = without_weights(to_onnx(graph), owned)
    stored = onnx.load(str(folder / f"{name}.onnx"), load_external_data=False)
    assert json.loads((folder / f"{name}.json").read_text()) == weights
    kinds = [[node.op_type for node in each.graph.node] for each in (proto, stored)]
    assert kinds[0] == kinds[1]
    inline = [
        {
            x.name: onnx.numpy_helper.to_array(x)
            for x in each.graph.initializer
            if x.name not in weights
        }
        for each in (proto, stored)
    ]
    assert inline[0].keys() == inline[1].keys()
    assert all(np.array_equal(value, inline[1][k]) for k, value in inline[0].items())
