"""Made-up gaze sets in the layouts of the real ones, and a GetFactors that knows the answer."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from made_factors import ALL
from mien.evaluate.protocol import EvalContext, FactorColumns
from mien.geometry.gaze import gaze_angles

CAMERA = np.array([[1000.0, 0, 320], [0, 1000, 240], [0, 0, 1]])


def jpeg(shape=(48, 64), grey=90):
    """Return a grey image as a file. Bytes."""
    return cv2.imencode(".jpg", np.full(shape, grey, np.uint8))[1].tobytes()


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())


class Oracle:
    """Codes that are the true gaze (yaw, pitch and a constant), by the images' names.

    Rows of `blind` have no eyes; head poses are noise, and what was asked is kept.
    """

    columns = ALL

    def __init__(self, *sets, blind=(), noise=0.0):
        self.gaze = {}
        for data in sets:
            yaw, pitch = gaze_angles(data.gaze)
            self.gaze |= dict(zip(data.images.names, zip(yaw, pitch, strict=True), strict=True))
        self.blind, self.noise, self.asked = set(blind), noise, []

    def __call__(self, images, columns, /):
        self.asked.append((images.crop, tuple(columns)))
        rng = np.random.default_rng(len(images))
        angles = np.array([self.gaze[name] for name in images.names])
        code = np.concatenate([angles, np.ones((len(angles), 1))], axis=1)
        code[:, :2] += self.noise * rng.standard_normal((len(code), 2))
        seen = np.array([name not in self.blind for name in images.names])
        code[~seen] = np.nan
        table = {name: rng.standard_normal(len(images)) for name in columns}
        return FactorColumns(seen, seen, table | {"gaze_code": code.astype(np.float32)})

    def context(self, **options):
        return EvalContext(self, **{"draws": 2, "gallery": 2, **options})


def score(result, name):
    """Return the score of this name."""
    return next(score for score in result.scores if score.name == name)


def columbia_tree(root, *, people=6, shape=(48, 64)):
    for person in range(1, people + 1):
        for p in (-15, 0, 15):
            for v in (-10, 0, 10):
                for h in (-10, 0, 10):
                    write(root / f"{person:04}/{person:04}_2m_{p}P_{v}V_{h}H.jpg", jpeg(shape))
    return root


def face_lines(rng, images):
    """Return lines of pXX.txt and the true gaze in the camera's frame."""
    lines, looks = [], []
    for number in range(1, images + 1):
        head = 0.3 * rng.standard_normal(3)
        centre = np.array([40, 20, 500]) + 20 * rng.standard_normal(3)
        target = np.array([150, 100, 0]) * rng.standard_normal(3)
        words = [f"day01/{number:04}.jpg", "100", "200", *["1"] * 12]
        words += [f"{x:.6f}" for x in (*head, *centre, *centre, *target)]
        lines.append(" ".join([*words, "left"]))
        looks.append((head, centre, target))
    return lines, looks


def face_tree(root, *, people=3, images=4):
    rng, truth = np.random.default_rng(0), []
    for person in range(people):
        folder = root / f"p{person:02}"
        lines, looks = face_lines(rng, images)
        write(folder / f"p{person:02}.txt", "\n".join(lines) + "\n")
        for number in range(1, images + 1):
            write(folder / f"day01/{number:04}.jpg", jpeg((480, 640)))
        camera_file(folder / "Calibration/Camera.mat")
        truth += looks
    return truth


def camera_file(path, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"cameraMatrix": CAMERA, "distCoeffs": np.zeros((1, 5)), **changes})


def eye_tree(root, *, people=2):
    rng = np.random.default_rng(1)
    for person in range(people):
        folder = root / f"Data/Original/p{person:02}"
        camera_file(folder / "Calibration/Camera.mat")
        rows = np.zeros((3, 41))
        rows[:, 26:29] = [[100, 50, 0], [-100, 50, 0], [0, 0, 0]]
        rows[:, 29:32] = 0.2 * rng.standard_normal((3, 3))
        rows[:, 35:38], rows[:, 38:41] = [-30, 0, 500], [30, 0, 500]
        text = "\n".join(" ".join(map(str, row)) for row in rows)
        write(folder / "day01/annotation.txt", text)
        for frame in (1, 2, 3):
            write(folder / f"day01/{frame:04}.jpg", jpeg((480, 640)))
        listed = "day01/0003.jpg left\nday01/0001.jpg right\nday01/0003.jpg right\n"
        write(root / f"Evaluation Subset/sample list for eye image/p{person:02}.txt", listed)
    return root


def gaze360_tree(root, **changes):
    gaze = np.array([[-1, 0, 0], [0, 0, -2], [0, 1, 0], [0.1, 0, -1], [0.5, 0.5, 0.1], [0, 0, -1]])
    fields = {
        "recordings": np.array(["rec_000", "rec_0010"]),
        "recording": np.array([[0, 0, 0, 1, 1, 1]]),
        "person_identity": np.array([[0, 0, 1, 0, 0, 3]]),
        "frame": np.array([[5, 6, 7, 8, 9, 131]]),
        "gaze_dir": gaze,
        "split": np.array([[0, 0, 0, 2, 3, 2]]),
    }
    root.mkdir(parents=True, exist_ok=True)
    savemat(root / "metadata.mat", fields | changes)
    write(root / "imgs/rec_0010/head/000003/000131.jpg", jpeg(grey=200))
    write(root / "imgs/rec_0010/head/000000/000008.jpg", jpeg(grey=20))
    return root


def eyediap_tree(root, *, people=(1, 2, 10)):
    titles = "Face Left Right metapath 3DGaze 3DHead 2DGaze 2DHead Rvec Svec GazeOrigin"
    for person in people:
        lines = [titles]
        for k in (1, 2):
            face = f"p{person}/face/{k}.jpg"
            lines.append(f"{face} l r m 0,0,-1 0,0,0 0.{k},-0.2 0,0 0,0,0 1,1,1 0,0,600")
            write(root / f"Image/{face}", jpeg((224, 224)))
        write(root / f"Label/p{person}.label", "\n".join(lines) + "\n")
    return root


def xgaze_tree(root, *, people=3, images=4):
    h5py = pytest.importorskip("h5py")
    (root / "train").mkdir(parents=True)
    for person in range(people):
        with h5py.File(root / f"train/subject{person:04}.h5", "w") as file:
            patch = np.zeros((images, 28, 28, 3), np.uint8)
            patch[..., 0] = 250  # blue comes first
            patch[:, 0, 0, 2] = np.arange(images)
            file["face_patch"] = patch
            angles = np.stack([np.arange(images) / 10, np.full(images, -0.3)], axis=1)
            file["face_gaze"] = angles + 0.01 * person
            file["face_head_pose"] = -angles
    return root
