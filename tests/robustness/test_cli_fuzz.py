"""Headers of weights with every field bent."""

import json

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, strategies as st

from robustness.cases import case, check

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.slow  # 25 runs
@given(JSON)
def test_any_json(place, capfd, value):
    (place / "tiny" / "config.json").write_text(json.dumps(value))
    check(case("render x.png --out y.png --weights tiny"), place, capfd)
