from __future__ import annotations

import importlib
import importlib.util
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from made_factors import Describing
from mien import evaluate
from mien.errors import MienError
from mien.evaluate.by_weights import factors_by_weights
from mien.evaluate.protocol import EvalContext, FactorColumns, Images, Protocol, Result, Score
from mien.evaluate.protocols import PROTOCOLS, every_protocol, find_protocol
from mien.evaluate.runner import find_data_sets, run_all, run_protocol
from mien.model import Model

SPEC = importlib.util.spec_from_file_location(
    "toy_protocol", Path(__file__).with_name("toy_protocol.py")
)
assert SPEC is not None
assert SPEC.loader is not None
toy = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(toy)

FACTORS = {"identity", "expression", "gaze", "pose", "light", "shape", "factors"}


@pytest.fixture
def context(tiny_model: Model) -> EvalContext:
    return EvalContext(factors_by_weights(tiny_model), tiny_model)


def test_a_protocol_is_run(context: EvalContext, tmp_path: Path) -> None:
    data = toy.make_set(tmp_path / "set")
    run = run_protocol(toy.BRIGHTNESS, data, context)
    assert run.folder == "set"
    assert run.seconds > 0
    assert run.result is not None
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted(data.iterdir()):
            archive.write(path, path.name)
    zipped = run_protocol(toy.BRIGHTNESS, tmp_path / "set.zip", context)
    assert zipped.result is not None
    assert zipped.result.scores[0] == run.result.scores[0]


def test_data_and_model_must_be_there(context: EvalContext, tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"brightness wants brightness\.txt.*makers of the toy"):
        run_protocol(toy.BRIGHTNESS, tmp_path / "none", context)
    data = toy.make_set(tmp_path / "set")
    with pytest.raises(MienError, match="rendering renders faces, which a table cannot"):
        run_protocol(toy.RENDERING, data, EvalContext(context.describe))
    assert run_protocol(toy.RENDERING, data, context).result is not None


def test_scores_of_one_name_are_refused(context: EvalContext, tmp_path: Path) -> None:
    score = Score("a", 1, "", 1)
    for scores in ((), (score, score)):
        bad = replace(toy.BRIGHTNESS, run=lambda *_, scores=scores: Result(scores, ""))
        with pytest.raises(ValueError, match="no scores, or two of one name"):
            run_protocol(bad, tmp_path, context)


def test_one_that_fails_does_not_stop_the_others(context: EvalContext, tmp_path: Path) -> None:
    good, bad = toy.make_set(tmp_path / "good"), tmp_path / "bad"
    bad.mkdir()

    def burst(data: Path, _: EvalContext) -> Result:
        raise OSError(f"no access to {data}/x")

    reported = []
    runs = run_all(
        [(toy.BRIGHTNESS, bad), (replace(toy.BRIGHTNESS, run=burst), good), (toy.BRIGHTNESS, good)],
        context,
        root=tmp_path.parent,
        on_run=reported.append,
    )
    name = tmp_path.name
    assert [run.folder for run in runs] == [f"{name}/bad", f"{name}/good", f"{name}/good"]
    assert [run.error for run in runs] == [
        "brightness: brightness.txt is missing",
        f"unforeseen OSError: no access to {name}/good/x",
        "",
    ]
    assert [run.result is None for run in runs] == [True, True, False]
    assert tuple(reported) == runs


def test_data_sets_are_found_in_folders_and_zips(tmp_path: Path) -> None:
    toy.make_set(tmp_path / "b")
    toy.make_set(tmp_path / ".hidden")
    (tmp_path / "c" / "deep").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("x")
    for path in (tmp_path / "a.zip", tmp_path / "c" / "images.zip", tmp_path / "b" / "x.zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("brightness.txt", "")
    never = replace(toy.BRIGHTNESS, name="never", matches=lambda path: False)
    found = find_data_sets(tmp_path, [never, toy.BRIGHTNESS])
    assert [protocol.name for protocol, _ in found] == ["brightness"] * 3
    places = [path.relative_to(tmp_path).as_posix() for _, path in found]
    assert places == ["a.zip", "b", "c/images.zip"]
    with pytest.raises(MienError, match=r"nothing in .* is a data set that is known"):
        find_data_sets(tmp_path, [never])
    with pytest.raises(MienError, match="is no folder"):
        find_data_sets(tmp_path / "none", [toy.BRIGHTNESS])


def test_the_toy_set_answers_with_its_own_numbers(tmp_path: Path) -> None:
    import numpy as np

    def describe(images: Images, columns: object, /) -> FactorColumns:
        brightness = np.array([images.read(row).mean() for row in range(len(images))])
        there = np.ones(len(images), dtype=bool)
        return FactorColumns(there, there, {"light_ambient": brightness})

    run = run_protocol(
        toy.BRIGHTNESS, toy.make_set(tmp_path / "set"), EvalContext(Describing(describe))
    )
    assert run.result is not None
    assert run.result.scores[0].value == 250
    assert run.result.scores[0] == toy.result(250.0).scores[0]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_of_the_list_is_there(name: str, tmp_path: Path) -> None:
    protocol = find_protocol(name)
    assert isinstance(protocol, Protocol)
    assert protocol.name == name
    assert protocol.factor in FACTORS
    for text in (protocol.title, protocol.layout, protocol.source):
        assert text.strip()
        assert "pip install" not in text
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"no zip")
    for place in ("empty", "broken.zip", "none"):
        assert protocol.matches(tmp_path / place) is False


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_says_what_is_missing(name: str, tmp_path: Path) -> None:
    protocol = find_protocol(name)

    def describe(images: Images, columns: object, /) -> FactorColumns:
        raise AssertionError("there is nothing to describe")

    with pytest.raises(MienError) as raised:
        protocol.run(tmp_path, EvalContext(Describing(describe)))
    assert "\n" not in str(raised.value)


def test_an_unknown_name_is_refused_with_a_hint() -> None:
    near = next(iter(PROTOCOLS))
    with pytest.raises(MienError, match=f"no protocol {near}x; did you mean {near}"):
        find_protocol(f"{near}x")
    assert [protocol.name for protocol in every_protocol()] == list(PROTOCOLS)


def test_the_list_misses_no_protocol() -> None:
    root = Path(evaluate.__path__[0])
    for path in sorted(root.glob("*/*.py")):
        module = importlib.import_module(f"mien.evaluate.{path.parent.name}.{path.stem}")
        for thing in vars(module).values():
            if isinstance(thing, Protocol):
                assert find_protocol(thing.name) is thing
