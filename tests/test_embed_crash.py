from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mien.embedding.job import JobFolder
from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.embedding.summary import Summary
from mien.errors import MienError
from mien.media.image import write_png
from mien.media.video import write_mp4
from mien.model import Model
from mien.table import writer
from mien.table.read import read_table
from mien.table.writer import PartWriter

CROPS = EmbedOptions(detector="none", batch_size=4, workers=2)


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PartWriter.__init__.__kwdefaults__ or {}, "rows_per_part", 5)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a bad one, and a video that is longer than a part."""
    folder = tmp_path_factory.mktemp("in")
    numbers = np.random.default_rng(0)
    for i in range(9):
        write_png(folder / f"{i}.png", numbers.integers(0, 256, (16, 16, 3), np.uint8))
    (folder / "4bad.png").write_text("no image")
    frames = (np.full((32, 32, 3), 20 + 10 * i, dtype=np.uint8) for i in range(15))
    write_mp4(folder / "5.mp4", frames, fps=10)
    return folder


@pytest.fixture
def embed(images: Path, tiny_model: Model) -> Callable[..., Summary]:
    def run(out: Path, *, options: EmbedOptions = CROPS, **more: Any) -> Summary:
        return embed_to_parquet(images, out, model=tiny_model, options=options, **more)

    return run


@pytest.fixture
def whole(embed: Callable[..., Summary], tmp_path: Path) -> Path:
    """The table of a run that nothing happened to."""
    embed(tmp_path / "whole.parquet")
    return tmp_path / "whole.parquet"


def assert_same(left: Path, right: Path) -> None:
    """Compare whole files: every bit of every number, and where row groups and pages end."""
    first, second = read_table(left), read_table(right)
    pd.testing.assert_frame_equal(first.frame, second.frame, check_exact=True)
    for name in first.code_names:
        np.testing.assert_array_equal(first.codes(name), second.codes(name))
    assert left.read_bytes() == right.read_bytes()


def assert_close(left: Path, right: Path) -> None:
    """Compare tables whose batches differ: their numbers are rounded otherwise."""
    first, second = read_table(left), read_table(right)
    pd.testing.assert_frame_equal(first.frame, second.frame, rtol=0, atol=1e-5)
    for name in first.code_names:
        np.testing.assert_allclose(first.codes(name), second.codes(name), atol=1e-5)


def break_after(monkeypatch: pytest.MonkeyPatch, calls: int, error: BaseException) -> list[int]:
    """Let so many changes on the disk pass, then raise; return the list of those that passed."""
    passed: list[int] = []

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*args: Any, **options: Any) -> Any:
            if len(passed) >= calls:
                raise error
            passed.append(1)
            return real(*args, **options)

        return change

    for name in ("mkdir", "replace", "unlink", "rmdir", "write_text"):
        monkeypatch.setattr(Path, name, watched(getattr(Path, name)))
    monkeypatch.setattr(writer, "write_batches", watched(writer.write_batches))
    return passed


def test_killed_at_any_moment_the_job_goes_on(
    embed: Callable[..., Summary], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "killed.parquet"
    goes_on = 0
    for calls in range(0, 1000, 3):
        with monkeypatch.context() as patch:
            break_after(patch, calls, Killed())
            # A killed process does not tidy up.
            patch.setattr(PartWriter, "save_complete", lambda _: None)
            try:
                embed(out)
            except Killed:
                pass
            else:
                break
        goes_on += embed(out, resume=True).resumed_at > 0
        assert_same(out, whole)
        assert not JobFolder(out).path.exists()
        out.unlink()
    assert goes_on >= 3
    assert_same(out, whole)


def test_killed_twice_the_job_goes_on(
    embed: Callable[..., Summary], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "killed.parquet"
    for calls in (9, 7, 5):
        with monkeypatch.context() as patch:
            break_after(patch, calls, Killed())
            patch.setattr(PartWriter, "save_complete", lambda _: None)
            with pytest.raises(Killed):
                embed(out, resume=True)
    assert embed(out, resume=True).resumed_at > 0
    assert_same(out, whole)


def test_what_is_complete_is_kept_when_the_job_is_stopped(
    embed: Callable[..., Summary], whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "stopped.parquet"

    def stop(status: Any) -> None:
        if status.faces >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(out, on_progress=stop)
    assert not out.exists()
    summary = embed(out, resume=True)
    assert 4 <= summary.resumed_at < 11
    assert summary.rows == 25
    assert sum(summary.failures.values()) == 1
    assert_same(out, whole)


def test_an_unfinished_job_is_not_begun_anew_unasked(
    embed: Callable[..., Summary], whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "t.parquet"
    with monkeypatch.context() as patch:
        break_after(patch, 12, Killed())
        with pytest.raises(Killed):
            embed(out)
    with pytest.raises(MienError, match="interrupted: continue with --resume, or start over"):
        embed(out)
    assert embed(out, overwrite=True).resumed_at == 0
    assert_same(out, whole)


def test_resume_begins_where_nothing_was_begun(
    embed: Callable[..., Summary], whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.parquet"
    assert embed(out, resume=True).resumed_at == 0
    assert_same(out, whole)
    before = out.stat().st_mtime_ns
    assert embed(out, resume=True).resumed_at == 11
    assert out.stat().st_mtime_ns == before


@pytest.fixture
def stopped(embed: Callable[..., Summary], tmp_path: Path) -> Path:
    """A table that was broken off."""
    out = tmp_path / "stopped.parquet"

    def stop(status: Any) -> None:
        if status.faces >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(out, on_progress=stop)
    return out


@pytest.mark.parametrize("options", [{"every": 2}, {"fps": 5.0}, {"detector": "haar"}])
def test_other_options_cannot_go_on(
    embed: Callable[..., Summary], stopped: Path, options: dict[str, Any]
) -> None:
    changed = replace(CROPS, **options)
    with pytest.raises(MienError, match=f"{next(iter(options))} was .* and is") as caught:
        embed(stopped, resume=True, options=changed)
    assert "\n" not in str(caught.value)


def test_another_batch_size_can_go_on(
    embed: Callable[..., Summary], whole: Path, stopped: Path
) -> None:
    embed(stopped, resume=True, options=EmbedOptions("none", batch_size=3, workers=1))
    assert_close(stopped, whole)


def test_other_weights_cannot_go_on(images: Path, stopped: Path, tiny_model: Model) -> None:
    other = Model(tiny_model.network, weights_id="another")
    with pytest.raises(MienError, match=r"weights was .* and is another"):
        embed_to_parquet(images, stopped, model=other, options=CROPS, resume=True)


def test_a_job_with_damage_says_so(embed: Callable[..., Summary], stopped: Path) -> None:
    folder = JobFolder(stopped).path
    part = next(folder.glob("part-000000*"))
    part.write_bytes(b"damaged" * 20)
    with pytest.raises(MienError, match="damaged: start over"):
        embed(stopped, resume=True)
    (folder / "journal.json").write_text("{")
    with pytest.raises(MienError, match=r"journal\.json is damaged"):
        embed(stopped, resume=True)
    embed(stopped, overwrite=True)
    assert not folder.exists()


def test_the_journal_says_what_is_pinned(stopped: Path, tiny_model: Model) -> None:
    journal = json.loads((JobFolder(stopped).path / "journal.json").read_text())
    assert journal["weights"] == tiny_model.weights_id
    assert journal["detector"] == "none"
    assert journal["number of inputs"] == 11


def test_two_runs_do_not_write_one_table(embed: Callable[..., Summary], stopped: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    lock = os.open(JobFolder(stopped).path / "lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with pytest.raises(MienError, match="another run is writing"):
            embed(stopped, resume=True)
    finally:
        os.close(lock)
    embed(stopped, resume=True)


@pytest.mark.parametrize("calls", range(1, 20, 3))
def test_a_full_disk_keeps_what_is_finished(
    embed: Callable[..., Summary],
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls: int,
) -> None:
    out = tmp_path / "full.parquet"
    with monkeypatch.context() as patch:
        break_after(patch, calls, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(MienError, match=r"no space left on the disk of .* --resume") as caught:
            embed(out)
    assert "\n" not in str(caught.value)
    embed(out, resume=True)
    assert_same(out, whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 KB, where the tests may make one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        made = False
    if not made:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full(
    embed: Callable[..., Summary], whole: Path, small_disk: Path
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(48 * 1024))
    out = small_disk / "t.parquet"
    with pytest.raises(MienError, match="no space left on the disk"):
        embed(out)
    assert not out.exists()
    assert not (JobFolder(out).path / "unfinished").exists()
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert embed(out, resume=True).rows == 25
    assert_same(out, whole)


def test_where_nothing_can_be_written_one_line_says_so(
    embed: Callable[..., Summary], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match=r"cannot write .*t\.parquet") as caught:
        embed(tmp_path / "file" / "t.parquet")
    assert "\n" not in str(caught.value)
