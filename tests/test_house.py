"""The rules of the house that no linter knows."""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from mien.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "mien").rglob("*.py"))
FILES = sorted([*SOURCES, *(ROOT / "tests").rglob("*.py")])
OFFERING = ("mien", "search")
"""Folders whose `__init__` offers names, each imported when it is asked for."""
HEAVY = ("torch", "pandas", "cv2", "av", "numba", "pyarrow", "sklearn", "faiss", "lightning_fabric")


def name_of(path):
    return str(path.relative_to(ROOT))


def functions(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_is_something_to_look_at():
    assert len(SOURCES) > 20


# One test for all files: a test of its own for each of a thousand would take longer to run.
def test_files_are_short():
    assert [p for p in FILES if len(p.read_text().splitlines()) >= 400] == []


def test_functions_are_short():
    for path in FILES:
        for node in functions(ast.parse(path.read_text())):
            # A command's options are its documentation: cli functions are counted by their body.
            start = node.body[0].lineno if "cli" in path.parts else node.lineno
            assert (node.end_lineno or 0) - start < 60, f"{name_of(path)}: {node.name}"


def test_every_module_says_what_it_offers():
    for path in SOURCES:
        check_offer(path, ast.parse(path.read_text()))


def check_offer(path, tree):
    where = name_of(path)
    assert ast.get_docstring(tree), f"{where}: a module starts with what it is for"
    names = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    ]
    offers = path.name == "__init__.py" and path.parent.name in OFFERING
    if path.name == "__init__.py" and not offers:
        assert not names, where
        assert len(tree.body) == 1, f"{where}: an inner folder's __init__ holds a docstring only"
        return
    assert len(names) == 1, where
    defined = {getattr(node, "name", None) for node in tree.body}
    defined |= {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    # What a module imports to hand on is its offer too.
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    defined |= {alias.asname or alias.name for node in imports for alias in node.names}
    assert len(set(names[0])) == len(names[0]), where
    if not offers:
        assert set(names[0]) <= defined, (where, set(names[0]) - defined)


def test_no_file_is_a_drawer():
    drawers = {"utils", "misc", "common", "helpers"}
    assert [path for path in SOURCES if path.stem in drawers] == []


def test_nothing_is_left_to_do():
    left = re.compile(r"\b(TODO|FIXME|XXX)\b")
    assert [path for path in SOURCES if left.search(path.read_text())] == []


@pytest.mark.parametrize("module", ["mien", "mien.cli.main", "mien.search"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def rows(text):
    """Cells of the Markdown tables whose header starts with `equation`."""
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            inside = False
        elif cells[0].lower() == "equation":
            inside = True
        elif inside and not set(cells[0]) <= set("-: "):
            yield cells


def test_every_equation_has_its_function():
    found = list(rows((ROOT / "docs" / "equations.md").read_text()))
    assert found
    for cells in found:
        for name in re.findall(r"`([\w.]+\.[\w.]+)`", cells[1]):
            module, *attributes = split(name)
            thing = importlib.import_module(module)
            for attribute in attributes:
                thing = getattr(thing, attribute)
        assert re.search(r"`[\w.]+\.[\w.]+`", cells[1]), cells


def test_the_architecture_names_what_exists():
    text = (ROOT / "docs" / "architecture.md").read_text()
    top = {path.stem for path in (ROOT / "src" / "mien").iterdir()}
    for name in re.findall(r"`([a-z_]\w*(?:\.\w+)+)`", text):
        if name.split(".")[0] in top and not name.endswith(".py"):
            module, *attributes = split(name)
            thing = importlib.import_module(module)
            for attribute in attributes:
                thing = getattr(thing, attribute)


def split(name):
    """`render.shade.shade` -> (`mien.render.shade`, `shade`); `mien.` may be left out."""
    words = name.removeprefix("mien.").split(".")
    for end in range(len(words), 0, -1):
        module = ROOT.joinpath("src", "mien", *words[:end])
        if module.with_suffix(".py").exists() or (module / "__init__.py").exists():
            return ["mien." + ".".join(words[:end]), *words[end:]]
    raise AssertionError(f"no module for {name}")


def commands(text):
    """Every `mien ...` line of the fenced blocks, continued lines joined."""
    for block in re.findall(r"```(?:sh|bash|console)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("mien "):
                yield shlex.split(line.strip(), comments=True)


DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def test_the_readme_shows_commands():
    assert len(list(commands((ROOT / "README.md").read_text()))) >= 5


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_documented_commands_and_options_exist(path, capsys):
    from mien.cli.main import run

    for words in commands(path.read_text()):
        if words[1].startswith("-"):
            assert run(words[1:]) == 0
            continue
        assert words[1] in COMMANDS, words
        assert run([words[1], *sub_command(words), "--help"]) == 0
        text = capsys.readouterr().out
        for option in (word.split("=")[0] for word in words[2:] if word.startswith("--")):
            assert re.search(rf"{re.escape(option)}\b", text), f"{words[1]} has no {option}"


def sub_command(words):
    """`mien pretrain latentface ...`: the help that lists the options is one level down."""
    module = importlib.import_module(f"mien.cli.{words[1]}")
    return words[2:3] if hasattr(module, "app") and len(words) > 2 else []


def option_names(config, where=""):
    """Dotted names of all options of a configuration, groups included."""
    for entry in fields(config):
        yield f"{where}{entry.name}"
        value = getattr(config, entry.name)
        if is_dataclass(value):
            yield from option_names(value, f"{where}{entry.name}.")


# The glossary lists old names, too.
@pytest.mark.parametrize(
    "path", [path for path in DOCUMENTS if path.stem != "glossary"], ids=name_of
)
def test_documented_training_options_exist(path):
    from mien.train.options import TrainConfig
    from mien.train.recipes.detector_options import DetectorTrainConfig
    from mien.train.recipes.distill_emib_options import DistillEmibConfig
    from mien.train.recipes.distill_encoder_options import EncoderDistillConfig
    from mien.train.recipes.distill_options import DistillConfig
    from mien.train.recipes.gaze_options import GazeTrainConfig
    from mien.train.recipes.recognition_options import RecognitionTrainConfig

    kinds = (
        *(TrainConfig, GazeTrainConfig, RecognitionTrainConfig, DetectorTrainConfig),
        *(DistillConfig, DistillEmibConfig, EncoderDistillConfig),
    )
    known = {name for kind in kinds for name in option_names(kind())}
    groups = "model|data|loop|stage1|stage2|localizer|emib|distill|recognition|detector"
    text = path.read_text()
    found = re.findall(rf"(?<![\w./])((?:{groups})\.[\w.]+)=", text)
    found += re.findall(r"`((?:loop|stage1|stage2|localizer|emib|distill)\.[\w.]+)`", text)
    assert not [name for name in found if name not in known]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_documented_benchmarks_and_their_options_exist(path):
    text = path.read_text().replace("\\\n", " ")
    for module, options in re.findall(r"python (?:-m )?(benchmarks[/.][\w/.]+)([^\n`]*)", text):
        script = ROOT / (module.removesuffix(".py").replace(".", "/") + ".py")
        source = script.read_text()
        for option in re.findall(r"--[\w-]+", options):
            assert f'"{option}"' in source, f"{script.name} has no {option}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_between_documents_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_version_is_said_once_and_the_same():
    import tomllib

    import mien

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/mien/version.py"
    assert f"## [{mien.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
