"""`mien embed` from and to a server that speaks S3's protocol, alone and on a Ray cluster."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from forked import Command
from mien.cli.main import run
from mien.embedding.run import embed_to_parquet
from remote_files import INPUTS, OPTIONS, WORDS, make_photos, without_names

try:
    s3fs: Any = importlib.import_module("s3fs")
    server: Any = importlib.import_module("moto.server")
except ImportError:
    s3fs = server = None
try:
    ray: Any = importlib.import_module("ray")
except ImportError:
    ray = None

pytestmark = [
    pytest.mark.skipif(server is None, reason="needs S3: pip install s3fs 'moto[server]'"),
    pytest.mark.filterwarnings("ignore"),  # of the libraries
]
needs_ray = pytest.mark.skipif(ray is None, reason="needs ray: pip install 'mien[ray]'")
# The real command in a process of its own: small parts, often written, and in no hurry.
SLOW_EMBED = """
import time
from mien.embedding import run
from mien.table.writer import PartWriter
PartWriter.__init__.__kwdefaults__["rows_per_part"] = 6
encode = run.encode_crops
run.encode_crops = lambda *given, **more: (time.sleep(0.4), encode(*given, **more))[1]
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return make_photos(tmp_path_factory.mktemp("s3") / "photos")


@pytest.fixture(scope="module")
def bucket(photos):
    """A bucket with the photographs; where it is and its keys stand in the environment."""
    web = server.ThreadedMotoServer("127.0.0.1", 0)
    web.start()
    host, port = web.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "made-up")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()  # one that knows of another server
        system = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
        if not system.exists("people"):  # made-up servers of one process share their buckets
            system.mkdir("people")
        system.put(f"{photos}/", "people/photos/", recursive=True)
        yield system
    web.stop()


@pytest.fixture(scope="module")
def whole(photos, bucket, tiny_model, tmp_path_factory) -> bytes:
    """The table that one machine writes of the photographs in the bucket."""
    folder = tmp_path_factory.mktemp("whole")
    given = {"model": tiny_model, "options": OPTIONS}
    embed_to_parquet(photos, folder / "local.parquet", **given)
    embed_to_parquet("s3://people/photos/**", folder / "whole.parquet", **given)
    names = (folder / "local.parquet", folder / "whole.parquet")
    assert without_names(names[1]).equals(without_names(names[0]))
    return names[1].read_bytes()


def words(out: str, weights: Path, *more: str) -> list[str]:
    common = ["embed", "s3://people/photos/**", "--out", out, "--weights", str(weights)]
    return [*common, *WORDS, *more]


def test_a_bucket_in_and_out(bucket, whole, tiny_folder, capsys):
    assert run(words("s3://people/out/t.parquet", tiny_folder)) == 0
    assert bucket.cat("people/out/t.parquet") == whole
    for number in range(2):
        out = f"s3://people/parts/{number}.parquet"
        assert run(words(out, tiny_folder, "--shard", f"{number}/2")) == 0
    merge = ["table", "merge", "s3://people/parts/", "--out", "s3://people/merged.parquet"]
    assert run(merge) == 0
    assert bucket.cat("people/merged.parquet") == whole
    assert bucket.find("people/out") == ["people/out/t.parquet"]
    capsys.readouterr()
    assert run(words("s3://people/merged.parquet", tiny_folder)) == 2
    assert "exists: name another file" in capsys.readouterr().err
    for name in ("s3://nobody/photos/**", "s3://people/none/a.jpg"):
        assert run(["embed", name, "--out", "s3://people/x.parquet", *WORDS]) == 2
        assert "there is no such file, folder or bucket" in capsys.readouterr().err
    assert run(["embed", "s3://people/photos/", "--out", "s3://nobody/x.parquet", *WORDS]) == 2
    assert "cannot write s3://nobody/" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_loses_nothing(bucket, whole, tiny_folder, capsys):
    out = "s3://people/stopped/t.parquet"
    process = Command(words(out, tiny_folder), before=SLOW_EMBED)
    while not any("/part-" in name for name in bucket.find("people/stopped")):
        assert process.poll() is None, process.finish()[2]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    code, _, printed = process.finish()
    assert code == 130, printed
    assert "--resume continues s3://people/stopped/t.parquet" in printed.splitlines()[-1]
    assert run(words(out, tiny_folder, "--resume")) == 0
    assert "were done before" in capsys.readouterr().err
    assert bucket.find("people/stopped") == ["people/stopped/t.parquet"]
    assert bucket.cat("people/stopped/t.parquet") == whole


@needs_ray
@pytest.mark.ray
@pytest.mark.slow  # starts Ray twice
def test_a_killed_driver_is_resumed_on_a_cluster(bucket, whole, tiny_folder):
    from mien.embedding.on_ray import RayOptions, embed_on_ray

    out = "s3://people/ray/t.parquet"
    code = (
        "import sys; from mien.embedding import on_ray\n"
        "from mien.embedding.options import EmbedOptions\n"
        "on_ray.embed_on_ray('s3://people/photos/**', sys.argv[1],"
        " ray=on_ray.RayOptions('local', sys.argv[2], work_per_shard=4),"
        " options=EmbedOptions('none', 4))"
    )
    begun = subprocess.Popen(
        [sys.executable, "-c", code, out, str(tiny_folder)], start_new_session=True
    )
    until = time.monotonic() + 300
    while not [name for name in bucket.find("people/ray") if name.endswith("-of-000005.parquet")]:
        assert begun.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.05)
    begun.kill()
    begun.wait()
    assert not bucket.exists("people/ray/t.parquet")
    again = RayOptions("local", str(tiny_folder), work_per_shard=4)
    done = embed_on_ray("s3://people/photos/**", out, ray=again, options=OPTIONS, resume=True)
    assert 0 < done.resumed_at <= INPUTS
    assert bucket.cat("people/ray/t.parquet") == whole
    assert bucket.find("people/ray") == ["people/ray/t.parquet"]
