import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from made_service import base64_of, client_of, open_service, picture, small_model
from mien.errors import MienError
from mien.similarities import CODES, LEVELS, PairQuantiles, Similarities, quantiles_of
from mien.verification import Reference
from mien.weights import SIMILARITIES_FILE, shipped_folder, weights_id


def made(code="identity", *, width=16, seed=0):
    """Quantiles of pairs of which those of one person are more alike."""
    rng = np.random.default_rng(seed)
    same, different = (np.tanh(rng.normal(m, 0.3, 4000)) for m in (0.5, 0.0))
    return quantiles_of(code, np.zeros(width), same, different)


@pytest.fixture
def folder(tiny_folder, tmp_path) -> Path:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_folder, folder)
    Similarities(weights_id(folder), "nobody", (made(width=32), made("expression", seed=1))).save(
        folder
    )
    return folder


def test_a_similarity_is_placed_among_the_pairs():
    same, different = np.linspace(0, 1, 1001), np.linspace(-1, 0.5, 1501)
    pairs = quantiles_of("identity", np.ones(2), same, different)
    np.testing.assert_allclose(pairs.below(0.25), (0.25, 1.25 / 1.5), atol=1e-3)
    assert pairs.below(-1) == (0, 0)
    assert pairs.below(1) == (1, 1)
    assert pairs.similarity(np.array([2.0, 1]), np.array([3.0, 1])) == 1
    assert pairs.similarity(np.array([2.0, 1]), np.array([1.0, 2])) == pytest.approx(0)


def test_what_was_written_is_read(folder):
    found = Similarities.read(folder)
    assert found is not None
    assert (found.measured_on, [one.code for one in found.codes]) == (
        "nobody",
        ["identity", "expression"],
    )
    np.testing.assert_array_equal(found.codes[0].same_person, made().same_person)


def test_weights_without_measured_pairs_have_none(tiny_folder):
    assert Similarities.read(tiny_folder) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "its format is 'other'"),
        ({"weights": "0" * 12}, "was measured for weights 000000000000"),
        ({"levels": [0, 1]}, "of other levels"),
        ({"levels": None}, "is damaged"),
        ({"codes": {"pose": {"mean": [], "same_person": [], "different_people": []}}}, "no such"),
        ({"codes": {"identity": {"mean": [0.0]}}}, "it lacks 'same_person'"),
        ({"codes": [1]}, "is damaged"),
    ],
)
def test_damaged_files_are_refused(folder, change, message):
    path = folder / SIMILARITIES_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(MienError, match=message):
        Similarities.read(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.linspace(1, 0, len(LEVELS)), "never fall"), (np.full(len(LEVELS), 2.0), r"in \[-1, 1\]")],
)
def test_quantiles_rise_within_what_a_cosine_may_be(values, message):
    with pytest.raises(ValueError, match=message):
        PairQuantiles("identity", np.zeros(2), values, values)


def test_the_shipped_weights_have_quantiles_of_all_codes():
    found, reference = Similarities.read(shipped_folder()), Reference.read(shipped_folder())
    assert found is not None
    assert [one.code for one in found.codes] == list(CODES)
    for one in found.codes:
        middle = LEVELS.index(0.5)
        assert one.same_person[middle] > one.different_people[middle], one.code
    compared = next(one for one in found.codes if one.code == reference.code)
    np.testing.assert_allclose(compared.mean, reference.mean, atol=1e-6)
    # The threshold at one in a hundred was measured on the same people.
    below = compared.below(reference.threshold(0.01).similarity)[1]
    assert below == pytest.approx(0.99, abs=0.003)


def test_a_comparison_says_where_every_code_falls(monkeypatch):
    service = open_service(monkeypatch)
    service.similarities = Similarities(
        service.model.weights_id, "nobody", (made(), made("expression", width=7))
    )
    with client_of(service) as client:
        files = {"first": picture(1), "second": picture(2)}
        found = client.post("/v1/compare", files=files).json()
        itself = client.post("/v1/compare", files={**files, "second": picture(1)}).json()
    (one,) = found["codes"]  # a mean of another length is of other weights
    assert one["code"] == "identity"
    # The same code and, here, the same mean as what the thresholds are for.
    assert one["similarity"] == pytest.approx(found["similarity"], abs=1e-6)
    assert found["codes_measured_on"] == "nobody"
    same, different = made().below(one["similarity"])
    assert one["same_person"]["less_alike"] == pytest.approx(same)
    assert one["different_people"]["less_alike"] == pytest.approx(different)
    assert [q["fraction"] for q in one["same_person"]["quantiles"]] == list(LEVELS)
    assert itself["codes"][0]["similarity"] == pytest.approx(1)
    assert itself["codes"][0]["same_person"]["less_alike"] == 1


def test_faces_of_an_image_are_compared_by_number(monkeypatch):
    with client_of(open_service(monkeypatch, model=small_model(gaze=False))) as client:
        body = {"first": base64_of(picture(1)), "second": base64_of(picture(2))}
        named = client.post("/v1/compare?first_face=0&second_face=0", json=body).json()
        assert named == client.post("/v1/compare", json=body).json()
        assert named["codes"] == []
        missing = client.post("/v1/compare?second_face=1", json=body)
        assert missing.status_code == 422
        assert missing.json()["error"]["message"].startswith("second shows 1 faces")
