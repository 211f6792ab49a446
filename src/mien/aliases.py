"""Old names that are still read, never written: of options, table columns, tensors and files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TypeVar

__all__ = [
    "COLUMNS",
    "FILES",
    "OPTIONS",
    "PROTOCOLS",
    "STAGES",
    "TENSORS",
    "current_option",
    "current_options",
    "current_protocol",
    "current_tensors",
]

Value = TypeVar("Value")

OPTIONS: Mapping[str, str] = {
    "likeness_dim": "face_embedding_dim",
    "finder": "localizer",
    "emib.strip_share": "emib.eye_crop_fraction",
    "emib.eye_crop_share": "emib.eye_crop_fraction",
    "loop.clip": "loop.grad_clip",
    "loop.keep": "loop.keep_last",
    "loop.sheet_every": "loop.log_images_every",
    "final_share": "min_lr_ratio",
    "stills": "stills_fraction",
    "stage1.start": "stage1.init_from",
    "stage1.weights": "stage1.loss_weights",
    "stage1.loss_weights.spread": "stage1.loss_weights.yaw_std",
    "stage1.loss_weights.least_spread": "stage1.loss_weights.min_yaw_std",
    "stage1.loss_weights.beyond": "stage1.loss_weights.angle_limit_penalty",
    "stage1.loss_weights.largest_turn": "stage1.loss_weights.angle_limit",
    "stage1.loss_weights.edge": "stage1.loss_weights.border_depth",
    "stage1.loss_weights.edge_depth": "stage1.loss_weights.border_level",
    "data.shift": "data.max_shift",
    "data.zoom": "data.max_log_scale",
    "data.turn": "data.max_rotation",
    "data.mirror": "data.hflip_prob",
    "data.together": "data.per_clip",
    "data.colour": "data.colour_jitter",
    "data.grey": "data.grayscale_prob",
    "data.blur": "data.blur_prob",
    "data.noise": "data.max_noise_std",
    "data.stream_share": "data.stream_fraction",
    "base": "init_from",
    "emib.start": "emib.init_from",
    "emib.weights": "emib.loss_weights",
    "emib.loss_weights.attended": "emib.loss_weights.attended_weight",
    "emib.loss_weights.unattended": "emib.loss_weights.unattended_weight",
    "emib.loss_weights.every": "emib.loss_weights.unattended_every",
    "emib.loss_weights.contrast": "emib.loss_weights.contrastive_weight",
    "emib.loss_weights.rate": "emib.loss_weights.kl_weight",
    "emib.loss_weights.keep": "emib.loss_weights.visible_fraction",
    "emib.loss_weights.keep_unattended": "emib.loss_weights.unattended_visible_fraction",
    "emib.loss_weights.no_face": "emib.loss_weights.no_face_prob",
    "emib.loss_weights.jitter": "emib.loss_weights.eye_jitter_std",
    "distill.held_out": "distill.held_out_fraction",
    "distill.most_held_out": "distill.max_held_out",
}
"""Options of models and of training runs: old name => name. A name without a dot is one in any
group; a dotted one is that of one group, which stands under its present name."""

COLUMNS: Mapping[str, str] = {"likeness": "face_embedding"}
"""Columns of a table of faces: old name => name."""

TENSORS: Mapping[str, str] = {
    "likeness.": "face_embedding.",
    "gaze.finder.": "gaze.localizer.",
    "texture_scale.spread": "texture_scale.std",
    "shape_scale.spread": "shape_scale.std",
    "model/finder.": "model/localizer.",
    "average/finder.": "average/localizer.",
}
"""Beginnings of tensors' names in a file of weights or a checkpoint: old => new. The shipped file
has old ones, so that its checksum, which tables name, stays what it was."""

STAGES: Mapping[str, str] = {"localizer": "finder"}
"""Stages of training: name => old name, under which checkpoints of old runs are found. Random
numbers are still seeded by the old one, so that a run can be repeated."""

FILES: Mapping[str, str] = {"images.b2": "pictures.b2", "cache.json": "pack.json"}
"""Files of a folder of weights, or of cached crops: name => old name."""

PROTOCOLS: Mapping[str, str] = {"columbia-strips": "columbia-eyes"}
"""Protocols of `mien eval`: old name => name."""


def current_option(name: str, group: str, where: object) -> str:
    """Return an option's present name within its group; warn where an old one was met.

    Args:
        name: as read.
        group: of the option, dotted and with a dot at its end, such as "loop."; "" = none.
        where: the file or command line, named in the warning.
    """
    found = OPTIONS.get(f"{group}{name}", OPTIONS.get(name))
    if found is None:
        return name
    current = found.rpartition(".")[2]
    warnings.warn(
        f"{where}: {group}{name} is now called {group}{current}", DeprecationWarning, stacklevel=3
    )
    return current


def current_options(
    options: Mapping[str, Value], where: object, group: str = ""
) -> dict[str, Value]:
    """Return options under their present names; warn where an old one was met.

    Args:
        options: of one group, by name, as read from a file or a command line.
        where: the file, named in the warning.
        group: of these options, as for `current_option`.
    """
    return {current_option(name, group, where): value for name, value in options.items()}


def current_tensors(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Return tensors under the present names of the modules that they belong to."""
    found = {}
    for name, tensor in tensors.items():
        old = next((start for start in TENSORS if name.startswith(start)), None)
        found[name if old is None else TENSORS[old] + name.removeprefix(old)] = tensor
    return found


def current_protocol(name: str) -> str:
    """Return a protocol's present name; say so where it is an old one."""
    if name in PROTOCOLS:
        warnings.warn(
            f"protocol {name} is now called {PROTOCOLS[name]}", DeprecationWarning, stacklevel=3
        )
    return PROTOCOLS.get(name, name)
