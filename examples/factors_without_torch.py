"""An image of a face to its factors with onnxruntime, NumPy and Pillow alone.

    mien export --out exported
    python examples/factors_without_torch.py exported/encoder.onnx face.jpg

The image is a face crop, from hairline to chin; of a photograph `mien.crop` makes one.
"""

import math
import sys

import numpy as np
import onnxruntime
from PIL import Image


def read(path: str, side: int) -> np.ndarray:
    """Return an image as the encoder wants it: RGB in [0, 1]. float32 [1, 3, side, side]."""
    image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255


def main(graph: str, image: str) -> None:
    """Print identity's length, head pose, light and, where the graph has it, the gaze code."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several threads cost more than they bring for one face
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    found = dict(
        zip(names, session.run(None, {given.name: read(image, given.shape[2])}), strict=True)
    )
    identity = np.concatenate([found["neutral_texture"], found["neutral_shape"]], axis=1)
    r = found["pose_rotation"][0]
    yaw, pitch = math.atan2(r[0, 2], r[2, 2]), math.asin(max(-1.0, min(1.0, float(r[1, 2]))))
    print(f"identity: {identity.shape[1]} numbers, length {np.linalg.norm(identity):.3f}")
    print(f"yaw {math.degrees(yaw):.1f}, pitch {math.degrees(pitch):.1f} degrees")
    print("light from", found["light_direction"][0].round(3).tolist())
    if "gaze_code" in found:
        print("eyes found:", bool(found["eyes_found"][0]))
        print("gaze code", found["gaze_code"][0].round(3).tolist())


if __name__ == "__main__":
    main(*sys.argv[1:])
