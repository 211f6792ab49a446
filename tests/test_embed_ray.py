"""`mien embed --ray`: on a cluster of two nodes, one of which dies, and with a killed driver."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.cli.main import run
from mien.embedding.listing import list_inputs
from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.errors import MienError
from mien.media.image import write_png
from mien.media.video import write_mp4

try:
    ray: Any = importlib.import_module("ray")
except ImportError:
    ray = None

needs_ray = pytest.mark.skipif(ray is None, reason="needs ray: pip install 'mien[ray]'")
# Ray's own code warns; and it starts processes whose pipes it closes late.
pytestmark = pytest.mark.filterwarnings("ignore")
OPTIONS = EmbedOptions(detector="none", batch_size=4, workers=1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("inputs"), np.random.default_rng(0)
    for number in range(90):
        write_png(folder / f"{number:03}.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    write_mp4(folder / "040.mp4", list(rng.integers(0, 256, (9, 64, 64, 3), np.uint8)), fps=10)
    return folder


@pytest.fixture(scope="module")
def whole(inputs, tiny_model, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "whole.parquet"
    embed_to_parquet(inputs, out, model=tiny_model, options=OPTIONS)
    return out


@needs_ray
@pytest.mark.ray
@pytest.mark.slow  # two nodes are started and one is killed
def test_a_node_that_dies_loses_nothing(inputs, whole, tiny_folder, tmp_path, monkeypatch):
    from mien.embedding.on_ray import RayOptions, embed_on_ray

    cluster_utils = importlib.import_module("ray.cluster_utils")
    cluster = cluster_utils.Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    other = cluster.add_node(num_cpus=1, include_dashboard=False)
    seen, out = [], tmp_path / "out.parquet"

    def meddle(status):
        seen.append(status.done)
        if len(cluster.worker_nodes) and status.done >= 16:
            cluster.remove_node(other, allow_graceful=False)

    try:
        cluster.wait_for_nodes()
        summary = embed_on_ray(
            inputs,
            out,
            ray=RayOptions(cluster.address, str(tiny_folder), work_per_shard=4),
            options=OPTIONS,
            on_progress=meddle,
        )
        assert not cluster.worker_nodes
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert (summary.inputs, summary.faces, summary.resumed_at) == (91, 99, 0)
    assert seen[0] == 0
    assert seen[-1] == 91
    assert out.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


@needs_ray
@pytest.mark.ray
@pytest.mark.slow  # starts Ray twice
def test_a_killed_driver_is_resumed(inputs, whole, tiny_folder, tmp_path):
    out = tmp_path / "out.parquet"
    code = (
        "import sys; from mien.embedding import on_ray\n"
        "from mien.embedding.options import EmbedOptions\n"
        "on_ray.embed_on_ray(sys.argv[1], sys.argv[2], resume=True,"
        " ray=on_ray.RayOptions('local', sys.argv[3], work_per_shard=4),"
        " options=EmbedOptions('none', 4))"
    )
    words = [sys.executable, "-c", code, str(inputs), str(out), str(tiny_folder)]
    begun = subprocess.Popen(words, stdout=subprocess.DEVNULL, start_new_session=True)
    parts = tmp_path / ".out.parquet.parts"
    until = time.monotonic() + 300
    while len(list(parts.glob("*-of-*.parquet"))) < 3:
        assert begun.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(begun.pid, signal.SIGKILL)
    begun.wait()
    there = {path: path.stat().st_mtime_ns for path in parts.glob("*-of-*.parquet")}
    assert not out.exists()
    common = ["embed", str(inputs), "--out", str(out), "--weights", str(tiny_folder)]
    words = [*common, "--detector", "none", "--batch-size", "4"]
    assert run([*words, "--resume"]) == 2  # it is Ray's, with shards
    assert {path: path.stat().st_mtime_ns for path in there} == there
    from mien.embedding.on_ray import RayOptions, embed_on_ray

    again = RayOptions("local", str(tiny_folder), work_per_shard=4)
    done = embed_on_ray(inputs, out, ray=again, options=OPTIONS, resume=True)
    assert done.resumed_at >= 3 * 4 - 3
    assert out.read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    repeated = embed_on_ray(inputs, out, ray=again, options=OPTIONS, resume=True)
    assert repeated.resumed_at == repeated.inputs == 91


@needs_ray
@pytest.mark.ray
def test_a_cluster_that_is_not_there_is_one_line(inputs, tmp_path, monkeypatch):
    from mien.embedding.on_ray import RayOptions, embed_on_ray

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    for address in ("127.0.0.1:1", "auto"):
        with pytest.raises(MienError, match="there is no Ray cluster at") as raised:
            embed_on_ray(inputs, tmp_path / "t.parquet", ray=RayOptions(address))
        assert "\n" not in str(raised.value)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize("address", ["ray://x:1", "x", "x:", ":1", "x:99999", "", "x:1:y"])
def test_no_address(inputs, tmp_path, address):
    from mien.embedding.on_ray import RayOptions, embed_on_ray

    with pytest.raises(MienError, match="--ray is auto, local or HOST:PORT"):
        embed_on_ray(inputs, tmp_path / "t.parquet", ray=RayOptions(address))


def test_what_does_not_go_with_ray(inputs, tmp_path, capsys):
    words = ["embed", str(inputs), "--out", str(tmp_path / "t.parquet"), "--ray", "auto"]
    assert run([*words, "--shard", "0/2"]) == 2
    assert "leave --shard out" in capsys.readouterr().err
    assert run([*words, "--device", "cuda:1"]) == 2
    assert "give --device cpu or cuda" in capsys.readouterr().err


def test_the_work_is_cut_by_the_listing_alone(inputs):
    with list_inputs([inputs]) as listing:
        shards = listing.shards(10, 4)
        texts = dict(listing.cut_out(shards))
    assert len(texts) == 10
    assert sum(text.count("\n") for text in texts.values()) == 91


def test_what_ray_began_is_cleared_by_overwriting(inputs, whole, tiny_model, tmp_path):
    from mien.embedding.job import JobFolder

    folder = JobFolder(tmp_path / "t.parquet")
    folder.begin({"shards": 2}, resume=False)
    folder.close()
    name = f"{'0' * 16}-000000-of-000002.parquet"
    (folder.path / name).write_bytes(b"x")
    inner = JobFolder(folder.path / name)
    inner.begin({}, resume=False)
    inner.close()
    with pytest.raises(MienError, match="cannot resume"):
        embed_to_parquet(
            inputs, tmp_path / "t.parquet", model=tiny_model, options=OPTIONS, resume=True
        )
    embed_to_parquet(
        inputs, tmp_path / "t.parquet", model=tiny_model, options=OPTIONS, overwrite=True
    )
    assert (tmp_path / "t.parquet").read_bytes() == whole.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_a_half_written_part_is_made_again(inputs, tiny_folder, tmp_path, monkeypatch):
    """What a task does, without a cluster: its part cut short is no part."""
    from mien.embedding import on_ray
    from mien.embedding.job import JobFolder
    from mien.embedding.parts import Work
    from mien.embedding.run import Job
    from mien.model import load

    monkeypatch.chdir(tmp_path)  # a task goes to its driver's folder
    folder = JobFolder(tmp_path / "t.parquet")
    with list_inputs([inputs]) as listing:
        job = Job.of(load(tiny_folder), OPTIONS)
        folder.begin(job.pinned(listing) | {"shards": 5}, resume=False)
        work = Work(job, listing, folder, work_per_part=-(-listing.work() // 5))
        shard, lines = next(work.left([]))
        part = Path(work.part(shard))
        given = (str(tiny_folder), "cpu", str(tmp_path), OPTIONS, shard, lines, str(part))

        def made() -> bytes:
            assert on_ray._embed_shard(*given)[0] == ""  # pyright: ignore[reportPrivateUsage]
            assert work.done_before() == [shard]
            return part.read_bytes()

        whole = made()
        part.write_bytes(whole[: len(whole) // 2])
        assert work.done_before() == []
        assert made() == whole
        folder.close()
