"""The runner of the cases notices what it is there for."""

import io
import pickle  # noqa: TID251 - to see it refused
import re
import socket
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
import typer

from mien.errors import MienError
from robustness.cases import case, check
from robustness.guards import no_network_no_pickle


def refuse(text="no"):
    raise MienError(text)


def say(line, *, error="no"):
    sys.stderr.write(f"{line}\n")
    refuse(error)


def end(line):
    sys.stderr.write(f"{line}\n")
    raise typer.Exit(2)


BAD = {
    "another code": lambda: None,
    "another message": lambda: refuse("yes"),
    "noise": lambda: say("working"),
    "control characters": lambda: end("error: no \x1b[31m"),
    "a long line": lambda: end("error: " + "no" * 600),
    "unforeseen": lambda: [].pop(),
    "a warning": lambda: warnings.warn("old", UserWarning, stacklevel=1),
    "half a file": lambda: refuse(str(Path("no").write_text(""))),
    "a changed file": lambda: refuse(f"no {Path('kept').write_text('other')}"),
    "a removed file": lambda: refuse(f"no {Path('kept').unlink()}"),
}


@pytest.fixture
def doctor(monkeypatch):
    """Put a function in the place of `mien doctor`."""

    def put(action):
        def command() -> None:
            action()

        module = ModuleType("mien.cli.doctor")
        monkeypatch.setattr(module, "doctor", command, raising=False)
        monkeypatch.setitem(sys.modules, "mien.cli.doctor", module)

    return put


CASE = case("doctor", {"kept": "as it is"}, 2, "no")


def test_what_is_right_passes(doctor, place, capfd):
    doctor(refuse)
    assert check(CASE, place, capfd) == ("", "error: no\n")


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_fails(name, doctor, place, capfd):
    doctor(BAD[name])
    with pytest.raises(AssertionError):
        check(CASE, place, capfd)


def test_new_files_are_named(doctor, place, capfd):
    doctor(lambda: Path("new").write_text(""))
    check(case("doctor", exit=0, makes=["new"]), place, capfd)
    (place / "new").unlink()
    with pytest.raises(AssertionError):
        check(case("doctor", exit=0), place, capfd)


@pytest.mark.parametrize(
    "action",
    [
        lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
        lambda: socket.getaddrinfo("localhost", 80),
        lambda: socket.socket().bind(("0.0.0.0", 0)),
        lambda: pickle.loads(b"]."),  # noqa: S301
        lambda: pickle.Unpickler(io.BytesIO(pickle.dumps(Path("x")))).load(),  # noqa: S301
    ],
    ids=["connect", "look up", "listen", "unpickle", "unpickler"],
)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_connections_and_pickles_are_seen_even_if_swallowed(action):
    with no_network_no_pickle() as seen, suppress(PermissionError):
        action()
    assert seen


ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "mien").rglob("*.py"))
FORBIDDEN = re.compile(
    r"^\s*(?:import|from) (?:pickle|cPickle|dill|cloudpickle|joblib|shelve|marshal)\b"
    r"|\bpickle\.loads?\(|\btorch\.load\(|allow_pickle ?= ?True|\byaml\.(?:unsafe_)?load\(",
    re.MULTILINE,
)


def test_nothing_unpickles():
    assert [p for p in SOURCES if FORBIDDEN.search(p.read_text(encoding="utf-8"))] == []


def test_what_unpickles_is_recognized():
    for line in (
        "import pickle",
        "    from pickle import loads",
        "x = pickle.loads(y)",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "import joblib",
    ):
        assert FORBIDDEN.search(line)
    for line in ("import pickletools", "yaml.safe_load(text)", "np.load(p, allow_pickle=False)"):
        assert not FORBIDDEN.search(line)
