"""An exported graph in onnxruntime-web gives what torch gives.

Needs node and the npm package onnxruntime-web where node finds it (NODE_PATH).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import mien
from mien.exporting.parts import parts_of

SCRIPT = """
const ort = require('onnxruntime-web');
const fs = require('fs');
const [graph, pixels, rows] = process.argv.slice(1);
ort.env.wasm.numThreads = 1;
(async () => {
  const session = await ort.InferenceSession.create(new Uint8Array(fs.readFileSync(graph)));
  const bytes = fs.readFileSync(pixels);
  const data = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const images = new ort.Tensor('float32', data, [Number(rows), 3, 224, 224]);
  const found = await session.run({ images });
  const shown = {};
  for (const name of ['neutral_texture', 'pose_rotation', 'eyes', 'gaze_code'])
    shown[name] = Array.from(found[name].data);
  console.log(JSON.stringify(shown));
})();
"""


def _web_is_there() -> bool:
    node = shutil.which("node")
    if node is None:
        return False
    asked = [node, "-e", "require.resolve('onnxruntime-web')"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _web_is_there(), reason="node or the npm package onnxruntime-web is absent")
def test_the_encoder_runs_in_onnxruntime_web(exported_model: Path, tmp_path: Path) -> None:
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    parts = parts_of(mien.load(exported_model / "weights"), images)
    (encoder,) = [part for part in parts if part.graph.name == "encoder"]
    (tmp_path / "pixels").write_bytes(images.numpy().tobytes())
    graph = exported_model / "out" / "encoder.onnx"
    command = ["node", "-e", SCRIPT, str(graph), str(tmp_path / "pixels"), "2"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    wanted = dict(zip(encoder.graph.outputs, encoder.graph.module(images), strict=True))
    for name, values in found.items():
        assert np.allclose(values, wanted[name].detach().flatten().numpy(), atol=1e-3), name
