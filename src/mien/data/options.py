"""What is trained on and how a crop is varied: frozen, shared by both stages."""

from __future__ import annotations

from dataclasses import dataclass

from mien.errors import MienError

__all__ = ["DataOptions", "check_range"]


@dataclass(frozen=True)
class DataOptions:
    """What is trained on and how a crop is varied; shared by both stages."""

    sources: tuple[str, ...] = ()
    """Folders, .zip, .parquet, videos, or synth:HEAD_MODEL. Filled from --data."""
    exclude: tuple[str, ...] = ()
    """Sources whose pictures must not be trained on; compared by the pixels of the crop."""
    cache: str = ""
    """Folder of the packed crops; empty = the run folder's own."""
    detector: str = "none"
    """none (the pictures are face crops already), haar, yunet or auto."""
    every: int = 5
    """Take every n-th frame of a video."""
    margin: float = 0.125
    """Room kept around each crop for jitter, as a share of its side."""
    workers: int = 1
    """Threads that prepare batches."""
    stream_share: float = 0.5
    """Share of the clips taken from an endless synth: source where there are others too."""
    stream_frames: int = 8
    """Frames rendered for each clip of an endless source."""
    shift: float = 0.04
    """Largest shift of the crop, as a share of its side."""
    zoom: float = 0.06
    """Largest change of scale, as a share."""
    turn: float = 0.06
    """Largest in-plane turn. Radians."""
    mirror: float = 0.5
    """Chance of a mirrored picture; the frames of a clip are mirrored together."""
    together: bool = False
    """Draw the same shift, zoom and turn for all frames of a clip."""
    colour: float = 0.15
    """Strength of brightness, contrast, saturation and per-channel jitter."""
    grey: float = 0.2
    """Chance of a grey picture; the frames of a clip are greyed together."""
    blur: float = 0.2
    """Chance that the encoder's input is scaled down and up again."""
    noise: float = 0.02
    """Largest standard deviation of the noise added to the encoder's input. [0, 1] scale."""

    def __post_init__(self) -> None:
        check_range("data.every", self.every, 1)
        check_range("data.workers", self.workers, 1)
        check_range("data.stream_frames", self.stream_frames, 1)
        for name in ("margin", "stream_share", "mirror", "grey", "blur", "shift", "zoom"):
            check_range(f"data.{name}", getattr(self, name), 0, 1)
        for name in ("turn", "colour", "noise"):
            check_range(f"data.{name}", getattr(self, name), 0)


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Refuse a number outside low to high, both included."""
    if not low <= value <= high:
        bounds = f"at least {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
        raise MienError(f"{name} must be {bounds}, not {value:g}")
