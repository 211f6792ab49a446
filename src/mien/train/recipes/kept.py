"""What pre-training of LatentFace keeps of the weights it starts from, beside their encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.errors import MienError
from mien.gaze.emib import EMIB
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.latentface.recognition import RecognitionNetwork
from mien.model import load
from mien.train.options import TrainConfig
from mien.train.recipes.canonical_eyes import fit_to_rendered

if TYPE_CHECKING:
    from mien.synth.stream import Stream

__all__ = ["Kept", "find_kept"]

_EYES_NOT_FITTED = (
    "The canonical eyes of the gaze branch were fitted to the head poses of other weights: there "
    "were too few rendered images to fit them anew."
)


@dataclass(frozen=True)
class Kept:
    """Parts that are not trained."""

    start: str = ""
    """Whose they are."""
    gaze: EMIB | None = None
    """The gaze branch."""
    face_embedding: RecognitionNetwork | None = None
    """The network of the face embedding."""
    shared_levels: int = 0
    """How many of the trunk's finest levels it reads; they must stay as they are."""

    @property
    def sizes(self) -> dict[str, Any]:
        """Return what a configuration says of them beside LatentFace's sizes."""
        return {"gaze": asdict(self.gaze.config)} if self.gaze else {}

    @property
    def origins(self) -> list[str]:
        """Return a line for the model card on each."""
        eyes = "gaze branch, but for its canonical eyes"
        parts = {eyes: self.gaze, "face embedding": self.face_embedding}
        return [f"{name}: that of {self.start}" for name, part in parts.items() if part is not None]

    def put_into(
        self,
        model: LatentFace,
        folders: Sequence[Path],
        stream: Stream | None,
        say: Callable[[str], None],
    ) -> list[str]:
        """Take the face embedding over and fit the canonical eyes; return lines on what failed.

        Args:
            model: trained.
            folders: places of the data; those of `mien synth` show where eyes are.
            stream: endless rendered clips, which do so, too.
            say: given the outcome.
        """
        if self.face_embedding is not None:
            assert model.face_embedding is not None
            model.face_embedding.load_state_dict(self.face_embedding.state_dict())
            say(f"face embedding: that of {self.start}")
        if self.gaze is None:
            return []
        branch = self.gaze.to(next(model.parameters()).device)
        off = fit_to_rendered(branch, model, folders, stream)
        if off is None:
            say("warning: too few rendered images: the gaze branch's canonical eyes stay")
            return [_EYES_NOT_FITTED]
        change = f"off by {off[0]:.1f} px of 224, now by {off[1]:.1f}"
        say(f"gaze branch: that of {self.start}, its canonical eyes fitted anew ({change})")
        return []


def find_kept(config: TrainConfig) -> Kept:
    """Return what a run keeps of `stage1.init_from`.

    Raises:
        MienError: there is nothing to keep, the configuration has no place for it, or the weights
            cannot be read.
    """
    start = config.stage1.init_from
    if not config.stage1.keep_parts:
        if _of_image(config.model):
            raise MienError(
                "model.face_embedding_from=image: that network is trained afterwards, by `mien "
                "pretrain recognition`; leave it out, or keep one by stage1.keep_parts=true"
            )
        return Kept()
    if not start:
        raise MienError("stage1.keep_parts: of which weights? add stage1.init_from=FOLDER")
    model = load(start, engine="torch")
    network = model.network.face_embedding
    found = network if isinstance(network, RecognitionNetwork) else None
    if model.gaze is None and found is None:
        raise MienError(
            f"stage1.keep_parts: {start} has neither a gaze branch nor a network of the face "
            "embedding; leave it out"
        )
    _refuse_other_form(config.model, model.network.config, start, keeps=found is not None)
    shared = 0 if found is None else config.model.face_embedding_shares
    return Kept(start, model.gaze, found, shared)


def _of_image(config: ModelConfig) -> bool:
    return config.face_embedding_dim > 0 and config.face_embedding_from == "image"


def _refuse_other_form(ours: ModelConfig, theirs: ModelConfig, start: str, *, keeps: bool) -> None:
    """Refuse a configuration whose face embedding is not of the form of the kept one."""
    if not keeps:
        if _of_image(ours):
            raise MienError(f"stage1.keep_parts: {start} has no network of the face embedding")
        return
    names = (
        "face_embedding_from",
        "face_embedding_dim",
        "face_embedding_shares",
        "image_size",
        "width",
    )
    wanted = [
        f"model.{name}={getattr(theirs, name)}"
        for name in names
        if getattr(ours, name) != getattr(theirs, name)
    ]
    if wanted:
        raise MienError(
            f"stage1.keep_parts: to keep the face embedding of {start}, add " + " ".join(wanted)
        )
