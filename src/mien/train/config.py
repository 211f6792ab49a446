"""Frozen training options, read from a preset or a YAML file and overridden as key=value.

Every value is typed by the field that takes it; an unknown name is refused and the nearest known
one is suggested. The resolved configuration is written to the run folder as YAML and reads back to
an equal object.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from mien.aliases import current_option, current_options
from mien.errors import MienError
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
    return read_config(TrainConfig, name, overrides, PRESETS)


def read_config(kind: type[T], name: str, overrides: Sequence[str], presets: Path) -> T:
    """Return a configuration of any kind; otherwise as load_config.

    Args:
        kind: the dataclass to be made.
        name: of a preset, or the path of a YAML file.
        overrides: key=value.
        presets: folder of NAME.yaml.
    """
    path = presets / f"{name}.yaml"
    if not path.is_file():
        path = Path(name)
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        known = ", ".join(sorted(preset.stem for preset in presets.glob("*.yaml")))
        raise MienError(f"no configuration {name!r}; give {known} or a YAML file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = str(error).splitlines()[0]
        raise MienError(f"cannot read configuration {path}: {line}; mend the file") from error
    if not isinstance(mapping, dict):
        raise MienError(f"configuration {path} holds no keys; write lines such as 'loop: ...'")
    return override(from_mapping(kind, mapping), overrides)


def override(config: T, assignments: Sequence[str]) -> T:
    """Return the configuration with key=value assignments applied; keys are dotted."""
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise MienError(f"cannot read {assignment!r}; write key=value, as in stage1.steps=2000")
        config = _assign(config, key.strip(), key.strip().split("."), text.strip())
    return config


def from_mapping(kind: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Return a dataclass made from nested names and values; what is not named keeps its default."""
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for name, value in current_options(mapping, "the configuration", where).items():
        dotted = f"{where}{name}"
        if name not in hints:
            raise _unknown(dotted, kind, where)
        if is_dataclass(hints[name]):
            if not isinstance(value, Mapping):
                raise MienError(f"{dotted} is a group of options, not {value!r}")
            values[name] = from_mapping(hints[name], value, f"{dotted}.")
        else:
            values[name] = _typed(dotted, hints[name], value)
    return _built(kind, values)


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
    first, second = dict(_leaves(one)), dict(_leaves(other))
    return [name for name in first | second if first.get(name) != second.get(name)]


def _built(kind: type[T], values: dict[str, Any]) -> T:
    try:
        return kind(**values)
    except ValueError as error:  # a contradiction that the options themselves refuse
        raise MienError(f"{error}; mend the configuration") from error


def _shallow(config: Any) -> dict[str, Any]:
    return {entry.name: getattr(config, entry.name) for entry in fields(config)}


def _leaves(config: Any, where: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for entry in fields(config):
        value = getattr(config, entry.name)
        if is_dataclass(value):
            found += _leaves(value, f"{where}{entry.name}.")
        else:
            found.append((f"{where}{entry.name}", value))
    return found


def _assign(config: T, dotted: str, parts: list[str], text: str) -> T:
    kind = type(config)
    hints = typing.get_type_hints(kind)
    where = dotted[: len(dotted) - len(".".join(parts))]
    name, rest = current_option(parts[0], where, "the command line"), parts[1:]
    dotted = ".".join([f"{where}{name}", *rest])
    if name not in hints:
        raise _unknown(dotted, kind, where)
    if is_dataclass(hints[name]) != bool(rest):
        raise _unknown(dotted, kind, where)
    current = getattr(config, name)
    value = _assign(current, dotted, rest, text) if rest else _typed(dotted, hints[name], text)
    return _built(kind, {**_shallow(config), name: value})


def _unknown(dotted: str, kind: type, where: str) -> MienError:
    known = [f"{where}{name}" for name, _ in _leaves(kind())]
    last = dotted.rsplit(".", 1)[-1]
    near = [name for name in known if name.rsplit(".", 1)[-1] == last]  # steps => stage1.steps
    near = near or difflib.get_close_matches(dotted, known, n=1, cutoff=0.6)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known[:12])}, ..."
    )
    return MienError(f"unknown option {dotted!r}; {hint}")


def _typed(dotted: str, hint: Any, value: Any) -> Any:
    origin, choices = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None or (isinstance(value, str) and value.lower() in _NOTHING):
            return None
        return _typed(dotted, next(c for c in choices if c is not types.NoneType), value)
    if origin is Literal:
        for choice in choices:
            if value == choice or str(value) == str(choice):
                return choice
        raise MienError(f"{dotted} takes {', '.join(map(str, choices))}, not {value!r}")
    if origin is tuple:
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)):
            raise MienError(f"{dotted} takes a list, not {value!r}")
        kept = [item for item in items if item != ""]
        return tuple(_typed(dotted, choices[0], item) for item in kept)
    return _scalar(dotted, hint, value)


def _scalar(dotted: str, kind: type, value: Any) -> Any:
    text = str(value).strip()
    try:
        if kind is bool:
            return _WORDS[text.lower()]
        if kind is int:
            number = float(text.replace("_", ""))
            if isinstance(value, bool) or not number.is_integer():
                raise ValueError
            return int(number)
        if kind is float:
            if isinstance(value, bool):
                raise ValueError
            return float(text.replace("_", ""))
        if kind is str and isinstance(value, (str, int, float)):
            return text
    except (KeyError, ValueError, OverflowError):
        pass
    name = {"bool": "true or false", "int": "a whole number", "float": "a number"}
    wanted = name.get(kind.__name__, "text")
    raise MienError(f"{dotted} takes {wanted}, not {value!r}")
