"""What `mien render` is asked for, checked as far as it can be without opening a file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.errors import MienError

__all__ = ["SIZE", "Request", "parse_light"]

SIZE = 256
"""Side of a rendered face, pixels, where --size is not given."""


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
    calibration: Path | None
    eyes_from: Path | None
    given_size: int | None
    detector: str
    overwrite: bool

    def __post_init__(self) -> None:
        for fault in (*self._faults(), *self._gaze_faults()):
            raise MienError(fault)

    def _faults(self) -> Iterator[str]:
        rotated = self.yaw is not None or self.pitch is not None
        if self.out is None and self.mesh is None:
            yield "nothing to write: give --out or --mesh"
        if self.out is not None and self.out.suffix.lower() not in (".png", ".mp4"):
            yield f"cannot write {self.out.name}: --out is a .png or a .mp4"
        if self.turntable and not self.films:
            yield "--turntable makes a film: name --out something.mp4"
        if self.frontal + rotated + self.turntable > 1:
            yield "give one of --frontal, --yaw/--pitch, --turntable"
        if self.neutral and self.expression_from is not None:
            yield "give --neutral or --expression-from, not both"
        for path in (self.out, self.mesh):
            if path is not None and path.exists() and not self.overwrite:
                yield f"{path} exists: name another file or give --overwrite"

    def _gaze_faults(self) -> Iterator[str]:
        if self.calibration is not None and not self.gaze:
            yield "--calibration goes with --gaze; give both, or leave it out"
        if not self.gaze and self.eyes_from is None:
            return
        others = ("--eyes-from",) if self.gaze and self.eyes_from else ()
        if others := (*others, *self._edits()):
            asked = "--gaze" if self.gaze else "--eyes-from"
            yield f"{asked} goes alone; leave {', '.join(others)} out"
        if self.gaze and self.calibration is None:
            yield (
                "--gaze needs --calibration FILE: without one a gaze code has no direction; "
                "make it with mien calibrate"
            )
        if self.gaze and self.given_size is not None:
            yield "--gaze draws on the image as large as it is; leave --size out"

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
        given = [name for name, value in values.items() if value not in (None, False)]
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
    if not 0 < math.hypot(x, y, z) < math.inf:
        raise MienError(f"--light {text} points nowhere; give a direction such as 0,-1,-1")
    return x, y, z
