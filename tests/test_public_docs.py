"""Everything public is documented, and what the documents show fits the program."""

import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest
import typer

import mien
from mien import model, types, weights
from mien.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
# What stands in a docstring that gives the shape of a tensor.
SHAPE = re.compile(r"\[[A-Za-z*0-9][\w *+'/]*(, [\w *+'/]+)*\]|of any shape")


def methods(owner):
    """Public methods and properties of a class, inherited ones too."""
    for name, thing in inspect.getmembers(owner):
        if not name.startswith("_") and (callable(thing) or isinstance(thing, property)):
            yield f"{owner.__name__}.{name}", getattr(thing, "fget", thing)


def public():
    """Every public function, class, method and property: name, object."""
    for name in mien.__all__:
        if not name.startswith("_"):
            yield f"mien.{name}", getattr(mien, name)
    for module in (model, types, weights):
        for name in module.__all__:
            if callable(thing := getattr(module, name)):
                yield f"{module.__name__}.{name}", thing
    for owner in (model.Model, types.Factors):
        yield from methods(owner)


FOUND = dict(public())


@pytest.mark.parametrize("name", FOUND)
def test_it_has_a_docstring_that_gives_shapes(name):
    thing = FOUND[name]
    text = inspect.getdoc(thing) or ""
    assert text, f"{name} has no docstring"
    if inspect.isfunction(thing):
        types_used = str(inspect.signature(thing))
        if re.search(r"\b(Tensor|Pose|Light)\b", types_used):
            assert SHAPE.search(text), f"{name} takes or gives tensors: give their shapes"


@pytest.mark.parametrize("name", FOUND)
def test_what_it_raises_is_documented(name):
    thing = FOUND[name]
    if inspect.isfunction(thing) and "raise MienError" in inspect.getsource(thing):
        assert "Raises:" in (inspect.getdoc(thing) or ""), f"{name} raises MienError"


def test_every_field_of_a_batch_is_described():
    for name in types.__all__:
        source = inspect.getsource(getattr(types, name))
        described = re.findall(r"^    (\w+): [^\n]+\n    \"\"\"", source, re.MULTILINE)
        assert described == list(getattr(types, name).__dataclass_fields__), name


def leaves():
    """Every command that does something, with the words that lead to it."""
    for name in COMMANDS:
        module = importlib.import_module(f"mien.cli.{name}")
        app = getattr(module, "app", None)
        if app and not app.registered_callback:  # not a group: one command with its own help
            yield name, app.registered_commands[0].callback
        elif app:
            for command in app.registered_commands:
                yield f"{name} {command.name or command.callback.__name__}", command.callback
        else:
            yield name, getattr(module, name)


LEAVES = dict(leaves())


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_and_option_is_documented(name):
    command = LEAVES[name]
    assert inspect.getdoc(command), name
    for option in inspect.signature(command, eval_str=True).parameters.values():
        if option.annotation is typer.Context:
            continue
        (info,) = [
            note
            for note in option.annotation.__metadata__
            if isinstance(note, typer.models.ParameterInfo)
        ]
        assert info.help or info.hidden, f"{name}: {option.name} has no help"


def fenced(text, kind):
    """Blocks of code of one kind, with their indentation taken off."""
    for block in re.findall(rf"^( *)```{kind}\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE):
        yield inspect.cleandoc("\n" + block[1])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_python_in_documents_compiles_and_imports_what_exists(path):
    for code in fenced(path.read_text(), "python"):
        compile(code, str(path), "exec")
        for home, names in re.findall(r"^from (mien[\w.]*) import ([\w, ]+)$", code, re.MULTILINE):
            for name in names.split(","):
                assert hasattr(importlib.import_module(home), name.strip()), f"{path}: {name}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_command_lines_in_documents_parse(path):
    for block in fenced(path.read_text(), "(?:sh|bash|console)"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.strip().partition(" > ")[0], comments=True)
            if words[:1] != ["mien"] or words[1].startswith("-"):
                continue
            depth = 3 if " ".join(words[1:3]) in LEAVES else 2
            app = typer.Typer(add_completion=False)
            app.command()(LEAVES[" ".join(words[1:depth])])
            # Raises a usage error where an option is unknown, missing or of the wrong kind.
            typer.main.get_command(app).make_context("mien", words[depth:])
