"""The library on one page: load weights, encode faces into factors, render factors.

Images are RGB, channel first. Camera frame: x right, y down, z away; lengths are in face units,
the distance of the canonical face from the camera being 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from mien import weights
from mien.batch import check, checked, prepare, read_crops, resized, to_floats
from mien.engines.engine import open_engine
from mien.engines.graphs import tensors_of
from mien.engines.side_by_side import parts_of, side_by_side
from mien.engines.sizes import WholeConfig, read_sizes, whole_config
from mien.errors import MienError
from mien.fields import check_sizes
from mien.gaze.config import EYE_CROP_HEIGHT, EYE_CROP_WIDTH, FACE_CROP, GazeConfig
from mien.gaze.cut import luminance
from mien.gaze.emib import EMIB
from mien.gaze.localizer import project_eyes
from mien.gaze.redirection import redirect
from mien.latentface.autoencoder import Canonical
from mien.latentface.latentface import LatentFace
from mien.latentface.scene import render
from mien.media.still import ImageLike
from mien.types import Factors, GazeCode, Light, Pose, Rendering

__all__ = ["Model", "WholeConfig", "load", "prepare", "resolve_device", "tensors_of"]

_GAZE = "gaze."
_WIDTHS = ("texture_dim", "shape_dim", "width", "neutral_width", "face_embedding_dim")
_GAZE_WIDTHS = (
    *("code_dim", "dim", "stem_width", "bottleneck_dim", "bottleneck_stem_width"),
    *("localizer_width", "eye_tokens", "band_tokens", "face_tokens"),
)
_GAZE_DEPTHS = ("bottleneck_depth", "encoder_depth", "decoder_depth")
_AT_A_TIME_ELSEWHERE = 256
_Read = TypeVar("_Read")


class Model:
    """Trained networks with their configuration; encodes and renders, never trains."""

    def __init__(
        self,
        network: LatentFace,
        *,
        gaze: EMIB | None = None,
        weights_id: str = "",
        card: str = "",
        images: Collection[str] = (),
        engine: str = "torch",
    ) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)
        self.gaze = gaze.eval().requires_grad_(requires_grad=False) if gaze else None
        self._engine = open_engine(engine, self.network, self.gaze)
        self.config = whole_config(network.config, gaze.config if gaze else None)
        self.weights_id = weights_id
        """First 12 hex digits of the weights' SHA-256; empty when never saved."""
        self.card = card
        """Text of the model card, Markdown."""
        self.images = frozenset(images)
        """Checksums of the images trained on (`mien.data.provenance`); empty: not known."""

    def of_faces_alone(self) -> Model:
        """Return a model of the same networks and engine that does not look at eyes."""
        faces = Model(self.network, weights_id=self.weights_id)
        faces._engine = open_engine(self.engine, self.network, self.gaze, reads_gaze=False)
        return faces

    def __repr__(self) -> str:
        name = self.weights_id or "not saved"
        gaze = f"gaze code {self.config.gaze.code_dim}" if self.config.gaze else "no gaze branch"
        codes = f"codes {self.config.texture_dim} + {self.config.shape_dim}"
        return f"Model({name}, {self.config.image_size} px, {codes}, {gaze}, {self.device})"

    @property
    def engine(self) -> str:
        """Return what encodes: `onnx`, `openvino`, `torch`. Rendering is torch's in any case."""
        return self._engine.name

    @property
    def device(self) -> torch.device:
        """Return where the networks are."""
        return next(self.network.parameters()).device

    @torch.no_grad()
    def encode(
        self, images: Tensor | ImageLike | Sequence[ImageLike], *, features: bool = False
    ) -> Factors:
        """Read the factors off face crops.

        Args:
            images: RGB face crops framed from hairline to chin; float in [0, 1] or uint8, any
                size, best `crop_size`: gaze is read from pixels that smaller ones lack; B may
                be 0. [B, 3, H, W]. Or one or several of: pixels uint8 [H, W, 3], a Pillow
                image, a path, an open binary file; each is brought to `crop_size`.
            features: give `Factors.features` too, which takes about as long again.

        Returns:
            Factors of B rows on the model's device; `gaze` is None where the weights have no
            gaze branch.

        Raises:
            MienError: when the tensor is not such a batch, or an image cannot be read.
        """
        given = images if isinstance(images, Tensor) else read_crops(images, self.crop_size)
        check(given)
        if not len(given):  # not every operator takes an empty batch
            return self.encode(given.new_zeros(1, 3, *self._face_size), features=features)[:0]
        parts = list(self._each(lambda rows: self._encode(rows, features), given))
        return parts[0] if len(parts) == 1 else Factors.cat(parts)

    @torch.no_grad()  # which holds for a thread
    def _encode(self, crops: Tensor, features: bool) -> Factors:  # noqa: FBT001
        """Read the factors off as many crops as are looked at at a time. [B, 3, H, W]."""
        # Both from the given image: one enlarged and reduced again would be blurred.
        given = to_floats(crops)
        whole = (self.crop_size, self.crop_size)
        large, small = resized(given, whole), resized(given, self._face_size)
        return self._engine.factors(large.to(self.device), small.to(self.device), features=features)

    @property
    def features_dim(self) -> int:
        """Return F, the length of `Factors.features`."""
        return self.network.map_channels * 16

    @torch.no_grad()
    def encode_eyes(self, eye_crops: Tensor) -> GazeCode:
        """Read the gaze code off wide eye-region crops that show both eyes.

        Args:
            eye_crops: RGB (or grey three times); float in [0, 1] or uint8, best `eye_crop_size`:
                the eyes 85 of 200 pixels apart and near the middle. [B, 3, H, W].

        Returns:
            Gaze codes [B, d] and the eyes [B, 2, 2] on the model's device.

        Raises:
            MienError: when the tensor is not such a batch, or the weights have no gaze branch.
        """
        branch, crops = self._gaze_branch(), prepare(eye_crops, self.eye_crop_size)
        grey = luminance(crops.to(self.device))
        if not len(grey):  # not every operator of the branch takes an empty batch
            code, score = grey.new_zeros(0, branch.config.code_dim), grey.new_zeros(0)
            return GazeCode(code, score > 0, grey.new_zeros(0, 2, 2), score)
        return GazeCode.cat(list(self._each(self._read_eyes, grey)))

    @torch.no_grad()
    def _read_eyes(self, grey: Tensor) -> GazeCode:
        return self._gaze_branch()(grey, is_face=False, networks=self._engine)

    def _each(self, read: Callable[[Tensor], _Read], given: Tensor) -> Iterator[_Read]:
        """Yield what is read of as many rows as are looked at at a time."""
        if self.device.type != "cpu":
            yield from (read(rows) for rows in given.split(_AT_A_TIME_ELSEWHERE))
            return
        # An engine of one thread a call: as many calls at a time as torch would take threads.
        threads = 1 if self._engine.name == "torch" else torch.get_num_threads()
        parts = [given[rows] for rows in parts_of(len(given), threads)]
        yield from side_by_side(read, parts, threads)

    @torch.no_grad()
    def redirect_gaze(self, images: Tensor, codes: Tensor) -> Tensor:
        """Render faces with other gaze codes, through the eye-masked auto-encoder.

        Args:
            images: face crops, as for `encode`. [B, 3, H, W].
            codes: gaze codes; one row serves all. [B, d].

        Returns:
            The crops with the eyes rendered anew; RGB in [0, 1]. [B, 3, crop_size, crop_size].

        Raises:
            MienError: as `encode`; the weights have no gaze branch; the codes are not [B, d] or
                not finite.
        """
        branch = self._gaze_branch()
        given = checked(images)
        _check_rows("gaze codes", codes, (len(given), branch.config.code_dim))
        if not len(given):
            return resized(given, (FACE_CROP, FACE_CROP)).to(self.device)
        pose = self.network(resized(given, self._face_size).to(self.device)).pose
        large = resized(given, (FACE_CROP, FACE_CROP)).to(self.device)
        guess = project_eyes(branch.canonical_eyes, pose, self.config.fov_deg)
        return redirect(branch, large, guess, codes.to(self.device).expand(len(given), -1))

    @property
    def crop_size(self) -> int:
        """Return the side of the face crops that `encode` wants at best. Pixels."""
        return self.config.image_size if self.gaze is None else FACE_CROP

    @property
    def _face_size(self) -> tuple[int, int]:
        """Return height and width of the crops that LatentFace sees. Pixels."""
        return self.config.image_size, self.config.image_size

    @property
    def eye_crop_size(self) -> tuple[int, int]:
        """Return height and width of the eye-region crops `encode_eyes` wants at best. Pixels."""
        return EYE_CROP_HEIGHT, EYE_CROP_WIDTH

    def _gaze_branch(self) -> EMIB:
        if self.gaze is None:
            name = f"the weights {self.weights_id}" if self.weights_id else "these weights"
            raise MienError(f"{name} have no gaze branch; train one with `mien pretrain gaze`")
        return self.gaze

    @torch.no_grad()
    def render(
        self, factors: Factors, *, pose: Pose | None = None, light: Light | None = None
    ) -> Rendering:
        """Render faces from their factors.

        Args:
            factors: the faces; codes [B, D] of these weights, B may be 0.
            pose: another pose than the factors' own, rotation [B, 3, 3] and translation [B, 3] in
                face units; one row serves all.
            light: another light, in the camera frame, ambient and diffuse [B], direction [B, 3];
                one row serves all.

        Returns:
            Images [B, C, image_size, image_size] on the model's device.

        Raises:
            MienError: shapes that do not fit these weights or each other; NaN or infinity.
        """
        factors = self._placed(factors, pose, light)
        if not len(factors):
            return self.render(self._blank())[:0]
        canonical = self.network.canonical(factors)
        rows = factors.pose, factors.light
        return render(canonical.albedo, canonical.depth, *rows, self.config.fov_deg)

    @torch.no_grad()
    def canonical(self, factors: Factors) -> Canonical:
        """Decode the frontal face without pose and light.

        Returns:
            Albedo, RGB in [0, 1], [B, 3, image_size, image_size] and depth in face units
            [B, 1, image_size, image_size], of factors as `render` takes them; same errors.
        """
        placed = self._placed(factors, None, None)
        if not len(placed):
            blank = self.network.canonical(self._blank())
            return Canonical(blank.albedo[:0], blank.depth[:0])
        return self.network.canonical(placed)

    def _blank(self) -> Factors:
        """Return the factors of one black crop, for the shapes of what is made of it."""
        return self.network(torch.zeros(1, 3, *self._face_size, device=self.device))

    def _placed(self, factors: Factors, pose: Pose | None, light: Light | None) -> Factors:
        """Return checked factors on the model's device, in this pose and light, a row a face."""
        count = len(factors)
        for kind, width in (("texture", self.config.texture_dim), ("shape", self.config.shape_dim)):
            for part in (f"neutral_{kind}", f"expression_{kind}"):
                _check_rows(f"{part} for {self!r}", getattr(factors, part), (count, width))
        pose, light = pose or factors.pose, light or factors.light
        _check_rows("pose.rotation", pose.rotation, (count, 3, 3))
        _check_rows("pose.translation", pose.translation, (count, 3))
        for name in ("ambient", "diffuse"):
            _check_rows(f"light.{name}", getattr(light, name), (count,))
        _check_rows("light.direction", light.direction, (count, 3))
        pose, light = pose.to(self.device).expand(count), light.to(self.device).expand(count)
        return replace(factors.to(self.device), pose=pose, light=light)

    def save(self, folder: str | Path) -> None:
        """Write the weights, their configuration, card and list of images into `folder`.

        Raises:
            MienError: the folder holds a model already or cannot be written.
        """
        tensors, options = tensors_of(self.network, self.gaze), asdict(self.config)
        weights.save(Path(folder), tensors, options, self.card, images=self.images)


def _check_rows(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Raise MienError unless a tensor has this shape, or one row for all, and is finite."""
    if value.shape not in (shape, (1, *shape[1:])):
        raise MienError(f"{name} must be {list(shape)} or one row for all, not {list(value.shape)}")
    if not value.isfinite().all():
        raise MienError(f"{name} holds NaN or infinity; leave such rows out")


def resolve_device(name: str) -> torch.device:
    """Return the asked-for device: `cpu`, `cuda`, `cuda:0` or `mps`.

    Raises:
        MienError: when it is not there; never a silent fall-back to the CPU.
    """
    try:
        device = torch.device(name)
        if not re.fullmatch(r"cpu|cuda(:\d+)?|mps", name):
            raise ValueError(name)  # torch knows more kinds than these networks run on
    except (RuntimeError, TypeError, ValueError) as error:
        shown = str(name)[:40]
        raise MienError(
            f"--device {shown}: no such device; use cpu, cuda, cuda:0 or mps"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MienError(
            f"--device {name}: torch {torch.__version__} finds no CUDA device; use --device cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MienError(f"--device {name}: only {torch.cuda.device_count()} CUDA devices are there")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise MienError("--device mps: torch finds no Apple GPU; use --device cpu")
    return device


def load(where: str | Path | None = None, *, device: str = "cpu", engine: str = "auto") -> Model:
    """Load weights for encoding and rendering.

    Args:
        where: a folder or file of weights, `hub:owner/name[@revision]`, or a name of the package's:
            `mien`, or `fast` for narrower networks; None: `mien`.
        device: `cpu`, `cuda`, `cuda:0`, `mps`.
        engine: what encodes: `onnx` (onnxruntime) and `openvino`, on the CPU, or `torch`; `auto`:
            onnxruntime on the CPU where the package has graphs for networks of these sizes,
            otherwise torch.

    Raises:
        MienError: weights missing, of another version or tampered with; device not there; no such
            engine, or one that cannot run these networks there.
    """
    target = resolve_device(device)
    source = weights.shipped_folder() if where is None else where
    config, tensors = weights.read(source)
    if config.get("kind") == "student":
        raise MienError(
            f"{source} holds a student, not a whole model; read it with "
            "mien.gaze.student.load_student"
        )
    own = {name: value for name, value in tensors.items() if not name.startswith(_GAZE)}
    branch = {k.removeprefix(_GAZE): v for k, v in tensors.items() if k.startswith(_GAZE)}
    try:
        sizes = read_sizes(config, gaze=bool(branch))
        check_sizes(own, str(source), sizes, _WIDTHS, ("neutral_blocks",))
        network = LatentFace(sizes.latentface)
        weights.check_keys(network.state_dict(), own, str(source))
        network.load_state_dict(own, assign=True)
        gaze = _gaze_of(sizes.gaze, branch, str(source)) if sizes.gaze else None
    except (TypeError, ValueError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MienError(
            f"{source}: the weights do not fit their configuration: {reason}"
        ) from error
    # What the factors do not depend on must not keep anybody from reading them.
    card, images = "", frozenset()
    with suppress(MienError):
        card = weights.read_card(source)
    with suppress(MienError):
        images = weights.trained_on(source)
    if target.type == "cpu":  # channels innermost: a fifth less time for its convolutions
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Model(
        network.to(target),
        gaze=gaze.to(target) if gaze else None,
        weights_id=weights.weights_id(source),
        card=card,
        images=images,
        engine=engine,
    )


def _gaze_of(sizes: GazeConfig, tensors: dict[str, Tensor], source: str) -> EMIB:
    check_sizes(tensors, source, sizes, _GAZE_WIDTHS, _GAZE_DEPTHS)
    gaze = EMIB(sizes)
    weights.check_keys(gaze.state_dict(), tensors, source)
    gaze.load_state_dict(tensors, assign=True)
    return gaze
