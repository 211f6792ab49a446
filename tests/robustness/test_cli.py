"""Bad and hard inputs of `card`, `demo`, `doctor` and of weights in every command."""

import pytest

from robustness.cases import case, check

CASES = [
    case("card w", message="no weights at w"),
    case("card w --has tiny", {"w/config.json": "{"}, 2, "has no list of the images"),
    case("card tiny", exit=0, message="# tiny"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case, place, capfd):
    check(case, place, capfd)
