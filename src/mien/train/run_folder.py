"""The folder of one training run: what stands where, and what may be written into it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from mien.aliases import STAGES
from mien.errors import MienError
from mien.media.faults import fault

__all__ = ["RunFolder", "is_first_process"]

_OWN = ("config.yaml", "metrics.jsonl", "train.log", "events", "sheets", "checkpoints", "exported")


@dataclass(frozen=True)
class RunFolder:
    """Paths inside a run folder, seen from one stage.

    config.yaml (resolved), metrics.jsonl, train.log, events/ (TensorBoard),
    sheets/STAGE_step_000123.png, checkpoints/STAGE/step_000123/, exported/ (weights), cache/.
    """

    path: Path
    """The folder itself."""
    stage: str = ""
    """Name of the stage that checkpoints and lines of metrics belong to."""

    @classmethod
    def open(cls, path: Path, *, resume: bool = False, overwrite: bool = False) -> RunFolder:
        """Return the run folder, made if it is not there.

        Args:
            path: where the run is kept.
            resume: continue the run that is there, if there is one.
            overwrite: delete the run that is there; the cache and foreign files stay.

        Raises:
            MienError: the folder is not empty and neither was asked for, or it holds no run.
        """
        run = cls(Path(path))
        if not is_first_process():  # the first one decides; a run in several processes is one run
            return run
        if resume and overwrite:
            raise MienError("--resume and --overwrite contradict each other; give one of them")
        if run.path.exists() and not run.path.is_dir():
            raise MienError(f"{run.path} is a file; give a folder for the run")
        try:
            used = run.path.exists() and any(not p.name.startswith(".") for p in run.path.iterdir())
            if used and not (resume or overwrite):
                raise MienError(
                    f"{run.path} is not empty; give --resume, --overwrite or another folder"
                )
            if used and not run.config.is_file():
                raise MienError(f"{run.path} holds no run (no config.yaml); give another folder")
            if used and overwrite:
                run._clear()
            run.path.mkdir(parents=True, exist_ok=True)
            for left_over in run.path.rglob(".*.unfinished"):  # by a run that was killed
                left_over.unlink(missing_ok=True)
        except OSError as error:
            raise MienError(f"cannot use {run.path}: {fault(error)}") from error
        return run

    def of_stage(self, name: str) -> RunFolder:
        """Return the same folder, seen from a stage such as "stage1"."""
        return replace(self, stage=name)

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """One JSON line each `log_every` steps, of all stages."""
        return self.path / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """Every line that the run printed."""
        return self.path / "train.log"

    @property
    def events(self) -> Path:
        """TensorBoard's files of this stage."""
        return self.path / "events" / self.stage

    @property
    def checkpoints(self) -> Path:
        """The checkpoints of this stage, perhaps under its old name."""
        folder = self.path / "checkpoints" / self.stage
        old = folder.with_name(self.seed_name) if self.stage else folder
        return old if old.is_dir() and not folder.is_dir() else folder

    @property
    def seed_name(self) -> str:
        """Name of the stage that its random numbers are seeded by."""
        return STAGES.get(self.stage, self.stage)

    @property
    def exported(self) -> Path:
        """The finished weights."""
        return self.path / "exported"

    @property
    def cache(self) -> Path:
        """The crop cache, unless another folder is given."""
        return self.path / "cache"

    def sheet(self, step: int) -> Path:
        """Return where the contact sheet of a step stands."""
        return self.path / "sheets" / f"{self.stage}_step_{step:06d}.png".lstrip("_")

    def _clear(self) -> None:
        # config.yaml goes last: a half-cleared folder still shows that it is a run.
        for name in reversed(_OWN):
            entry = self.path / name
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)


def is_first_process() -> bool:
    """Return whether this is the only process of a run or the first of several."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ:
            return int(os.environ[name] or 0) == 0 and int(os.environ.get("NODE_RANK", "0")) == 0
    return True
