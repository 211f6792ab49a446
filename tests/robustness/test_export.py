"""Bad and hard inputs of `export`; of engines, what loads weights."""

import pytest

from robustness.cases import PNG, case, check

CASES = [
    case("export", message="--out"),
    case("export --out o --format tflite", message="--format tflite: no such format; take onnx"),
    case(f"export --out o --format {'x' * 5000}", message="no such format"),
    case(
        "export --out o --format torch --external-data",
        message="--external-data is for --format onnx, not for torch",
    ),
    case("export --out o --weights w", message="no weights at w"),
    case("export --out o --weights w.onnx", {"w.onnx": "x"}, 2, "w.onnx is no model.safetensors"),
    case("export --out o --weights tiny --crops a.png", {"a.png": PNG}, 2, "at least two --crops"),
    case(
        "export --out o --weights tiny --crops a.png --crops b.png",
        {"a.png": PNG, "b.png": "x"},
        2,
        "b.png",
    ),
    case("export --out o --weights tiny", {"o/face.onnx": "x"}, 2, "o/face.onnx exists"),
    case("export --out o --weights tiny --format torch", {"o": "x"}, 2, "diffusion model"),
    case("export --out tiny --weights tiny", {"tiny/encoder.onnx": None}, 2, "is a folder"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case, place, capfd):
    check(case, place, capfd)
