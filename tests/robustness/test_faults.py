"""Full, read-only and shared disks, signals and odd clocks, under every command that writes."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from mien.cli.main import run
from mien.cli.signals import stop_on_signals
from mien.media.folder import only_writer
from mien.media.video import write_mp4
from mien.table.writer import PartWriter
from robustness.cases import Content, image, make_files
from robustness.faults import Disk, mounted, refuse, send
from robustness.made_tables import LABELS, TARGETS, table

LONG = os.environ.get("MIEN_HYPOTHESIS") == "long"
PHOTOS = {f"in/{n}.png": image(seed=n) for n in range(4)}
TABLE = {"t.parquet": table(), "l.csv": LABELS}


def film(path: Path) -> None:
    write_mp4(path, [np.full((48, 64, 3), 30 * n, np.uint8) for n in range(4)], fps=10)


@dataclass(frozen=True)
class Writes:
    """A command that writes into the folder `out`."""

    argv: str
    files: Mapping[str, Content] = field(default_factory=dict)
    again: str = ""
    """Added to continue after a fault."""
    earlier: str | None = None
    """An output that may be there before; None: an earlier run is removed first, as asked for."""
    kept: str = ""
    """A name that begins so below `out` may be left unfinished, to be continued."""

    @property
    def words(self) -> list[str]:
        return shlex.split(self.argv)


def embed(name: str) -> Writes:
    argv = f"embed in --weights tiny --detector none --batch-size 2 -o out/{name}"
    return Writes(argv, PHOTOS, "--resume", name, f".{name}.parts")


RENDER = "--weights tiny --detector none --size 32"
TINY = (
    "model.image_size=32 model.texture_dim=8 model.shape_dim=8 model.width=8 model.feature_dim=16 "
    "model.neutral_width=16 model.neutral_blocks=1 stage1.steps=2 stage1.batch_size=4 "
    "stage2.steps=2 stage2.batch_size=4 stage2.frames=2 loop.checkpoint_every=1 loop.log_every=1 "
    "loop.log_images_every=0 loop.tensorboard=false data.detector=none data.workers=1"
)
CLIPS = {f"clips/{n}/{t}.png": image(32, 32, seed=10 * n + t) for n in range(3) for t in range(3)}
COMMANDS = {
    "embed": embed("t.parquet"),
    "embed csv": embed("t.csv"),
    "embed feather": embed("t.feather"),
    "embed jsonl": embed("t.jsonl"),
    "forget": Writes("forget t.parquet --path 0.png -o out/r.parquet", TABLE),
    "probe": Writes(
        "probe t.parquet --columns identity --labels l.csv -o out/p.json", TABLE, earlier="p.json"
    ),
    "calibrate": Writes(
        "calibrate t.parquet --targets l.csv -o out/c.json",
        {**TABLE, "l.csv": TARGETS},
        earlier="c.json",
    ),
    "render": Writes(
        f"render a.png --out out/b.png --mesh out/m.obj {RENDER}",
        {"a.png": image()},
        earlier="b.png",
    ),
    "film": Writes(f"render a.mp4 --out out/b.mp4 {RENDER}", {"a.mp4": film}, earlier="b.mp4"),
    "synth": Writes("synth --head-model toy --identities 2 --frames 2 --size 16 --out out/s"),
    "pretrain": Writes(
        f"pretrain latentface --device cpu --data clips:clips --out out/run {TINY}",
        CLIPS,
        "--resume",
        kept="run",
    ),
}
QUICK = ["embed", "embed csv", "calibrate", "render", "synth"]
CHOSEN = list(COMMANDS) if LONG else QUICK
"""Those that every kind of fault is tried on; all of them in the long run."""


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PartWriter.__init__.__kwdefaults__ or {}, "rows_per_part", 2)


@pytest.fixture
def out(place: Path) -> Path:
    (place / "out").mkdir()
    return place / "out"


def contents(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def finished(out: Path, command: Writes) -> dict[str, bytes]:
    """What stands in `out`; of a training run what it is for, without the place."""
    found = contents(out)
    if command.kept != "run":
        # The last digits of a mesh are not always the same.
        return {n: b"a mesh" if n.endswith(".obj") else data for n, data in found.items()}
    return {name: data for name, data in found.items() if "exported/" in name}


def whole(out: Path, command: Writes) -> dict[str, bytes]:
    """What comes of a command that nothing happens to; takes it away again."""
    assert run(command.words) == 0
    found = finished(out, command)
    assert found
    clear(out)
    return found


def clear(out: Path) -> None:
    for path in sorted(out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def check_left(out: Path, command: Writes, expected: Mapping[str, bytes]) -> None:
    """Nothing is left but what is whole, and what may be continued."""
    for name, data in contents(out).items():
        if not (command.kept and name.startswith(command.kept)):
            known = expected.get(name) in (data, b"a mesh")
            assert known or name.endswith("config.json"), f"{name} is left"


def one_line(capfd: pytest.CaptureFixture[str]) -> str:
    err = capfd.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, err
    assert "unforeseen" not in err
    return lines[0]


def moments(out: Path, command: Writes) -> int:
    with Disk(out, at=10**9, then=lambda: None) as disk:
        assert run(command.words) == 0
    clear(out)
    return disk.moments


def some(count: int, most: int = 3) -> list[int]:
    """Moments from the first to the last; more of them in the long run."""
    most = 10 * most if LONG else most
    if count <= most:
        return list(range(count))
    return sorted({round(n * (count - 1) / (most - 1)) for n in range(most)})


@pytest.mark.parametrize("name", CHOSEN)
def test_a_full_disk_at_any_moment(
    name: str, place: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    make_files(place, command.files)
    before = {n: data for n, data in contents(place).items() if not n.startswith("out/")}
    expected, count = whole(out, command), moments(out, command)
    capfd.readouterr()
    for at in some(count):
        error = (errno.ENOSPC, errno.EDQUOT)[at % 2]
        with Disk(out, at=at, then=refuse(error)):
            code = run(command.words)
        if code:  # where a link is refused, a renaming may do
            assert code == 2
            line = one_line(capfd)
            assert "free some" in line or "make room" in line, line
            check_left(out, command, expected)
            assert run([*command.words, *shlex.split(command.again)]) == 0
        assert finished(out, command) == expected, f"moment {at}"
        clear(out)
        capfd.readouterr()
    after = {n: data for n, data in contents(place).items() if not n.startswith("out/")}
    assert after == before


@pytest.mark.parametrize("name", [name for name in CHOSEN if COMMANDS[name].earlier])
def test_a_full_disk_leaves_an_earlier_output(
    name: str, place: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    make_files(place, command.files)
    count = moments(out, command)
    earlier = out / str(command.earlier)
    for at in some(count):
        earlier.write_text("mine")
        with Disk(out, at=at, then=refuse(errno.ENOSPC)):
            code = run([*command.words, "--overwrite"])
        if code or not at:
            assert code == 2
            one_line(capfd)
            assert earlier.read_text() == "mine", f"moment {at}"
        clear(out)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("name", ["embed", "calibrate", "render", "synth"])
def test_a_disk_that_refuses_everything(
    name: str, error: int, place: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    make_files(place, command.files)
    with Disk(out, at=0, then=refuse(error)):
        assert run(command.words) == 2
    line = one_line(capfd)
    assert error == errno.EIO or "name another place" in line
    check_left(out, command, {})


STOPS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@pytest.fixture
def stopping() -> Iterator[None]:
    """Signals act as in a process of the command line."""
    before = {number: signal.getsignal(number) for number in STOPS}
    for number in STOPS[1:]:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# A signal between opening a file and its `with` leaves closing it to Python.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("stopping")
@pytest.mark.parametrize("name", CHOSEN)
def test_a_signal_at_any_moment(
    name: str, place: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    make_files(place, command.files)
    expected, count = whole(out, command), moments(out, command)
    for index, at in enumerate(some(count)):
        number = STOPS[index % len(STOPS)]
        stop_on_signals()
        with Disk(out, at=at, then=send(number)):
            code = run(command.words)
        assert code == 128 + number, f"moment {at}"
        assert "Traceback" not in capfd.readouterr().err
        check_left(out, command, expected)
        assert run([*command.words, *shlex.split(command.again)]) == 0
        assert finished(out, command) == expected
        clear(out)


@pytest.mark.parametrize(
    "name", [name for name in CHOSEN if name in ("probe", "calibrate", "render", "film", "forget")]
)
def test_what_another_writer_finished_meanwhile_is_kept(
    name: str, place: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    make_files(place, command.files)
    target = sorted(whole(out, command))[-1]

    def other() -> None:
        if not (out / target).exists():
            (out / target).symlink_to("../theirs")

    (place / "theirs").write_text("theirs")
    with Disk(out, at=0, then=other):
        assert run(command.words) == 2
    assert "exists by now" in one_line(capfd)
    assert contents(out) == {target: b"theirs"}


@pytest.mark.parametrize("name", ["synth", "pretrain"])
def test_two_runs_do_not_share_a_folder(
    name: str, place: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("fcntl")
    command = COMMANDS[name]
    make_files(place, command.files)
    folder = out / ("s" if name == "synth" else "run")
    with only_writer(folder):
        assert run([*command.words, "--overwrite"]) == 2
        assert "another run is writing" in one_line(capfd)
        assert list(folder.iterdir()) == []
    assert run(command.words) == 0


@pytest.mark.parametrize("name", ["embed", "synth", *(["pretrain"] if LONG else [])])
def test_a_clock_that_goes_backwards_changes_nothing(
    name: str, place: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = COMMANDS[name]
    make_files(place, command.files)
    expected = whole(out, command)
    seconds = [2e9]

    def earlier() -> float:
        seconds[0] -= 1e6
        return seconds[0]

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", earlier)
        patch.setattr(time, "time_ns", lambda: int(earlier() * 1e9))
        assert run(command.words) == 0
    assert finished(out, command) == expected


ROOM = (0, 4, 12, 28, 60, 124, 252) if LONG else (0, 8, 60)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_disk_that_is_really_full(
    name: str, place: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    make_files(place, command.files)
    expected = whole(out, command)
    size = 16 if name == "pretrain" else 2  # MiB
    with mounted(out, f"size={size}m") as allowed:
        if not allowed:
            pytest.skip("a small disk cannot be mounted here")
        for room in ROOM:
            filler = out / "filler"
            filler.write_bytes(bytes((size * 1024 - room) << 10))
            capfd.readouterr()
            code = run(command.words)
            filler.unlink()
            if code:
                assert code == 2
                assert "no space left" in one_line(capfd)
                check_left(out, command, expected)
                assert run([*command.words, *shlex.split(command.again)]) == 0
            assert finished(out, command) == expected, f"{room} KiB"
            clear(out)


@pytest.mark.parametrize("name", CHOSEN)
def test_a_disk_that_is_read_only(
    name: str, place: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = COMMANDS[name]
    make_files(place, command.files)
    with mounted(out, "size=2m,ro") as allowed:
        if not allowed:
            pytest.skip("a small disk cannot be mounted here")
        assert run(command.words) == 2
        line = one_line(capfd)
        assert "read-only" in line
        assert contents(out) == {}
