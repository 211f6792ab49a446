"""Ask `mien serve` with the shipped weights what Schemathesis makes up, in all its phases.

    PYTHONPATH=src python tools/fuzz_service.py --examples 200

A service with a token and collections is started on a free port of the loopback, detector none,
and given calibrations and probes. Whatever stands after `--` goes to `schemathesis run`. Exit code
0: no fault of the service, no answer that the OpenAPI document does not have, and a proper end.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

_ROOT = Path(__file__).parents[1]
_EACH = 4
"""Calibrations, and probes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool of the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--examples", type=int, default=200, help="requests an operation")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("more", nargs="*", help="for schemathesis run")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        token = secrets.token_urlsafe(32)
        server, url = _start(Path(name), token)
        try:
            _fit(url, token)
            words = _words(url, token, given)
            made_up = {"SCHEMATHESIS_HOOKS": "made_up_names", "PYTHONPATH": _modules()}
            asked = subprocess.run(words, env=os.environ | made_up, cwd=name, check=False)
        finally:
            server.terminate()
            ended = server.wait(60)
    sys.stdout.write(f"schemathesis: exit code {asked.returncode}; service: exit code {ended}\n")
    return int(asked.returncode != 0 or ended != 0)


def _words(url: str, token: str, given: argparse.Namespace) -> list[str]:
    return [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("run", f"{url}/openapi.json", "-H", f"Authorization: Bearer {token}"),
        *("--phases", "examples,coverage,fuzzing,stateful", "--checks", "all"),
        # Some rules no schema tells: a cursor must be one that was given out, and so on.
        *("--exclude-checks", "positive_data_acceptance"),
        *("--max-examples", str(given.examples), "--workers", str(given.workers)),
        *("--continue-on-failure", "--suppress-health-check", "all"),
        *given.more,
    ]


def _start(folder: Path, token: str) -> tuple[subprocess.Popen[str], str]:
    """Start a service and return it with its address."""
    tokens = folder / "tokens"
    tokens.write_text(f"fuzz {token}")
    tokens.chmod(0o600)
    options = (
        *("--port", "0", "--detector", "none", "--rate", "1e6", "--burst", "1000000"),
        *("--token-file", str(tokens), "--collections", str(folder / "kept")),
    )
    server = subprocess.Popen(
        [sys.executable, "-m", "mien", "serve", *options], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line.startswith("http://127.0.0.1:"):
        raise SystemExit(f"the service did not start: {line}")
    return server, line.split()[0]


def _fit(url: str, token: str) -> None:
    """Have calibrations and probes fitted to made-up samples."""
    sys.path.insert(0, str(_ROOT / "tests"))
    from made_service import labelled, targets

    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/models", headers=headers)) as got:
        lengths = json.load(got)["models"][0]["lengths"]
    gazes = {"samples": list(targets(width=lengths["gaze_code"]))}
    smiles = {"label": "smile", "samples": list(labelled(width=lengths["expression"]))}
    for path, body in (("calibrations", gazes), ("probes", smiles)):
        for number in range(_EACH):
            data = json.dumps({**body, "seed": number}).encode()
            asked = urllib.request.Request(f"{url}/v1/{path}", data, headers)
            urllib.request.urlopen(asked).close()


def _modules() -> str:
    found = (str(_ROOT / "src"), str(_ROOT / "tests"), os.environ.get("PYTHONPATH", ""))
    return os.pathsep.join(filter(None, found))


if __name__ == "__main__":
    sys.exit(main())
