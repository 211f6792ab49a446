"""Write the package's ONNX graphs for networks of the shipped weights' sizes, without weights.

Run it after a change of the networks' code: `python tools/write_graphs.py` (needs mien[export]).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator

import mien
from mien import weights
from mien.engines.graphs import (
    AgainGraph,
    CodeGraph,
    CropsGraph,
    EngineGraph,
    FaceGraph,
    Graph,
    LocalizerGraph,
    LookGraph,
    tensors_of,
)
from mien.engines.sizes import digest_of, graphs_folder
from mien.engines.write import to_onnx, without_weights
from mien.model import Model

__all__ = ["graphs_of", "main"]


def graphs_of(model: Model) -> Iterator[tuple[Graph, dict[str, str]]]:
    """Yield the graphs of a model with a gaze branch.

    With each comes which tensor of a file of weights each of its own is, by name in the graph.
    """
    network, gaze = model.network, model.gaze
    assert gaze is not None
    names = tensors_of(network, gaze)
    eyes = [name for name in names if name.startswith("gaze.")]
    face = {f"network.{name}": name for name in names if name not in eyes}
    both = face | {name: name for name in eyes}
    yield CropsGraph(model.crop_size, model.config.image_size).as_graph(), {}
    yield EngineGraph(network, gaze).as_graph(), both
    yield AgainGraph(gaze).as_graph(), both
    yield LookGraph(network, gaze).as_graph(), both
    yield FaceGraph(network).as_graph(), face
    own = {name.removeprefix("gaze."): name for name in eyes}
    yield LocalizerGraph(gaze.localizer).as_graph(), own
    yield CodeGraph(gaze.bottleneck).as_graph(), own


def main() -> None:
    """Write a folder for each of the package's weights, named by their sizes' digest."""
    models = [mien.load(name, engine="torch") for name in weights.SHIPPED]
    shutil.rmtree(graphs_folder())
    for model in models:
        _write(model)


def _write(model: Model) -> None:
    folder = graphs_folder() / digest_of(model.config)
    folder.mkdir(parents=True)
    for graph, owned in graphs_of(model):
        proto, taken = without_weights(to_onnx(graph), owned)
        path = folder / f"{graph.name}.onnx"
        path.write_bytes(proto.SerializeToString(deterministic=True))
        path.with_suffix(".json").write_text(json.dumps(taken, indent=0), encoding="utf-8")
        sys.stdout.write(
            f"{path}: {path.stat().st_size} bytes, {len(taken)} weights from outside\n"
        )


if __name__ == "__main__":
    main()
