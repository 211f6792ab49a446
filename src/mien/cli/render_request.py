"""What `mien render` is asked for, checked as far as it can be without opening a file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.errors import MienError

__all__ = ["MAX_SIZE", "SIZE", "Request", "parse_light"]

SIZE = 256
"""Side of a rendered face, pixels, where --size is not given."""
MAX_SIZE = 2048
"""Largest --size: a face has some 64 pixels of detail, and memory grows with the square."""
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".mp4")
_LARGEST_ANGLE = 180


@dataclass(frozen=True)
class Request:
    """The options, as given."""

    input: Path
    out: Path | None
    mesh: Path | None
    frontal: bool
    yaw: float | None
    pitch: float | None
    turntable: bool
    light: tuple[float, float, float] | None
    expression_from: Path | None
    neutral: bool
    maps: tuple[str, ...]
    """`depth`, `normals`: rendered in place of the colours, side by side."""
    gaze: bool
    overlay: bool
    calibration: Path | None
    eyes_from: Path | None
    given_size: int | None
    face: int | None
    every_face: bool
    detector: str
    overwrite: bool

    def __post_init__(self) -> None:
        for fault in (*self._faults(), *self._gaze_faults()):
            raise MienError(fault)

    def _faults(self) -> Iterator[str]:
        rotated = self.yaw is not None or self.pitch is not None
        if self.out is None and self.mesh is None:
            yield "nothing to write: give --out or --mesh"
        if self.out is not None and self.out.suffix.lower() not in _SUFFIXES:
            yield f"cannot write {self.out.name}: --out is {', '.join(_SUFFIXES)}"
        if self.turntable and not self.films:
            yield "--turntable makes a film: name --out something.mp4"
        if self.frontal + rotated + self.turntable > 1:
            yield "give one of --frontal, --yaw/--pitch, --turntable"
        if self.neutral and self.expression_from is not None:
            yield "give --neutral or --expression-from, not both"
        for name, angle in (("--yaw", self.yaw), ("--pitch", self.pitch)):
            if angle is not None and not abs(angle) <= _LARGEST_ANGLE:
                yield f"{name} is an angle from -{_LARGEST_ANGLE} to {_LARGEST_ANGLE}, not {angle}"
        if self.face is not None and self.every_face:
            yield "give --face or --all, not both"
        if self.every_face and (self.films or self.mesh is not None):
            yield "--all puts all faces into one image: name --out X.png, and leave --mesh out"

    def _gaze_faults(self) -> Iterator[str]:
        if self.calibration is not None and not (self.gaze or self.overlay):
            yield "--calibration goes with --gaze or --overlay; give one, or leave it out"
        options = {
            "--gaze": self.gaze,
            "--overlay": self.overlay,
            "--eyes-from": bool(self.eyes_from),
        }
        given = [name for name, there in options.items() if there]
        if not given:
            return
        asked, *others = given
        if others := (*others, *self._edits()):
            yield f"{asked} goes alone; leave {', '.join(others)} out"
        if self.gaze and self.calibration is None:
            yield (
                "--gaze needs --calibration FILE: without one a gaze code has no direction; "
                "make it with mien calibrate"
            )
        if (self.gaze or self.overlay) and self.given_size is not None:
            yield f"{asked} draws on the image as large as it is; leave --size out"

    @property
    def inputs(self) -> list[Path]:
        """Return the files that are read."""
        given = (self.input, self.expression_from, self.calibration, self.eyes_from)
        return [path for path in given if path is not None]

    @property
    def films(self) -> bool:
        """Return whether a film is to be written."""
        return self.out is not None and self.out.suffix.lower() == ".mp4"

    @property
    def size(self) -> int:
        """Return the side of a rendered face, pixels."""
        return self.given_size or SIZE

    def _edits(self) -> list[str]:
        """Return the options that render one face again from its factors."""
        names = ("mesh", "frontal", "yaw", "pitch", "turntable", "light", "expression_from")
        values = {name: getattr(self, name) for name in (*names, "neutral")}
        values["all"] = self.every_face
        if self.gaze or self.overlay:  # of all faces
            values["face"] = self.face
        # Not by `in (None, False)`: 0 is a number that was given.
        given = [n for n, value in values.items() if value is not None and value is not False]
        return [f"--{name.replace('_', '-')}" for name in (*given, *self.maps)]


def parse_light(text: str | None) -> tuple[float, float, float] | None:
    """Parse X,Y,Z.

    Raises:
        MienError: it is not three numbers, or they point nowhere.
    """
    if text is None:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError as error:
        raise MienError(f"--light is three numbers X,Y,Z, not {text!r}") from error
    largest = max(abs(x), abs(y), abs(z))
    if not all(map(math.isfinite, (x, y, z))) or largest == 0:
        raise MienError(f"--light {text} points nowhere; give a direction such as 0,-1,-1")
    return x / largest, y / largest, z / largest
