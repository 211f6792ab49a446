"""`mien calibrate`: a table of faces and a few known targets in, a calibration out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import Overwrite
from mien.cli.terminal import say
from mien.errors import MienError
from mien.media.outputs import check_outputs

if TYPE_CHECKING:
    from mien.probes.gaze import Calibration, HeldOutGaze
    from mien.probes.match import MatchedTargets

__all__ = ["calibrate"]


def calibrate(
    table: Annotated[str, typer.Argument(help="A table that mien embed wrote; or its address.")],
    targets: Annotated[
        Path | None,
        typer.Option(
            help="CSV: path (frame, face_id), where each face looks as angles, unit vector or "
            "point on a screen, and person if it is known."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The calibration to write, JSON.")
    ] = None,
    screen: Annotated[
        Path | None, typer.Option(help="Where the screen stands before the camera; JSON or YAML.")
    ] = None,
    no_pose: Annotated[
        bool, typer.Option("--no-pose", help="Use the gaze code alone, not the head pose.")
    ] = False,
    per_person: Annotated[
        bool, typer.Option("--per-person", help="Give each person an offset of their own.")
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, help="Of what is held out when the error is measured.")
    ] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Learn from a few samples with known targets how a gaze code becomes a direction.

    At least nine samples are needed, a few hundred are enough. The error printed is that on samples
    held out of everything. Apply the calibration with mien embed --calibration.
    """
    if targets is None:
        raise MienError("no targets are given; give --targets FILE.csv")
    if out is None:
        raise MienError("no calibration is named; give --out FILE.json")
    inputs = [table, targets, *([] if screen is None else [screen])]
    check_outputs([out], inputs=inputs, overwrite=overwrite)
    import numpy as np

    from mien.probes.fit import fit_calibration
    from mien.probes.labels import read_targets
    from mien.probes.match import GAZE_COLUMNS, match_targets
    from mien.probes.screen import read_screen
    from mien.table.read import some_columns

    faces = some_columns(table, GAZE_COLUMNS)  # `match_targets` names those that are missing
    geometry = None if screen is None else read_screen(screen)
    matched = match_targets(faces, read_targets(targets, geometry))
    made = fit_calibration(
        codes=matched.codes,
        targets=matched.targets,
        rng=np.random.default_rng(seed),
        head_pose=None if no_pose else matched.head_pose,
        people=matched.people,
        per_person=per_person,
        model_id=matched.model_id,
        names=matched.names,
    )
    made.save(out, overwrite=overwrite)
    say(*_lines(made, matched))


def _lines(made: Calibration, matched: MatchedTargets) -> list[str]:
    """Return what was made, for a person."""
    people = "" if matched.people is None else f" of {len(set(matched.people))} people"
    pose = "gaze code and head pose" if made.uses_pose else "gaze code alone"
    yaw, pitch = made.pooled.strengths / made.samples
    lines = [
        f"{made.samples} samples{people}, {pose}, {made.kind} features",
        f"regularisation {yaw:.2g} (yaw) and {pitch:.2g} (pitch) a sample",
        f"error on held-out {_error(made.error)}",
    ]
    if made.personal_error is not None:
        lines.append(f"with the offsets, on held-out {_error(made.personal_error)}")
    if matched.without_eyes:
        lines.append(
            f"left out: {len(matched.without_eyes)} targets without eyes, "
            f"first {matched.without_eyes[0]}"
        )
    return lines


def _error(error: HeldOutGaze) -> str:
    return (
        f"{error.by}: {error.mean_deg:.2f} degrees (95 % interval {error.low_deg:.2f} to "
        f"{error.high_deg:.2f}); the mean target is off by {error.baseline_deg:.2f}"
    )
