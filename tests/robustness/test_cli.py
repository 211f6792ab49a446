"""Bad and hard inputs of `card`, `demo`, `doctor`, and weights as every command loads them."""

import hashlib
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save

from robustness.cases import PNG, case, check


def header(**changes):
    """A change to the header of the weights in a folder."""

    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def options(**changes):
    """A change to the options of the weights in a folder."""

    def change(path: Path) -> None:
        content = json.loads(path.read_text())
        content["model"] |= changes
        path.write_text(json.dumps(content))

    return change


def tensors(edit):
    """A change to the tensors of a folder, under the right checksum."""

    def change(path: Path) -> None:
        found = load_file(path)
        edit(found)
        path.write_bytes(save(found))
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        header(sha256=checksum)(path.with_name("config.json"))

    return change


def fill(name, value):
    return tensors(lambda found: found[name].fill_(value))


def link_to(target):
    return lambda path: path.unlink(missing_ok=True) or path.symlink_to(target)


def pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def thresholds(**changes):
    """What the small weights' verification.json may hold."""
    content = {
        "format": "mien verification 1",
        "code": "identity",
        "mean": [0.0] * 32,
        "measured_on": "nobody",
        "thresholds": [{"similarity": 0.5, "false_match_rate": 0.01, "true_match_rate": 0.9}],
    }

    def write(path: Path) -> None:
        known = json.loads(path.with_name("config.json").read_text())["sha256"][:12]
        path.write_text(json.dumps(content | {"weights": known} | changes))

    return write


VERIFICATION = "tiny/verification.json"
RENDER = "render a.png --out b.png --detector none --weights tiny"
CONFIG, WEIGHTS, CARD = "tiny/config.json", "tiny/model.safetensors", "tiny/README.md"
SCALE = "texture_scale.std"
TRUNK = "autoencoder.to_codes.weight"


def rendering(name, content, message, code=2):
    made = ["b.png"] if code == 0 else []
    return case(RENDER, {"a.png": PNG, name: content}, code, message, makes=made)


CASES = [
    case("card tiny", exit=0, message="# tiny"),
    case("card w", message="no weights at w; give a model folder, fast for the"),
    case("card runs/exported", message="no weights at runs/exported"),
    case("card owner/name@main", message="no weights at owner/name@main"),
    case("card hub:", message="no weights at hub:"),
    case("card hub:owner", message="no weights at hub:owner"),
    case("card hub:../../etc", message="no weights at hub:../../etc"),
    case(f"card {'w' * 5000}", message="File name too long"),
    case("card ''", message="no config.json"),
    case("card .", message="no config.json in"),
    case("card w", {"w": ""}, 2, "is no model.safetensors"),
    case("card w", {"w": pipe}, 2, "is no model.safetensors"),
    case("card w", {"w": link_to("w")}, 2, "no weights at w"),
    case("card tiny", {CARD: b"\xff\xfe card"}, 0, "\ufffd\ufffd card"),
    case("card tiny", {CARD: "a\x1b[31m\x07\u202eb"}, 0, "a\\x1b[31m\\x07\\u202eb"),
    case("card tiny", {CARD: pipe}, 2, "README.md is a pipe or a device"),
    case("card tiny", {CARD: lambda p: p.unlink()}, 0, "no card was written"),
    case("card tiny --has tiny", message="has no list of the images"),
    case("card tiny --has x", {"tiny/images.b2": "0123456789abcdef\n"}, 2, "x"),
    case("card tiny --has a.png", {"tiny/images.b2": "0123\n", "a.png": PNG}, 2, "entry 1 is no"),
    case("card tiny --has a.png", {"tiny/images.b2": b"\xff", "a.png": PNG}, 2, "entry 1 is no"),
    case("card tiny --has a.png", {"tiny/images.b2": "0" * 16, "a.png": PNG}, 0, "0 of 1 files"),
    case(
        "verify a.png b.png --weights tiny",
        {"a.png": PNG, "b.png": PNG},
        2,
        "thresholds were not measured",
    ),
    case("verify a.png", {"a.png": PNG}, 2, "Missing argument 'B'"),
    case("verify a b --weights none", message="no weights at none"),
    case("verify a b --false-match-rate much", message="value for '--false-match-rate'"),
    *(
        case(f"verify {words} --weights tiny --detector none", files, 2, message)
        for words, files, message in [
            ("a.png b.png", {VERIFICATION: "{"}, "verification.json is not JSON"),
            ("a.png b.png", {VERIFICATION: "[]"}, "verification.json is damaged"),
            ("a.png b.png", {VERIFICATION: pipe}, "pipe or a device"),
            ("a.png b.png", {VERIFICATION: thresholds()}, "a.png"),
            ("a.png a.png", {VERIFICATION: thresholds(), "a.png": ""}, "a.png"),
            ("a.png a.png", {VERIFICATION: thresholds(), "a.png": "text"}, "a.png"),
            ("a.png a.png", {VERIFICATION: thresholds(), "a.png": None}, "is a folder"),
            ("a.png a.png", {VERIFICATION: thresholds(), "a.png": pipe}, "not an ordinary file"),
            ("a.png a.png", {VERIFICATION: thresholds(mean=[1e9] * 32)}, "within 1e6"),
            ("a.png a.png --false-match-rate nan", {VERIFICATION: thresholds()}, "there are 0.01"),
            ("a.png a.png --device cpu:7", {VERIFICATION: thresholds()}, "cpu:7: no such device"),
            ("a.png a.png --device meta", {VERIFICATION: thresholds()}, "meta: no such device"),
        ]
    ),
    case(
        "verify a.png b.png --weights tiny --detector none",
        {VERIFICATION: thresholds(), "a.png": PNG, "b.png": PNG},
        0,
        "similarity 1.0000",
    ),
    case(
        "verify a.png b.png --weights tiny --detector haar",
        {VERIFICATION: thresholds(), "a.png": PNG, "b.png": PNG},
        2,
        "no face is found in a.png",
    ),
    case("demo --out o --clips none", message="no clips to show: cannot read none"),
    case("demo --out o --clips c --weights tiny", {"c": None}, 2, "no clips to show in c"),
    case("demo --out o --clips c --weights tiny", {"c/a.mp4": "text"}, 2, "a.mp4"),
    case("demo --out o --clips c --weights tiny", {"c/a/b.txt": "text"}, 2, "c"),
    case("demo --out o --clips c --weights tiny", {"c/a/b.png": PNG, "o": ""}, 2, "o"),
    case("demo --out o --clips c --weights none", {"c/a/b.png": PNG}, 2, "no weights at none"),
    case(
        "demo --out o --clips c --weights tiny",
        {"c/a/b.png": PNG, "o/faces.png": PNG},
        2,
        "faces.png exists",
    ),
    case("demo --out o --device vulkan --weights tiny", message="vulkan: no such device"),
    case("demo --out o --detector x --weights tiny --clips c", {"c/a/b.png": PNG}, 2, "x"),
    case("demo --out '' --weights tiny --clips tiny --overwrite", message="no clips to show"),
    *(
        case(f"download {words}", files, 2, message, env={"MIEN_OFFLINE": "1", "MIEN_CACHE": "c"})
        for words, files, message in [
            ("", {}, "Missing command"),
            ("yunet", {}, "MIEN_OFFLINE forbids"),
            ("yunet --from none", {}, "no file none"),
            ("yunet --from w", {"w": ""}, "is not the YuNet file"),
            ("yunet --from w", {"w": None}, "w is a folder"),
            ("yunet --from w", {"w": pipe}, "pipe or a device"),
            ("yunet --from w", {"w": lambda p: (p.touch(), os.truncate(p, 1 << 33))}, "larger"),
            ("yunet --from /dev/zero", {}, "pipe or a device"),
        ]
    ),
    case("doctor extra", message="see mien doctor --help"),
    case("nothing", message="No such command 'nothing'"),
    case("card --nothing", message="No such option: --nothing"),
    case("card tiny tiny", message="see mien card --help"),
    case("card --has", message="requires an argument"),
    rendering(CARD, b"\xff\xfe", "", 0),
    rendering("tiny/images.b2", b"\xff\xfe", "", 0),
    rendering(CARD, pipe, "", 0),
    rendering(CONFIG, "{", "config.json is not JSON"),
    rendering(CONFIG, "[" * 100_000, "nested too deep"),
    rendering(CONFIG, b"\xff\xfe", "not UTF-8"),
    rendering(CONFIG, "[]", "does not describe a mien model"),
    rendering(CONFIG, "null", "does not describe a mien model"),
    rendering(CONFIG, '{"format": "mien", "format_version": 1e999}', "beyond all bounds"),
    rendering(CONFIG, '{"format": "mien", "format_version": NaN}', "NaN is no number"),
    rendering(CONFIG, header(format_version=2), "weights format 2, this mien reads 1"),
    rendering(CONFIG, header(format_version=[1]), "weights format [1]"),
    rendering(CONFIG, header(sha256=1), "lacks the sha256"),
    rendering(CONFIG, header(sha256="0" * 64), "its sha256 differs"),
    rendering(CONFIG, header(model=[]), "lacks the sha256 or the model's options"),
    rendering(CONFIG, header(model={"kind": "student"}), "holds a student"),
    rendering(CONFIG, pipe, "pipe or a device"),
    rendering(CONFIG, link_to("/dev/zero"), "pipe or a device"),
    rendering(CONFIG, lambda p: p.unlink(), "no config.json in tiny"),
    rendering(CONFIG, lambda p: p.write_bytes(bytes(2 << 20)), "larger than 1 MiB"),
    rendering(WEIGHTS, b"", "its sha256 differs"),
    rendering(WEIGHTS, pipe, "pipe or a device"),
    rendering(WEIGHTS, link_to("/dev/zero"), "pipe or a device"),
    rendering(WEIGHTS, lambda p: p.unlink(), "no model.safetensors in tiny"),
    rendering(WEIGHTS, lambda p: os.truncate(p, 5 << 30), "larger than 4,096 MiB"),
    rendering(WEIGHTS, fill(SCALE, float("nan")), f"NaN or infinity in {SCALE}"),
    rendering(WEIGHTS, fill(TRUNK, float("-inf")), f"NaN or infinity in {TRUNK}"),
    rendering(WEIGHTS, fill(TRUNK, 1e20), f"numbers beyond 1e+06 in {TRUNK}"),
    rendering(WEIGHTS, fill(SCALE, 0.0), f"no standard deviation in {SCALE}"),
    rendering(WEIGHTS, fill(SCALE, 1e-40), f"no standard deviation in {SCALE}"),
    rendering(WEIGHTS, tensors(lambda t: t.pop(TRUNK)), TRUNK),
    rendering(WEIGHTS, tensors(lambda t: t.update(x=torch.ones(1))), "x"),
    rendering(WEIGHTS, tensors(lambda t: t.update({TRUNK: torch.ones(2, 2)})), TRUNK),
    rendering(
        WEIGHTS, tensors(lambda t: t.update({TRUNK: t[TRUNK].to(torch.complex64)})), "complex"
    ),
    *(
        rendering(CONFIG, options(**{name: value}), name)
        for name, values in {
            "image_size": [0, -1, 48, 2**30, 64.5, "64", None, True],
            "width": [0, -1, 31, 4096, 10**9, "wide"],
            "texture_dim": [0, 17, 10**6, []],
            "neutral_blocks": [-1, 256, 10**6],
            "sampling_steps": [0, -1, "text", 10**6],
            "fov_deg": [0, -10, 400, "wide", 1e300],
            "depth_range": [0, -1, 2],
            "networks": ["huge", 1, None],
            "neutral": ["x", {}],
            "basis": ["x", 5],
            "unknown": [1],
        }.items()
        for value in values
    ),
    rendering(CONFIG, options(image_size=2**70), "beyond all bounds"),
    rendering(CONFIG, options(gaze=[1]), "do not fit their configuration"),
    rendering(CONFIG, options(gaze={"code_dim": 0}), "code_dim"),
    rendering(CONFIG, options(gaze={"eye_height": 16384, "eye_patch": 4}), "belong to"),
    rendering(CONFIG, options(gaze={}), "", 0),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case, place, capfd):
    check(case, place, capfd)
