from __future__ import annotations

import pytest
import yaml

from mien.aliases import OPTIONS
from mien.errors import MienError
from mien.train.config import (
    PRESETS,
    differences,
    from_mapping,
    load_config,
    override,
    to_mapping,
    to_yaml,
)
from mien.train.options import TrainConfig
from mien.train.recipes.distill_options import DistillConfig
from mien.train.recipes.gaze_options import GazeTrainConfig


@pytest.mark.parametrize("name", ["small", "paper"])
def test_presets_are_read_and_say_their_networks(name):
    assert load_config(name).model.networks == name


def test_presets_are_the_two_that_the_documentation_names():
    assert sorted(path.stem for path in PRESETS.glob("*.yaml")) == ["paper", "small"]


def test_resolved_yaml_reads_back_to_an_equal_configuration(tmp_path):
    changes = ["stage1.steps=7", "data.sources=a b,c", "stage1.loss_weights.cross=0.25"]
    config = load_config("small", changes)
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert load_config(str(file)) == config
    assert config.data.sources == ("a b", "c")


def test_values_are_typed_by_their_field():
    config = override(
        TrainConfig(),
        ["stage1.steps=2_000", "loop.compile=true", "stage1.learning_rate=1e-4", "data.cache=12"],
    )
    assert config.stage1.steps == 2000
    assert config.loop.compile is True
    assert config.stage1.learning_rate == 1e-4
    assert config.data.cache == "12"


def test_a_yaml_number_that_yaml_takes_for_text_is_still_a_number():
    mapping = yaml.safe_load("stage1: {learning_rate: 1e-4}")
    assert from_mapping(TrainConfig, mapping).stage1.learning_rate == 1e-4


def test_the_last_of_two_assignments_wins():
    assert override(TrainConfig(), ["loop.seed=1", "loop.seed=2"]).loop.seed == 2


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("stage1.stesp=3", "did you mean stage1.steps"),
        ("batch_size=3", "did you mean stage1.batch_size"),
        ("stage1=3", "stage1"),
        ("stage1.steps.more=3", "stage1.steps.more"),
        ("zzz=1", "unknown option 'zzz'"),
        ("stage1.steps", "key=value"),
        ("stage1.steps=1.5", "whole number"),
        ("stage1.steps=-1", "from 0 to"),
        ("loop.compile=maybe", "true or false"),
        ("loop.precision=bf17", "32-true"),
        ("loop.ema_decay=nan", "from 0 to 1"),
        ("model.networks=huge", "huge"),
        ("model.image_size=65", "65"),
    ],
)
def test_a_wrong_override_is_refused_and_explained(assignment, message):
    with pytest.raises(MienError, match=message):
        load_config("small", [assignment])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage1: 3", "group of options"),
        ("stage1: {steps: yes}", "whole number"),
        ("stage9: {}", "stage9"),
        ("[1, 2]", "no keys"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_wrong_file_is_refused_and_explained(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(MienError, match=message):
        load_config(str(file))


def test_a_missing_file_names_the_presets():
    with pytest.raises(MienError, match="paper, small"):
        load_config("tiny")


def test_differences_are_named():
    one = TrainConfig()
    other = override(one, ["loop.seed=4", "stage1.loss_weights.cross=9"])
    assert differences(one, other) == ["loop.seed", "stage1.loss_weights.cross"]
    assert differences(one, from_mapping(TrainConfig, to_mapping(one))) == []


OLD_LATENTFACE = """
loop: {clip: 0.5, keep: 3, sheet_every: 7}
stage1:
  final_share: 0.1
  stills: 0.25
  start: here
  weights: {spread: 2, least_spread: 0.2, beyond: 3, largest_turn: 0.5, edge: 1, edge_depth: 0.1}
data:
  {shift: 0.01, zoom: 0.02, turn: 0.03, mirror: 0.4, together: true, colour: 0.05, grey: 0.6,
   blur: 0.7, noise: 0.08, stream_share: 0.9}
"""
OLD_GAZE = """
base: there
finder: {steps: 3, stills: 0.1}
emib:
  strip_share: 0.3
  start: here
  weights: {attended: 2, unattended: 1, every: 3, contrast: 0.4, rate: 0.5, keep: 0.6,
            keep_unattended: 0.7, no_face: 0.8, jitter: 0.9}
"""
OLD_DISTILL = "distill: {final_share: 0.1, stills: 0.2, held_out: 0.3, most_held_out: 4}"
CASES = [(TrainConfig, OLD_LATENTFACE), (GazeTrainConfig, OLD_GAZE), (DistillConfig, OLD_DISTILL)]


def leaves(mapping, where=""):
    for name, value in mapping.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{where}{name}.")
        else:
            yield f"{where}{name}", value


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_old_names_are_read_from_files_and_written_under_the_new_ones(kind, text):
    with pytest.warns(DeprecationWarning, match="is now called"):
        config = from_mapping(kind, yaml.safe_load(text))
    read = sorted(str(value) for _, value in leaves(yaml.safe_load(text)))
    changed = set(differences(kind(), config))
    assert len(changed) == len(read)
    written = {name: str(value) for name, value in leaves(to_mapping(config)) if name in changed}
    assert sorted(map(float, filter(is_number, written.values()))) == sorted(
        map(float, filter(is_number, read))
    )
    assert from_mapping(kind, yaml.safe_load(to_yaml(config))) == config  # without a warning


def is_number(text):
    return text.replace(".", "").isdigit()


@pytest.mark.parametrize(("kind", "text"), CASES)
def test_old_names_are_read_from_the_command_line(kind, text):
    mapping = yaml.safe_load(text)
    words = [f"{name}={value}" for name, value in leaves(mapping)]
    with pytest.warns(DeprecationWarning, match="the configuration"):
        expected = from_mapping(kind, mapping)
    with pytest.warns(DeprecationWarning, match="the command line"):
        assert override(kind(), words) == expected


def test_an_old_name_is_warned_of_in_one_line_that_has_the_new_one():
    with pytest.warns(DeprecationWarning, match="yaw_std") as warned:
        override(TrainConfig(), ["stage1.loss_weights.spread=2"])
    (warning,) = warned
    assert str(warning.message) == (
        "the command line: stage1.loss_weights.spread is now called stage1.loss_weights.yaw_std"
    )


def test_dotted_old_names_stay_in_their_group():
    for old, new in OPTIONS.items():
        assert ("." in old) == ("." in new), old
        assert old.rpartition(".")[0] == new.rpartition(".")[0]
