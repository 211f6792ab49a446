"""Headers of weights with every field bent."""

import json

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given

from robustness.bent import JSON
from robustness.cases import case, check


@pytest.mark.slow  # 25 runs
@given(JSON)
def test_any_json(place, capfd, value):
    (place / "tiny" / "config.json").write_text(json.dumps(value))
    check(case("render x.png --out y.png --weights tiny"), place, capfd)
