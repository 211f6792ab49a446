#!/bin/sh
# One would guess: an ONNX Resize with antialias=1 (opset 18) gives the same in OpenVINO as in ONNX
# Runtime, or is refused as not supported.
# What happens: OpenVINO reads the model without a word and resizes without antialiasing. A dot that
# falls between the samples of a plain linear resize is seen by ONNX Runtime and lost in OpenVINO; on
# photographs that are made smaller, networks behind such a Resize get another input than they were
# trained on. Two constant matrix products in place of the Resize give the same in both.
# Versions: openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, Python 3.11, Linux.
# Source: the ONNX specification of Resize (attribute antialias), and this script.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper

seen = {}
dot = np.zeros((1, 1, 16, 16), dtype=np.float32)
dot[0, 0, 4, 4] = 1  # a linear resize to a quarter looks at rows and columns 1, 2, 5, 6, ...
for antialias in (0, 1):
    node = helper.make_node(
        "Resize", ["x", "", "", "sizes"], ["y"],
        mode="linear", antialias=antialias, coordinate_transformation_mode="half_pixel",
    )
    graph = helper.make_graph(
        [node], "resize",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1, 4, 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, "resize.onnx")
    by_ort = onnxruntime.InferenceSession("resize.onnx", providers=["CPUExecutionProvider"])
    by_ov = openvino.compile_model(openvino.Core().read_model("resize.onnx"), "CPU")
    seen[antialias] = [float(by_ort.run(None, {"x": dot})[0].sum()), float(by_ov(dot)[0].sum())]
    print(f"antialias={antialias}: sum by ONNX Runtime {seen[antialias][0]:.4f}, "
          f"by OpenVINO {seen[antialias][1]:.4f}")
assert seen[0] == [0, 0], "the plain resize sees the dot: changed"
assert seen[1][0] > 0.04, "ONNX Runtime does not antialias: changed"
assert seen[1][1] == 0, "OpenVINO antialiases now: changed"
print("as found: OpenVINO leaves antialias out without a word")
PYTHON
