"""Write the package's ONNX graphs for networks of the shipped weights' sizes, without weights.

Run it after a change of the networks' code: `python tools/write_graphs.py` (needs mien[export]).
"""

from __future__ import annotations

import json
import shutil
import sys

import mien
from mien.engines.graphs import CodeGraph, FaceGraph, LocalizerGraph
from mien.engines.onnx_engine import digest_of, graphs_folder, tensors_of
from mien.engines.write import to_onnx, without_weights


def main() -> None:
    """Write one folder named by the sizes' digest."""
    model = mien.load(engine="torch")
    assert model.gaze is not None
    folder = graphs_folder() / digest_of(model.network, model.gaze)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    gaze = model.gaze
    parts = (
        ("network.", model.network, FaceGraph(model.network).as_graph()),
        ("localizer.", gaze.localizer, LocalizerGraph(gaze.localizer).as_graph()),
        ("bottleneck.", gaze.bottleneck, CodeGraph(gaze.bottleneck).as_graph()),
    )
    for prefix, owner, graph in parts:
        proto, weights = without_weights(to_onnx(graph), prefix, tensors_of(owner).keys())
        path = folder / f"{graph.name}.onnx"
        path.write_bytes(proto.SerializeToString(deterministic=True))
        path.with_suffix(".json").write_text(json.dumps(weights, indent=0), encoding="utf-8")
        sys.stdout.write(
            f"{path}: {path.stat().st_size} bytes, {len(weights)} weights from outside\n"
        )


if __name__ == "__main__":
    main()
