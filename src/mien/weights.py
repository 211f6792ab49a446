"""Weights in and out: safetensors beside a config.json that records their hash; never a pickle.

A model folder holds `config.json` (format, version, hash, the model's options),
`model.safetensors`, `README.md` (the model card) and, where it is known, `images.b2`: a checksum
of every image that the model was trained on, one a line; where they were measured,
`verification.json`: thresholds of similarity, and `similarities.json`: quantiles of it. This is
the only reader of weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors

from mien.aliases import FILES, current_options, current_tensors
from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.bounded import MIB, read_bytes, read_json
from mien.media.faults import fault

if TYPE_CHECKING:  # its import takes longer than reading a face, and graphs do without
    from torch import Tensor

__all__ = [
    "CARD_FILE",
    "CONFIG_FILE",
    "HUB",
    "IMAGES_FILE",
    "SHIPPED",
    "SIMILARITIES_FILE",
    "VERIFICATION_FILE",
    "WEIGHTS_FILE",
    "check_keys",
    "checksum",
    "is_half",
    "parse",
    "read",
    "read_arrays",
    "read_card",
    "read_options",
    "save",
    "shipped_folder",
    "similarities_file",
    "trained_on",
    "verification_file",
    "weights_id",
]

_FORMAT_VERSION = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
IMAGES_FILE = "images.b2"
VERIFICATION_FILE = "verification.json"
SIMILARITIES_FILE = "similarities.json"
HUB = "hub:"
"""Before owner/name[@revision]: only then is a hub asked."""
SHIPPED = {"mien": "weights", "fast": "fast"}
"""The package's own weights: what they are called and where they are."""
_HUB_ID = re.compile(rf"{HUB}[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
_MAX_BYTES = {WEIGHTS_FILE: 4096 * MIB, CONFIG_FILE: MIB, CARD_FILE: MIB, IMAGES_FILE: 1024 * MIB}
# No weight of a trained network comes near the one, no standard deviation near the other.
_LARGEST, _SMALLEST_STD = 1e6, 1e-12
_DIGEST = re.compile(rb"[0-9a-f]{16}")


def shipped_folder(name: str = "mien") -> Path:
    """Return the folder of weights that come with the package, by one of their names."""
    return Path(__file__).parent / "shipped" / SHIPPED[name]


def save(
    folder: str | os.PathLike[str],
    state_dict: Mapping[str, Tensor],
    config: Mapping[str, Any],
    card: str,
    *,
    images: Collection[str] = (),
    half: bool = False,
    overwrite: bool = False,
) -> None:
    """Write a model folder; a killed process leaves no half-written file.

    Args:
        folder: made where it does not exist.
        state_dict: finite tensors by name, of any shape.
        config: the model's options, JSON-able.
        card: text of the model card (Markdown).
        images: checksums of the images trained on; none: not known.
        half: store floating-point tensors as float16; they are read back as float32.
        overwrite: replace the model that is already there.

    Raises:
        MienError: the folder holds a model already or cannot be written, or a tensor is not finite.
    """
    folder = Path(folder)
    if not overwrite and any((folder / name).exists() for name in (CONFIG_FILE, WEIGHTS_FILE)):
        raise MienError(f"{folder} already holds a model; save elsewhere or pass overwrite")
    from safetensors.torch import save as dump_safetensors

    stored = {name: _as_stored(name, tensor, half) for name, tensor in state_dict.items()}
    content = dump_safetensors(stored)
    header = {
        "format": "mien",
        "format_version": _FORMAT_VERSION,
        "sha256": hashlib.sha256(content).hexdigest(),
        "model": dict(config),
    }
    parts = {
        WEIGHTS_FILE: content,
        CONFIG_FILE: (json.dumps(header, indent=2) + "\n").encode(),
        CARD_FILE: card.encode(),
    }
    if images:
        parts[IMAGES_FILE] = "".join(f"{checksum}\n" for checksum in sorted(images)).encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # All are written out before the first is put in place: a full disk changes nothing.
        with ExitStack() as stack:
            for name, data in parts.items():
                unfinished = stack.enter_context(replacing(folder / name, overwrite=True))
                unfinished.write_bytes(data)
        if not images:  # an earlier model's list is not this one's
            (folder / IMAGES_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise MienError(f"cannot write the model to {folder}: {fault(error)}") from error


def read(where: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a model as `read_arrays` does; tensors, of any shape, on the CPU."""
    import torch

    options, arrays = read_arrays(where)
    return options, {name: torch.from_numpy(array) for name, array in arrays.items()}


def read_arrays(
    where: str | os.PathLike[str],
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a model: its options and its tensors as NumPy arrays that may be written to.

    Args:
        where: a model folder, the safetensors file in it, or "hub:owner/name[@revision]".

    Returns:
        The options and the tensors under their present names; tensors, of any shape, are
        finite, and floating-point ones are float32.

    Raises:
        MienError: nothing there, another format or version, changed or cut short, not finite or
            beyond what a trained network holds.
    """
    folder = _locate(where)
    header = _read_header(folder)
    path = folder / WEIGHTS_FILE
    _check_there(path)
    content = read_bytes(path, limit=_MAX_BYTES[WEIGHTS_FILE])
    if hashlib.sha256(content).hexdigest() != header["sha256"]:
        raise MienError(
            f"{path} is not the file that {CONFIG_FILE} was written for (its sha256 differs): "
            "cut short or changed; fetch or train it again"
        )
    tensors = parse(content, path)
    options = current_options(header["model"], folder / CONFIG_FILE)
    return options, current_tensors({k: _as_read(k, x, path) for k, x in tensors.items()})


def read_options(where: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a model's options alone; errors as of `read_arrays` about its config.json."""
    folder = _locate(where)
    return current_options(_read_header(folder)["model"], folder / CONFIG_FILE)


def parse(content: bytes, path: Path) -> dict[str, NDArray[Any]]:
    """Return the tensors of a safetensors file as arrays, of any shape, by name.

    Args:
        content: of the file.
        path: named in the error.

    Raises:
        MienError: it is no such file.
    """
    try:
        try:
            return parse_safetensors(content)
        except KeyError:  # a kind of number that NumPy lacks, such as bfloat16
            from safetensors.torch import load

            return {name: tensor.float().numpy() for name, tensor in load(content).items()}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MienError(f"{path} is not a safetensors file: {error}") from error


def weights_id(where: str | os.PathLike[str]) -> str:
    """Return the first 12 hex digits of the weights' recorded sha256: names them in tables.

    Raises:
        MienError: there is no such model, or its config.json is damaged.
    """
    return checksum(where)[:12]


def checksum(where: str | os.PathLike[str]) -> str:
    """Return the weights' recorded sha256, hexadecimal; errors as of `weights_id`."""
    return str(_read_header(_locate(where))["sha256"])


def read_card(where: str | os.PathLike[str]) -> str:
    """Return a model's card as Markdown, wrong bytes replaced; empty where it has none.

    Raises:
        MienError: there is no such model, or the card cannot be read or is too large.
    """
    path = _located(where) / CARD_FILE
    if not path.exists():
        return ""
    return read_bytes(path, limit=_MAX_BYTES[CARD_FILE]).decode("utf-8", "replace")


def trained_on(where: str | os.PathLike[str]) -> frozenset[str]:
    """Return checksums of the images that a model was trained on; none where they are not known.

    Raises:
        MienError: there is no such model, or its list is damaged.
    """
    path = _located(where) / IMAGES_FILE
    if not path.exists():
        path = path.with_name(FILES[IMAGES_FILE])
    if not path.exists():
        return frozenset()
    digests = read_bytes(path, limit=_MAX_BYTES[IMAGES_FILE]).split()
    damaged = next((i for i, x in enumerate(digests) if not _DIGEST.fullmatch(x)), None)
    if damaged is not None:
        raise MienError(
            f"{path} is damaged: its entry {damaged + 1} is no checksum of 16 hexadecimal digits"
        )
    return frozenset(digest.decode() for digest in digests)


def verification_file(where: str | os.PathLike[str]) -> Path | None:
    """Return the file of verification thresholds beside the weights; None where there is none.

    Raises:
        MienError: there is no such model.
    """
    return _beside(where, VERIFICATION_FILE)


def similarities_file(where: str | os.PathLike[str]) -> Path | None:
    """Return the file of quantiles of similarity beside the weights; None where there is none.

    Raises:
        MienError: there is no such model.
    """
    return _beside(where, SIMILARITIES_FILE)


def _beside(where: str | os.PathLike[str], name: str) -> Path | None:
    path = _located(where) / name
    return path if path.exists() else None


def check_keys(
    expected: Mapping[str, Tensor],
    found: Mapping[str, Tensor] | Mapping[str, NDArray[Any]],
    where: str | os.PathLike[str],
) -> None:
    """Compare a network's own state dict, tensors of any shape, with tensors read from `where`.

    Raises:
        MienError: a name is missing or unknown, or a shape differs; names the first.
    """
    faults = [f"it lacks tensor {name}" for name in sorted(expected.keys() - found.keys())]
    faults += [f"it has the unknown tensor {x}" for x in sorted(found.keys() - expected.keys())]
    faults += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and tensor.shape != found[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise MienError(f"weights in {where} do not fit the model: {faults[0]}{more}")


def _locate(where: str | os.PathLike[str]) -> Path:
    """Return the model folder: given, around the given file, the package's, or a hub's."""
    if isinstance(where, str) and _HUB_ID.fullmatch(where):
        return _fetch(where.removeprefix(HUB))
    if isinstance(where, str) and where in SHIPPED:  # a folder of that name is ./fast
        return shipped_folder(where)
    path = Path(where)
    try:
        if path.is_dir():
            return path
        if path.exists():
            if path.name != WEIGHTS_FILE:
                raise MienError(f"{path} is no {WEIGHTS_FILE}; give a model folder")
            return path.parent
    except (OSError, ValueError) as error:  # a name too long, or with a null character
        raise MienError(f"no weights at {path}: {getattr(error, 'strerror', error)}") from error
    known = " or ".join(name for name in SHIPPED if name != "mien")
    hint = f"{known} for the package's, or hub:owner/name for one of a hub"
    raise MienError(f"no weights at {path}; give a model folder, {hint}")


def _located(where: str | os.PathLike[str]) -> Path:
    """Return the folder of a model whose header is sound."""
    folder = _locate(where)
    _read_header(folder)
    return folder


def _fetch(hub_id: str) -> Path:
    """Download a model folder, or find it in the hub's cache (HF_HUB_OFFLINE is honoured)."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise MienError(f"to fetch {hub_id} from the hub: pip install 'mien[hub]'") from error
    name, _, revision = hub_id.partition("@")
    wanted = [*_MAX_BYTES, VERIFICATION_FILE, SIMILARITIES_FILE, FILES[IMAGES_FILE]]
    try:
        folder = huggingface_hub.snapshot_download(
            name, revision=revision or None, allow_patterns=wanted
        )
    except Exception as error:  # the client's errors share no base class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MienError(f"the hub cannot provide {hub_id}: {reason}") from error
    return Path(folder)


def _read_header(folder: Path) -> dict[str, Any]:
    """Read and check config.json."""
    path = folder / CONFIG_FILE
    _check_there(path)
    header = read_json(path, limit=_MAX_BYTES[CONFIG_FILE])
    if not isinstance(header, dict) or header.get("format") != "mien":
        raise MienError(f"{path} does not describe a mien model")
    version = header.get("format_version")
    if version != _FORMAT_VERSION:
        raise MienError(
            f"{path} is of weights format {version}, this mien reads {_FORMAT_VERSION}; "
            "use the version of mien that wrote it, or other weights"
        )
    if not isinstance(header.get("sha256"), str) or not isinstance(header.get("model"), dict):
        raise MienError(f"{path} lacks the sha256 or the model's options; fetch it again")
    return header


def _check_there(path: Path) -> None:
    if not path.exists():
        raise MienError(f"no {path.name} in {path.parent}: not a model folder")


def is_half(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether float16 holds all floating-point tensors, of any shape, as they are."""
    floats = (value for value in tensors.values() if value.is_floating_point())
    return all(bool((value.half().float() == value).all()) for value in floats)


def _as_stored(name: str, tensor: Tensor, half: bool) -> Tensor:  # noqa: FBT001
    """Detach, move to the CPU, store as float16 if asked; raise where it is not finite."""
    import torch

    tensor = tensor.detach().to("cpu", copy=True).contiguous()
    if tensor.is_floating_point() and half:
        tensor = tensor.to(torch.float16)
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise MienError(f"tensor {name} holds NaN or infinity; nothing was saved")
    return tensor


def _as_read(name: str, array: NDArray[Any], path: Path) -> NDArray[Any]:
    if np.iscomplexobj(array):
        raise MienError(f"{path} holds complex numbers in {name}; use other weights")
    if not np.issubdtype(array.dtype, np.floating):
        return np.array(array)
    array = np.array(array, dtype=np.float32)
    largest = max(float(array.max()), -float(array.min())) if array.size else 0.0
    if not math.isfinite(largest):
        raise MienError(f"{path} holds NaN or infinity in {name}; use other weights")
    if largest > _LARGEST:
        raise MienError(f"{path} holds numbers beyond {_LARGEST:g} in {name}; use other weights")
    if name.endswith((".std", ".spread", "code_scale")) and bool((array < _SMALLEST_STD).any()):
        raise MienError(f"{path} holds no standard deviation in {name}; use other weights")
    return array
