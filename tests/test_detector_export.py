"""The detector's network: loss, ONNX graph, and the choice of the least score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.detection.least_score import (
    LOWEST_SCORE,
    as_detector,
    choose_least_score,
    refuse_empty,
)
from mien.detection.loss import detector_loss
from mien.detection.network import CHANNELS, DetectorNetwork
from mien.errors import MienError
from mien.faces.face import Face
from mien.faces.grid_detector import STRIDES


def lively_network():
    """A network whose weights and statistics are as far from the initial ones as trained ones."""
    generator = torch.Generator().manual_seed(0)
    network = DetectorNetwork()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            noise = torch.rand(value.shape, generator=generator)
            if name.endswith("running_var"):
                value.copy_(0.5 + noise)
            elif name.endswith("running_mean") or (value.ndim == 1 and name.endswith("bias")):
                value.copy_((noise - 0.5) * 0.4)
            elif value.ndim == 1:
                value.copy_(0.7 + 0.6 * noise)
            elif value.ndim > 1:
                value.copy_((noise - 0.5) * (12 / value[0].numel()) ** 0.5)
    return network.eval()


def test_maps_have_a_cell_for_every_stride():
    network = DetectorNetwork().eval()
    with torch.no_grad():
        maps = network(torch.zeros(2, 3, 64, 96, dtype=torch.uint8))
    assert [m.shape for m in maps] == [(2, CHANNELS, 64 // t, 96 // t) for t in STRIDES]
    # At the start hardly any cell is a face.
    assert max(float(m[:, 0].sigmoid().max()) for m in maps) < 0.1
    assert sum(p.numel() for p in network.parameters()) < 100_000


def perfect(sure=8.0):
    """Maps and the targets that they give exactly: one face in the grid of stride 8."""
    generator = torch.Generator().manual_seed(1)
    maps, targets = [], []
    for stride in STRIDES:
        side = 64 // stride
        rest = torch.rand(1, 14, side, side, generator=generator)
        score = torch.zeros(1, 1, side, side)
        if stride == 8:
            score[:, :, 2:4, 2:4] = 1
        logit = torch.where(score > 0, sure, -sure)
        maps.append(torch.cat([logit, rest], dim=1))
        targets.append(torch.cat([score, rest, torch.ones_like(score)], dim=1))
    return maps, targets


def test_the_loss_is_small_where_all_is_right_and_grows_with_each_fault():
    maps, targets = perfect()
    right = detector_loss(maps, targets)
    assert float(right.total) < 1e-3
    for channel, part in ((0, "score"), (1, "box"), (3, "box"), (7, "landmarks")):
        wrong = [m.clone() for m in maps]
        wrong[0][:, channel, 2:4, 2:4] -= 1.5 if channel else 10
        parts = detector_loss(wrong, targets).parts
        assert float(parts[part]) > float(right.parts[part]) + 0.05
        others = [name for name in parts if name != part]
        assert all(torch.allclose(parts[n], right.parts[n], atol=1e-5) for n in others)


def test_off_faces_boxes_do_not_count_and_no_face_is_no_fault():
    maps, targets = perfect()
    other = [m.clone() for m in maps]
    other[0][:, 1:, 5:] += 3
    assert torch.allclose(detector_loss(other, targets).total, detector_loss(maps, targets).total)
    for grid in targets:
        grid[:, 0] = 0
    loss = detector_loss(maps, targets)
    assert torch.isfinite(loss.total)
    assert float(loss.parts["box"]) == float(loss.parts["landmarks"]) == 0


@pytest.mark.parametrize(("height", "width"), [(32, 32), (160, 224), (416, 640)])
def test_onnx_runtime_gives_what_torch_gives(height, width):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from mien.detection.export import onnx_model

    network = lively_network()
    rng = np.random.default_rng(height)
    image = rng.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        onnx_model(network), options, providers=["CPUExecutionProvider"]
    )
    assert [each.name for each in session.get_inputs()] == ["image"]
    assert [each.name for each in session.get_outputs()] == [f"grid_{t}" for t in STRIDES]
    grids = session.run(None, {"image": image})
    with torch.inference_mode():
        maps = network(torch.from_numpy(image).permute(0, 3, 1, 2))
    for grid, found, stride in zip(grids, maps, STRIDES, strict=True):
        rows = found.flatten(2).movedim(1, 2).clone()
        rows[..., 0].sigmoid_()
        assert grid.shape == (1, height // stride * (width // stride), CHANNELS)
        assert np.abs(grid - rows.numpy()).max() <= 1e-4
        assert rows.std() > 0.05  # there is something to compare


def test_the_graph_is_the_same_every_time_and_folded():
    onnx = pytest.importorskip("onnx")
    from mien.detection.export import OPSET, onnx_model

    network = lively_network()
    model = onnx_model(network)
    assert model == onnx_model(network)
    read = onnx.load_from_string(model)
    kinds = {node.op_type for node in read.graph.node}
    assert "BatchNormalization" not in kinds
    assert [entry.version for entry in read.opset_import] == [OPSET]
    with pytest.raises(ValueError, match="evaluation"):
        onnx_model(DetectorNetwork())


def test_a_network_is_a_detector():
    network = lively_network()
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    faces = as_detector(network, 0.0)(image)
    assert faces
    assert all(face.landmarks is not None for face in faces)
    assert as_detector(network, 1.01)(image) == []


class Fixed:
    """Finds in image k what is listed k-th: scores, one face at each multiple of 100 pixels."""

    name = "fixed"

    def __init__(self, *found):
        self.found = found

    def __call__(self, image):
        return [
            Face((100.0 * place, 0.0, 100.0 * place + 50, 50.0), score, None, "yunet")
            for place, score in self.found[int(image[0, 0, 0])]
        ]


def numbered(*numbers):
    return [np.full((8, 8, 3), number, np.uint8) for number in numbers]


def test_the_least_score_has_no_more_false_faces_than_the_teacher():
    # Images 0 and 1 have faces, 2 and 3 have none.
    teacher = Fixed([(0, 0.9), (1, 0.9)], [(0, 0.8)], [(0, 0.7)], [])
    student = Fixed([(0, 0.9), (1, 0.35)], [(0, 0.5), (5, 0.9)], [(0, 0.61)], [(1, 0.4), (2, 0.2)])
    choice = choose_least_score(student, teacher, numbered(0, 1), numbered(2, 3))
    # One false face is allowed: the second surest, 0.4, is just left out.
    assert choice.least_score == pytest.approx(0.401)
    assert choice.recall == pytest.approx(2 / 3)
    assert (choice.faces, choice.false_faces, choice.teacher_false_faces) == (3, 1, 1)


def test_without_false_faces_the_lowest_score_serves():
    teacher = Fixed([(0, 0.9)], [])
    choice = choose_least_score(Fixed([(0, 0.2)], []), teacher, numbered(0), numbered(1))
    assert choice.least_score == LOWEST_SCORE
    assert choice.recall == 1


@pytest.mark.parametrize(
    ("with_faces", "without", "message"),
    [((1,), (1,), "finds no face"), ((0,), (), "without faces"), ((), (1,), "finds no face")],
)
def test_validation_images_that_serve_for_nothing_are_refused(with_faces, without, message):
    teacher = Fixed([(0, 0.9)], [])
    for refuse in (lambda *args: choose_least_score(teacher, *args), refuse_empty):
        with pytest.raises(MienError, match=message):
            refuse(teacher, numbered(*with_faces), numbered(*without))
