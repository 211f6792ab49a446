"""A student in its teacher's place."""

from typing import cast

import pytest
import torch
from benchmarks.student_model import StudentModel

from mien.errors import MienError
from mien.gaze.cut import luminance
from mien.gaze.student import Student, StudentConfig, cut_band
from mien.model import Model
from mien.types import GazeCode


class _Teacher:
    """Finds eyes at known places."""

    weights_id = "teacher"
    crop_size = 224
    eye_crop_size = (96, 200)

    def encode_eyes(self, eye_crops):
        eyes = torch.tensor([[[60.0, 40.0], [140.0, 44.0]]]) + 0.5
        rows = len(eye_crops)
        return GazeCode(
            torch.zeros(rows, 4),
            torch.ones(rows, dtype=torch.bool),
            (eyes / torch.tensor([200.0, 96.0])).expand(rows, 2, 2),
            torch.ones(rows),
        )


def test_a_student_reads_the_band_that_its_teacher_finds():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        student = Student(StudentConfig(code_dim=4, width=8, features=8), "teacher").eval()
    eye_crops = torch.rand(2, 3, 96, 200, generator=torch.Generator().manual_seed(0))
    gaze = StudentModel(cast("Model", _Teacher()), student).encode_eyes(eye_crops)
    with torch.no_grad():
        code, score = student(
            cut_band(luminance(eye_crops), torch.tensor([[[100.0, 42.0]] * 2] * 2))
        )
    torch.testing.assert_close(gaze.code, code)
    torch.testing.assert_close(gaze.eye_score, score)
    assert gaze.eyes_found.tolist() == (score > 0.5).tolist()


def test_a_student_of_another_teacher_is_refused():
    with pytest.raises(MienError, match="learned from somebody"):
        StudentModel(cast("Model", _Teacher()), Student(StudentConfig(code_dim=4), "somebody"))
