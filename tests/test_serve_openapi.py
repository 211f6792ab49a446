"""The OpenAPI document: current, and kept under requests that are made up from it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck as Health
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

import made_up_requests  # noqa: F401 - registers the images
from made_service import client_of, open_service
from mien.cli.main import run
from mien.serve.app import openapi_document
from served import Served, with_thresholds

ROOT = Path(__file__).parents[1]
EXAMPLES = int(os.environ.get("MIEN_SERVE_EXAMPLES", "3"))
"""Requests made up for each operation; 200 for the long run."""
TOKEN = "t" * 40


def test_the_document_is_current(capsys):
    assert run(["serve", "--print-openapi"]) == 0
    printed = capsys.readouterr().out
    kept = ROOT / "docs" / "openapi.json"
    assert kept.read_text() == printed, (
        "write it again: mien serve --print-openapi > docs/openapi.json"
    )


def test_every_operation_is_described():
    document = openapi_document()
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["description"]
            assert operation["operationId"].replace("_", "").isalpha()
            statuses = set(operation["responses"])
            assert {"403"} <= statuses
            assert "500" not in statuses
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    assert "http://" not in text.replace("http://json-schema.org", "")


def test_the_page_shows_every_path(monkeypatch):
    with client_of(open_service(monkeypatch)) as client:
        assert client.get("/openapi.json").json() == openapi_document()
        assert "/openapi.json" in client.get("/docs/page.js").text


@pytest.fixture(scope="module")
def served(tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    weights = str(with_thresholds(tiny_folder, folder / "weights"))
    tokens = folder / "tokens"
    tokens.write_text(f"anna {TOKEN}")
    tokens.chmod(0o600)
    options = ("--rate", "1e6", "--burst", "1000000", "--collections", str(folder / "kept"))
    with Served("--weights", weights, "--token-file", str(tokens), *options) as served:
        yield served
        assert served.stop() == (0, "")


def test_requests_made_up_from_it(served):
    """No answer is a fault, none is undocumented, and bodies fit their schemas."""
    url = f"http://127.0.0.1:{served.port}"
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    faults: list[str] = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        assert _try(result.ok(), url, faults) >= 1
    assert not faults, f"{len(faults)} faults, first: {faults[0]}"


def _try(operation, url: str, faults: list[str]) -> int:
    count = 0

    @hypothesis.given(case=operation.as_strategy())
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[Health.too_slow, Health.filter_too_much, Health.data_too_large],
    )
    def check(case):
        nonlocal count
        count += 1
        answer = case.call(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"})
        try:
            # Some rules no schema tells: a cursor must be one that was given out, and so on.
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])
        except BaseExceptionGroup as error:  # all are counted
            faults.extend(f"{operation.label}: {fault}" for fault in error.exceptions)

    check()
    return count
