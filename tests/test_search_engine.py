"""Both engines find what the cosine in float32 of all finds."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Literal

import numpy as np
import pytest

from made_faces import people
from mien.search.codes import Codes, encode
from mien.search.engine import Engine

ENGINES = ["numpy", pytest.param("faiss", marks=pytest.mark.faiss)]


@pytest.fixture(autouse=True)
def _needs_faiss(request) -> None:
    if request.node.get_closest_marker("faiss"):
        pytest.importorskip("faiss", reason="needs mien[search]")


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("dim", [16, 24, 128, 512])
def test_the_nearest_ten_are_those_of_float32(name: Literal["faiss", "numpy"], dim: int) -> None:
    codes = people(1500, 4, dim, noise=0.8)
    asked = people(1500, 4, dim, noise=0.8, seed=0)[::200]
    asked = asked + 0.3 * people(30, 1, dim, seed=2)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    engine = Engine(Codes(dim).plus(encode(codes)), name=name)
    positions, cosines = engine.nearest(asked, 10)
    exact = asked @ codes.T
    expected = np.argsort(-exact, axis=1)[:, :10]
    found = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(positions, expected, strict=True)])
    # Equal up to what two bytes round off: at most one of 300 at the border.
    assert found >= 0.996
    np.testing.assert_allclose(cosines, np.take_along_axis(exact, positions, 1), atol=5e-5)
    assert (np.diff(cosines, axis=1) <= 0).all()


@pytest.mark.faiss
@pytest.mark.parametrize("dim", [1, 2, 3, 17])
def test_short_and_odd_codes_are_searched_as_numpy_does(dim: int) -> None:
    codes = Codes(dim).plus(encode(people(4000, 1, dim)))
    asked = people(20, 1, dim, seed=3)
    ours, theirs = Engine(codes, name="faiss"), Engine(codes, name="numpy")
    for top in (1, 20, 400, 3000):
        one, other = ours.nearest(asked, top)[1], theirs.nearest(asked, top)[1]
        np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.faiss
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.1, 0.3])
def test_thousands_of_faces_of_one_person_are_told_apart(noise: float) -> None:
    # Nearer to each other than the coarse codes can tell: more candidates, at last all.
    crowd = people(1, 6000, 64, noise=noise)
    others = people(6000, 1, 64, seed=1)
    codes = Codes(64).plus(encode(np.concatenate([others, crowd])))
    asked = np.concatenate([crowd[:3], others[:3]])
    ours, theirs = Engine(codes, name="faiss"), Engine(codes, name="numpy")
    one, other = ours.nearest(asked, 20), theirs.nearest(asked, 20)
    np.testing.assert_allclose(one[1], other[1], atol=2e-6)
    if noise:  # of copies any may be named
        assert np.mean(one[0] == other[0]) > 0.99


@pytest.mark.faiss
def test_codes_of_zeros_and_large_numbers_are_searched() -> None:
    rng = np.random.default_rng(0)
    codes = (rng.random((3000, 40)) < 0.05) * rng.exponential(1, (3000, 40)) ** 3
    codes[:, 7] = 0
    codes = codes[codes.any(axis=1)]
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    asked = codes[::300].astype(np.float32)
    both = [Engine(Codes(40).plus(encode(codes)), name=name) for name in ("faiss", "numpy")]
    one, other = (engine.nearest(asked, 20)[1] for engine in both)
    np.testing.assert_allclose(one, other, atol=2e-6)


@pytest.mark.faiss
def test_parts_on_threads_are_one_index() -> None:
    codes = people(8000, 5, 32)
    whole = Codes(32).plus(encode(codes[:1000])).plus(encode(codes[1000:]))
    kept = np.arange(len(codes)) % 7 != 0
    ours, theirs = Engine(whole.only(kept), name="faiss"), Engine(whole.only(kept), name="numpy")
    for top in (1, 20, 2000):
        one, other = ours.nearest(codes[:300], top), theirs.nearest(codes[:300], top)
        np.testing.assert_allclose(one[1], other[1], atol=1e-6)  # nobody is left out
        assert np.mean(one[0] == other[0]) > 0.999, top


def test_numpy_does_it_where_faiss_is_not_there() -> None:
    code = (
        "import sys; sys.modules['faiss'] = None; import importlib.util as u; "
        "u.find_spec = lambda n: None; from mien.search.engine import engine_name; "
        "print(engine_name())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "numpy\n"


def test_the_help_imports_neither_faiss_nor_sklearn() -> None:
    code = (
        "import sys; from mien.cli.main import run; run(['--help']); run(['search', '--help']); "
        "import mien.search; print([m for m in ('faiss', 'sklearn', 'torch', 'numpy', 'pyarrow') "
        "if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stderr == "[]\n"
