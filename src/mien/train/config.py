"""Frozen training options, read from a preset or a YAML file and overridden as key=value.

Every value is typed by the field that takes it; an unknown name is refused and the nearest known
one is suggested. The resolved configuration is written to the run folder as YAML and reads back to
an equal object.
"""

from __future__ import annotations

import difflib
import os
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml

from mien.aliases import current_option, current_options
from mien.errors import MienError
from mien.fields import OptionError, hints_of
from mien.media.bounded import read_yaml
from mien.train.options import TrainConfig

__all__ = [
    "PRESETS",
    "differences",
    "from_mapping",
    "load_config",
    "override",
    "read_config",
    "to_mapping",
    "to_yaml",
]

PRESETS = Path(__file__).parent / "presets"
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NOTHING = ("none", "null", "")

T = TypeVar("T")


def load_config(name: str = "small", overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the configuration of a preset or a YAML file with key=value overrides applied.

    Args:
        name: "small", "paper" or the path of a YAML file.
        overrides: such as "stage1.steps=2000"; the last of two wins.

    Raises:
        MienError: no such file, unknown key, or a value that its field does not take.
    """
    return read_config(TrainConfig, name, overrides)


def read_config(kind: type[T], name: str, overrides: Sequence[str] = ()) -> T:
    """Return a configuration of any kind, whose `presets` names their folder; as load_config."""
    presets = PRESETS / getattr(kind, "presets", "")
    path = presets / f"{name}.yaml"
    path = path if path.is_file() else Path(name)
    if not os.path.lexists(path):
        known = ", ".join(sorted(preset.stem for preset in presets.glob("*.yaml")))
        raise MienError(f"no configuration {name!r}; give {known} or a YAML file")
    mapping = read_yaml(path, advice="mend the file") or {}
    if not isinstance(mapping, dict):
        raise MienError(f"configuration {path} holds no keys; write lines such as 'loop: ...'")
    return override(from_mapping(kind, mapping), overrides)


def override(config: T, assignments: Sequence[str]) -> T:
    """Return the configuration with key=value assignments applied; keys are dotted."""
    mapping = to_mapping(config)
    for assignment in assignments:
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals:
            raise MienError(f"cannot read {assignment!r}; write key=value, as in stage1.steps=2000")
        group, where = mapping, ""
        *groups, name = key.split(".")
        for part in groups:
            part = current_option(part, where, "the command line")
            where += f"{part}."
            group = group.get(part)
            if not isinstance(group, dict):
                raise _unknown(key, type(config))
        name = current_option(name, where, "the command line")
        if name not in group or isinstance(group[name], dict):
            raise _unknown(f"{where}{name}", type(config))
        group[name] = text
    return from_mapping(type(config), mapping)


def from_mapping(kind: type[T], mapping: Mapping[str, Any]) -> T:
    """Return a dataclass made from nested names and values; what is not named keeps its default."""
    return _made(kind, mapping, "", kind)


def to_mapping(config: Any) -> dict[str, Any]:
    """Return the configuration as nested names and plain values, fit for YAML and JSON."""
    result: dict[str, Any] = {}
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            result[entry.name] = to_mapping(value)
        else:
            result[entry.name] = list(value) if isinstance(value, tuple) else value
    return result


def to_yaml(config: Any) -> str:
    """Return the configuration as YAML that load_config reads back to an equal object."""
    return yaml.safe_dump(to_mapping(config), sort_keys=False, allow_unicode=True)


def differences(one: Any, other: Any) -> list[str]:
    """Return the dotted names of the options in which two configurations differ."""
    first, second = dict(_leaves(to_mapping(one))), dict(_leaves(to_mapping(other)))
    return [name for name in first | second if first.get(name) != second.get(name)]


def _made(kind: type[T], mapping: Mapping[str, Any], where: str, root: type) -> T:
    """Return one group of options; `root` is the whole configuration's kind."""
    hints = hints_of(kind)
    values: dict[str, Any] = {}
    for name, value in current_options(mapping, "the configuration", where).items():
        dotted = f"{where}{name}"
        if name not in hints:
            raise _unknown(dotted, root)
        if not is_dataclass(hints[name]):
            values[name] = _typed(hints[name], value)
        elif isinstance(value, Mapping):
            values[name] = _made(hints[name], value, f"{dotted}.", root)
        else:
            raise MienError(f"{dotted} is a group of options, not {value!r}")
    try:
        return kind(**values)
    except OptionError:
        raise
    except ValueError as error:  # a contradiction that the options themselves refuse
        raise MienError(f"{error}; mend the configuration") from error


def _leaves(mapping: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in mapping.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{where}{name}.")
        else:
            yield f"{where}{name}", value


def _unknown(dotted: str, kind: type) -> MienError:
    known = [name for name, _ in _leaves(to_mapping(kind()))]
    last = dotted.rsplit(".", 1)[-1]
    near = [name for name in known if name.rsplit(".", 1)[-1] == last]  # steps => stage1.steps
    near = near or difflib.get_close_matches(dotted, known, n=1, cutoff=0.6)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known[:12])}, ..."
    )
    return MienError(f"unknown option {dotted!r}; {hint}")


def _typed(hint: Any, value: Any) -> Any:
    """Return what a text says as its field's type; what fits no field is left to be refused."""
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _typed(choices[0], value)
    if origin in (types.UnionType, typing.Union):
        nothing = value is None or (isinstance(value, str) and value.lower() in _NOTHING)
        return None if nothing else _typed(choices[0], value)
    if origin is Literal:
        return next((choice for choice in choices if str(value) == str(choice)), value)
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        return tuple(_typed(choices[0], i) for i in items if i != "") if _is_list(items) else value
    return _scalar(hint, value)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _scalar(kind: type, value: Any) -> Any:
    text = str(value).strip()
    if kind is bool:
        return _WORDS.get(text.lower(), value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return value
    if kind is str:
        return text
    with suppress(ValueError, OverflowError):
        number = float(text.replace("_", ""))
        return int(number) if kind is int and number.is_integer() else number
    return value
