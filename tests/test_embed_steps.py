from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mien.cli.progress import ProgressDisplay, progress_line
from mien.columns import code_lengths
from mien.embedding.frames import FrameRows, gather
from mien.embedding.listing import list_inputs
from mien.embedding.summary import NO_FACE, Status, Summary, summarise
from mien.errors import MienError
from mien.pipeline.prefetch import prefetch
from mien.table.rows import FaceRow, record_batch
from mien.table.schema import TableInfo, arrow_schema
from mien.table.writer import write_batches

CROP = np.zeros((4, 4, 3), dtype=np.uint8)


def task(value: int, seconds: float = 0.0) -> Callable[[], int]:
    def run() -> int:
        time.sleep(seconds)
        return value

    return run


def frame(source: int, faces: int, done: float = 1.0) -> FrameRows:
    rows = tuple(FaceRow(str(source), face_found=True, face_id=i) for i in range(faces))
    rows = rows or (FaceRow(str(source), reason=NO_FACE),)
    return FrameRows(source, rows, (CROP,) * faces, done)


def test_results_come_in_order_whatever_takes_longer() -> None:
    tasks = (task(i, 0.01 * (i % 3 == 0)) for i in range(20))
    assert list(prefetch(tasks, workers=4, in_flight=8)) == list(range(20))


def test_work_is_done_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=10)
    tasks = iter([both.wait, both.wait])
    assert sorted(prefetch(tasks, workers=2, in_flight=2)) == [0, 1]


def test_no_more_than_agreed_is_begun_ahead() -> None:
    yielded = 0

    def tasks() -> Iterator[Callable[[], int]]:
        nonlocal yielded
        for i in range(100):
            yielded += 1
            yield task(i)

    results = prefetch(tasks(), workers=2, in_flight=5)
    for taken, _ in enumerate(results, start=1):
        time.sleep(0.001)
        assert yielded <= taken + 5


@pytest.mark.parametrize("where", ["task", "iterator"])
def test_an_error_comes_in_its_place(where: str) -> None:
    def fail() -> int:
        raise MienError("broken")

    def tasks() -> Iterator[Callable[[], int]]:
        yield task(1)
        if where == "iterator":
            fail()
        yield fail

    results = prefetch(tasks(), workers=2, in_flight=4)
    assert next(results) == 1
    with pytest.raises(MienError, match="broken"):
        next(results)


def test_a_reader_who_leaves_ends_the_work() -> None:
    before = threading.active_count()
    endless = (task(i) for i in iter(int, 1))
    results = prefetch(endless, workers=2, in_flight=4)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_batches_hold_so_many_faces() -> None:
    frames = [frame(0, 2), frame(1, 0), frame(2, 7), frame(3, 1)]
    batches = list(gather(frames, 3))
    assert [len(batch.crops) for batch in batches] == [3, 3, 3, 1]
    of_rows = [source for batch in batches for source in batch.sources]
    assert of_rows == [0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 3]
    assert [batch.done for batch in batches] == [2.0, 2.0, 3.0, 4.0]


def test_frames_without_a_face_do_not_pile_up() -> None:
    sizes = [len(batch.rows) for batch in gather((frame(i, 0) for i in range(100)), 2)]
    assert max(sizes) <= 32
    assert sum(sizes) == 100


def test_the_middle_of_a_video_counts_as_part_of_an_input() -> None:
    frames = [frame(0, 1), frame(1, 1, done=0.25), frame(1, 1, done=0.5)]
    assert [batch.done for batch in gather(frames, 2)] == [1.25, 1.5]


def test_a_changed_input_shows_in_the_listing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("1")

    def listed() -> tuple[int, str]:
        with list_inputs([tmp_path]) as listing:
            assert len(list(listing.sources())) == listing.count
            return listing.count, listing.digest

    count, before = listed()
    assert count == 1
    assert listed() == (count, before)
    (tmp_path / "a.jpg").write_text("12")
    assert listed()[1] != before
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nothing")
    assert listed()[0] == 2


def some_summary(tmp_path: Path, rows: list[FaceRow]) -> Summary:
    schema = arrow_schema(TableInfo("0", "m", "none"), code_lengths(texture_dim=2, shape_dim=2))
    write_batches(tmp_path / "t", [record_batch(rows, None, schema)], schema)
    return summarise(tmp_path / "t", inputs=len(rows), resumed_at=0)


def test_the_summary_counts_reasons(tmp_path: Path) -> None:
    reasons = [NO_FACE, "cut off (1 of 20 bytes)", "cut off (7 of 9 bytes)", "empty (0 bytes)"]
    summary = some_summary(tmp_path, [FaceRow("a", reason=reason) for reason in reasons])
    assert summary.without_face == 1
    assert summary.failures == {"cut off (N of N bytes)": 2, "empty (0 bytes)": 1}
    lines = summary.lines()
    assert lines[0].endswith("0 faces in 4 inputs; 1 frame without a face; 3 could not be read:")
    assert lines[1:] == ["  2 x cut off (N of N bytes)", "  1 x empty (0 bytes)"]


def test_the_summary_of_many_reasons_is_short(tmp_path: Path) -> None:
    rows = [FaceRow("a", reason="x" * (i + 1)) for i in range(25)]
    assert some_summary(tmp_path, rows).lines()[-1] == "  and 15 other reasons"


def test_rate_and_time_left_count_this_run_only() -> None:
    line = progress_line(Status(100, 60.0, 20, 30), seconds=10.0, before=50.0)
    assert line == "60 of 100 inputs, 30 faces, 3.0 faces/s, 2.0 frames/s, 0:40 left"
    start = progress_line(Status(100, 50.0, 0, 0), seconds=0.0, before=50.0)
    assert start == "50 of 100 inputs, 0 faces"
    long = progress_line(Status(10_000, 1.0, 1, 1), seconds=1.0, before=0.0)
    assert long.endswith("2:46:39 left")


def test_where_there_is_no_terminal_a_line_is_printed_now_and_then() -> None:
    now = [0.0]
    stream = io.StringIO()
    with ProgressDisplay(stream=stream, clock=lambda: now[0]) as show:
        for second in range(31):
            now[0] = float(second)
            show(Status(40, second, second, second))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("10 of 40 inputs")
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    with ProgressDisplay(stream=stream) as show:
        show(Status(4, 0.0, 0, 0))
        show(Status(4, 2.0, 2, 2))
    assert "\x1b" in stream.getvalue()
    assert "2 of 4 inputs" in stream.getvalue()


INTERRUPTED = """
import contextlib, random, signal, threading
from mien.pipeline.prefetch import prefetch
class Stop(BaseException): pass
def stop(*_): raise Stop
signal.signal(signal.SIGALRM, stop)
def tasks():
    while True: yield int
for number in range(1000):
    with contextlib.suppress(Stop), contextlib.closing(prefetch(tasks(), workers=2)) as results:
        next(results)
        signal.setitimer(signal.ITIMER_REAL, random.Random(number).uniform(1e-4, 2e-3))
        for _ in results: pass
print(threading.active_count())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_at_any_moment_leaves_no_lock_taken():
    words = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    assert done.stdout.split() == ["1"], done.stderr
