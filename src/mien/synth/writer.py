"""Clips to a folder: images, depth, masks, a table of the truth and the resolved config."""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import torch

from mien.errors import MienError
from mien.fields import Range, check_fields
from mien.media.atomic import write_text
from mien.media.bounded import read_json
from mien.synth.clip import Clip, Labels
from mien.synth.frame import Framing
from mien.synth.head_model import HeadModel
from mien.synth.label_table import is_label_table, write_label_table
from mien.synth.stream import Stream

__all__ = ["DEPTH_UNITS_PER_CM", "SynthConfig", "clip_writer"]

CONFIG_FILE, LABELS_FILE, TRUTH_FILE = "config.json", "labels.parquet", "truth.zip"
PROGRAM = "mien synth"
# Depth images hold z as whole numbers of this size; 0 is no surface, 65535 is 655 cm.
DEPTH_UNITS_PER_CM = 100
JPEG_QUALITY = 95
_WIDE = Framing(yaw_std_deg=30.0, yaw_limit_deg=75.0)
# Raised whenever the same settings give other images than before.
IMAGES_VERSION = 1


@dataclass(frozen=True)
class SynthConfig:
    """What a folder of rendered clips was asked to hold."""

    identities: Annotated[int, Range(1, 999_999)]
    """Number of people, one clip each."""
    frames: Annotated[int, Range(1, 999)]
    """Images of each person."""
    size: Annotated[int, Range(16, 2048)] = 128
    """Side of the images. Pixels."""
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    """Decides, with a person's number, all that is sampled."""
    format: Literal["png", "jpg"] = "png"
    """Of the images: png or jpg."""
    gaze: Literal["natural", "wide"] = "natural"
    """natural: mostly ahead, often at the camera; wide: anywhere within 25 degrees of ahead."""
    light: Literal["natural", "changing", "hard"] = "natural"
    """natural: half of the clips keep their lamp; changing: every image has its own; hard:
    likewise, and shadows may be nearly black."""
    turns: Literal["natural", "wide"] = "natural"
    """natural: heads turn by up to 45 degrees; wide: up to 75, and more of them far."""

    def __post_init__(self) -> None:
        check_fields(self, "synth")


def clip_writer(
    head: HeadModel,
    config: SynthConfig,
    folder: Path,
    *,
    overwrite: bool = False,
    device: str = "cpu",
) -> Iterator[int]:
    """Render people into person_000001/frame_000.png ... and write their truth to labels.parquet.

    Beside a person's images, truth.zip holds frame_000_depth.png (16 bit, z in the camera frame
    in units of 1 / DEPTH_UNITS_PER_CM cm, 0 = nothing) and frame_000_mask.png (255 = head).
    Each person's folder appears whole or not at all, the table last. A run that was interrupted
    resumes where it stopped when it is started again with the same settings.

    Args:
        head: The head model.
        config: What to render.
        folder: Where to; made if it is not there.
        overwrite: Remove an earlier run's people, table and config first.
        device: Where to render.

    Returns:
        Yields each person's number once the images are there; the folder is looked at before.

    Raises:
        MienError: The folder holds other things, another run, or a finished one; the device is
            not there.
    """
    resolved = _resolve(head, config)
    _check_device(device)
    _prepare(folder, resolved, overwrite=overwrite)
    return _write(head, config, folder, resolved, device)


def _write(
    head: HeadModel, config: SynthConfig, folder: Path, resolved: dict[str, Any], device: str
) -> Iterator[int]:
    stream = Stream(
        head,
        seed=config.seed,
        frames_per_clip=config.frames,
        size=config.size,
        wide_gaze=config.gaze == "wide",
        light=config.light,
        framing=_WIDE if config.turns == "wide" else Framing(),
        device=device,
    )
    truth: list[Labels] = []
    for index in range(config.identities):
        target = folder / _person_name(index)
        if target.is_dir():
            truth.append(stream.labels(index))
        else:
            clip = stream.clip(index)
            _write_person(clip, target, config.format)
            truth.append(clip.labels)
        yield index + 1
    table = folder / LABELS_FILE
    write_label_table(table, truth, _image_paths(config), head.expression_names, resolved)


def _check_device(device: str) -> None:
    try:
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
            raise RuntimeError("of another kind")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MienError(f"cannot render on device {device!r}; choose cpu") from error


def _resolve(head: HeadModel, config: SynthConfig) -> dict[str, Any]:
    """Return all that decides the images."""
    chosen = asdict(config)
    if config.turns == "natural":  # as runs without this setting were
        del chosen["turns"]
    return {
        "program": PROGRAM,
        "images": IMAGES_VERSION,
        # Its random streams may change between releases.
        "numpy": np.__version__,
        "head_model": head.fingerprint,
        **chosen,
        "depth_units_per_cm": DEPTH_UNITS_PER_CM,
    }


def _prepare(folder: Path, resolved: dict[str, Any], *, overwrite: bool) -> None:
    """Make the folder ready to be filled, or refuse it."""
    if folder.exists() and not folder.is_dir():
        raise MienError(f"{folder} is a file; give a folder")
    config_path = folder / CONFIG_FILE
    found = _read_config(config_path)
    replaced = overwrite and found is not None
    if replaced:
        _remove_run(folder)
        found = None
    folder.mkdir(parents=True, exist_ok=True)
    if found is None:
        if not replaced and any(folder.iterdir()):
            raise MienError(f"{folder} is not empty and holds no {CONFIG_FILE}; give a new folder")
        write_text(config_path, json.dumps(resolved, indent=2) + "\n")
        return
    if found != resolved:
        changed = ", ".join(
            sorted(key for key in {*found, *resolved} if found.get(key) != resolved.get(key))
        )
        raise MienError(
            f"{folder} holds a run with other settings ({changed}); "
            "give a new folder or --overwrite"
        )
    if (folder / LABELS_FILE).is_file():
        raise MienError(f"{folder} is complete already; give a new folder or --overwrite")


def _read_config(path: Path) -> dict[str, Any] | None:
    """Return what an earlier run of `mien synth` was asked for, or None where nothing is.

    Raises:
        MienError: it is damaged, or somebody else's.
    """
    if not os.path.lexists(path):
        return None
    found = read_json(path, advice="give a new folder")
    if not isinstance(found, dict) or found.get("program") != PROGRAM:
        raise MienError(f"{path} is not of `mien synth`; give a new folder")
    return found


def _remove_run(folder: Path) -> None:
    """Remove what an earlier run wrote, and nothing else; the table goes first."""
    labels = folder / LABELS_FILE
    if labels.is_file() and not is_label_table(labels):
        raise MienError(f"{labels} is not of `mien synth`; give a new folder")
    labels.unlink(missing_ok=True)
    names = re.compile(r"frame_\d{3}\.(png|jpg)|" + re.escape(TRUTH_FILE))
    for path in folder.glob("person_[0-9][0-9][0-9][0-9][0-9][0-9]*"):
        if re.fullmatch(r"person_\d{6}(\.tmp)?", path.name) and not path.is_symlink():
            for file in path.iterdir() if path.is_dir() else ():
                if names.fullmatch(file.name):
                    file.unlink()
            with suppress(OSError):  # somebody keeps something of their own in it
                path.rmdir()
    (folder / CONFIG_FILE).unlink()


def _person_name(index: int) -> str:
    return f"person_{index + 1:06d}"


def _image_paths(config: SynthConfig) -> list[list[str]]:
    """Return the images' paths relative to the folder, per person. With forward slashes."""
    return [
        [f"{_person_name(i)}/frame_{t:03d}.{config.format}" for t in range(config.frames)]
        for i in range(config.identities)
    ]


def _write_person(clip: Clip, target: Path, suffix: str) -> None:
    temporary = target.with_name(f"{target.name}.tmp")
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir()
    try:
        for t in range(len(clip)):
            image = _encoded(clip.images[t].transpose(1, 2, 0), suffix)
            (temporary / f"frame_{t:03d}.{suffix}").write_bytes(image)
        # In an archive: a program that looks for images of faces must not find these.
        with zipfile.ZipFile(temporary / TRUTH_FILE, "w") as archive:
            for t in range(len(clip)):
                units = np.clip(clip.depth[t] * DEPTH_UNITS_PER_CM + 0.5, 0, 65535).astype(
                    np.uint16
                )
                mask = clip.mask[t].astype(np.uint8) * 255
                for kind, pixels in (("depth", units), ("mask", mask)):
                    entry = zipfile.ZipInfo(f"frame_{t:03d}_{kind}.png")
                    archive.writestr(entry, _encoded(pixels, "png"))
        temporary.replace(target)
    except BaseException:
        # On a full disk what could not be finished only takes room.
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _encoded(pixels: np.ndarray, suffix: str) -> bytes:
    """Return an image file: RGB uint8 [S, S, 3], or grey uint8 or uint16 [S, S]."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == "jpg" else []
    done, data = cv2.imencode(f".{suffix}", pixels, options)
    if not done:
        raise MienError(f"cannot encode an image as {suffix}; choose another format")
    return data.tobytes()
