from __future__ import annotations

import pytest
import yaml

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
    ("assignment", "told"),
    [
        ("stage1.stesp=3", "did you mean stage1.steps"),
        ("batch_size=3", "did you mean stage1.batch_size"),
        ("stage1=3", "stage1"),
        ("stage1.steps.more=3", "stage1.steps.more"),
        ("zzz=1", "unknown option 'zzz'"),
        ("stage1.steps", "key=value"),
        ("stage1.steps=1.5", "whole number"),
        ("stage1.steps=-1", "at least 0"),
        ("loop.compile=maybe", "true or false"),
        ("loop.precision=bf17", "32-true"),
        ("loop.ema_decay=nan", "from 0 to 1"),
        ("model.networks=huge", "huge"),
        ("model.image_size=65", "65"),
    ],
)
def test_a_wrong_override_is_refused_and_explained(assignment, told):
    with pytest.raises(MienError, match=told):
        load_config("small", [assignment])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stage1: 3", "group of options"),
        ("stage1: {steps: yes}", "whole number"),
        ("stage9: {}", "stage9"),
        ("[1, 2]", "no keys"),
        ("a: [", "cannot read"),
    ],
)
def test_a_wrong_file_is_refused_and_explained(tmp_path, text, told):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(MienError, match=told):
        load_config(str(file))


def test_a_missing_file_names_the_presets():
    with pytest.raises(MienError, match="paper, small"):
        load_config("tiny")


def test_differences_are_named():
    one = TrainConfig()
    other = override(one, ["loop.seed=4", "stage1.loss_weights.cross=9"])
    assert differences(one, other) == ["loop.seed", "stage1.loss_weights.cross"]
    assert differences(one, from_mapping(TrainConfig, to_mapping(one))) == []
