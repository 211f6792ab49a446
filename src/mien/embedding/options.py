"""What can be chosen when a table is made: the options of `embed`, in Python and on the CLI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from mien.columns import SCHEMAS
from mien.errors import MienError

__all__ = ["CROPS", "EmbedOptions", "help_of"]

CROPS = ("face", "eyes")
"""What the images show: faces to be detected; or each is a wide eye-region crop."""


@dataclass(frozen=True)
class EmbedOptions:
    """How inputs are read and encoded; all but the batch size and the workers decide the table.

    Each field's help is its documentation.
    """

    detector: str | None = field(
        default=None,
        metadata={
            "help": "auto, mien, yunet, haar; none: every image is a face cut out from hairline to "
            "chin; a .csv or .parquet file: boxes from elsewhere."
        },
    )
    batch_size: int = field(default=64, metadata={"help": "Faces encoded at a time."})
    every: int | None = field(default=None, metadata={"help": "Take every N-th frame of a video."})
    fps: float | None = field(
        default=None, metadata={"help": "Take this many frames a second of a video."}
    )
    min_score: float | None = field(
        default=None, metadata={"help": "Leave out faces with a lower det_score, 0 to 1."}
    )
    min_size: float | None = field(
        default=None, metadata={"help": "Leave out faces whose square is smaller, in pixels."}
    )
    workers: int | None = field(
        default=None,
        metadata={"help": "Threads that read images and find faces; one a processor, at most 16."},
    )
    crop: str = field(
        default="face",
        metadata={"help": "face; eyes: every image is a wide eye-region crop, for gaze alone."},
    )
    calibration: str | Path | None = field(
        default=None,
        metadata={"help": "File by mien calibrate: adds the gaze as a direction and angles."},
    )
    probes: Sequence[str | Path] = field(
        default=(),
        metadata={
            "help": "File by mien probe: adds its prediction and how sure it is; again for more."
        },
    )
    features: bool = field(
        default=False,
        metadata={"help": "Add what the encoder saw before it became codes, for mien probe."},
    )
    schema: str = field(
        default="mien",
        metadata={
            "help": "openface, pyfeat: write what those programs know, too, under their names; "
            "without a name: print the columns of the table and stop."
        },
    )

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            MienError: if an option is out of its range or contradicts another.
        """
        every, fps, score, size = self.every, self.fps, self.min_score, self.min_size
        infinite, eyes = float("inf"), self.eyes_only
        for wrong, what in (
            (self.batch_size < 1, f"--batch-size is at least 1, not {self.batch_size}"),
            (every is not None and every < 1, f"--every is at least 1, not {every}"),
            (fps is not None and not 0 < fps < infinite, f"--fps is above 0, not {fps}"),
            (None not in (every, fps), "--every and --fps both choose frames: give one of them"),
            (
                score is not None and not 0 <= score <= 1,
                f"--min-score is from 0 to 1, not {score}",
            ),
            (
                size is not None and not 0 <= size < infinite,
                f"--min-size is a number of pixels, not {size}",
            ),
            (
                self.crop not in CROPS,
                f"there is no crop {self.crop}; give one of {', '.join(CROPS)}",
            ),
            (
                eyes and self.detector is not None,
                "--crop eyes detects no faces: leave --detector out",
            ),
            (eyes and score is not None, "--crop eyes detects no faces: leave --min-score out"),
            (
                eyes and self.features,
                "eye-region crops have no features of a face: leave --features out",
            ),
            *self._unfit_for_schema(),
        ):
            if wrong:
                raise MienError(what)

    def _unfit_for_schema(self) -> Iterator[tuple[bool, str]]:
        """Yield what the columns of another program have no place for, and how to say so."""
        name = self.schema
        yield name not in SCHEMAS, f"there is no schema {name}; give one of {', '.join(SCHEMAS)}"
        if not self.other_schema:
            return
        yield self.eyes_only, f"--schema {name} is of head pose, which eye-region crops do not have"
        for option, given in (
            ("--features", self.features),
            ("--probe", bool(self.probes)),
            ("--calibration", self.calibration is not None and name == "pyfeat"),
        ):
            yield given, f"--schema {name} has no columns for what {option} adds: leave one out"

    def refuse_schema(self, option: str) -> None:
        """Refuse another program's columns together with an option that needs mien's own.

        Args:
            option: whose tables are put together from parts.

        Raises:
            MienError: if so.
        """
        if self.other_schema:
            raise MienError(
                f"{option} needs mien's own columns: leave --schema out, then give it to mien "
                "table convert"
            )

    @property
    def other_schema(self) -> dict[str, str]:
        """Return the schema as what a job pins: nothing where the columns are mien's own."""
        return {} if self.schema == "mien" else {"schema": self.schema}

    @property
    def eyes_only(self) -> bool:
        """Return whether every image is an eye-region crop."""
        return self.crop == "eyes"


def help_of(name: str) -> str:
    """Return the help of an option."""
    return next(f.metadata["help"] for f in fields(EmbedOptions) if f.name == name)
