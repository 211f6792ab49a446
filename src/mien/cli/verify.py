"""`mien verify`: do two images show one person?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Detector, Device, Weights
from mien.cli.terminal import show

__all__ = ["verify"]


def verify(
    one: Annotated[Path, typer.Argument(metavar="A", help="Image; its largest face counts.")],
    other: Annotated[Path, typer.Argument(metavar="B", help="Another image.")],
    false_match_rate: Annotated[
        float,
        typer.Option(
            "--false-match-rate",
            help="How many of different people may be taken for one: a rate that was measured.",
        ),
    ] = 0.01,
    detector: Detector = "auto",
    weights: Weights = None,
    device: Device = "cpu",
) -> None:
    """Compare the largest faces of two images: similarity, threshold, and its error rates.

    The similarity is the centred cosine of the two face codes. The rates were measured on the
    people that are printed with them; on other people and images they differ.
    """
    from mien.verification import verify as compare

    found = compare(
        one,
        other,
        weights=weights,
        false_match_rate=false_match_rate,
        device=device,
        detector=detector,
    )
    threshold = found.threshold
    show(
        f"similarity {found.similarity:.4f}",
        f"threshold  {threshold.similarity:.4f}  false match rate "
        f"{threshold.false_match_rate:.4%}, true match rate {threshold.true_match_rate:.1%}",
        f"measured   {found.measured_on}",
        "taken for one person" if found.same else "taken for different people",
    )
