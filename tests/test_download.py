"""`mien download yunet`: a pinned file into the cache folder, from the network or a copy."""

from __future__ import annotations

import hashlib
import io
import urllib.request

import pytest

from mien.cli.main import run
from mien.errors import MienError
from mien.faces import download, yunet
from mien.faces.download import download_yunet
from mien.faces.yunet import YUNET_SOURCE, find_yunet, yunet_place

MODEL = b"as good as a model"


@pytest.fixture(autouse=True)
def pinned(tmp_path, monkeypatch):
    """A cache folder that is not there yet, a known file, and no network."""
    digest = hashlib.sha256(MODEL).hexdigest()
    for module in (download, yunet):
        monkeypatch.setattr(module, "YUNET_SHA256", digest)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MIEN_YUNET", raising=False)
    monkeypatch.delenv("MIEN_OFFLINE", raising=False)

    def no_network(*_, **__):
        raise OSError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)


def answering(monkeypatch, content):
    asked = []

    def answer(address, **_):
        asked.append(address)
        return io.BytesIO(content)

    monkeypatch.setattr(urllib.request, "urlopen", answer)
    return asked


def test_it_is_fetched_once_and_then_found(monkeypatch, capsys):
    asked = answering(monkeypatch, MODEL)
    assert run(["download", "yunet"]) == 0
    assert "written" in capsys.readouterr().out
    assert find_yunet() == yunet_place()
    assert yunet_place().read_bytes() == MODEL
    assert run(["download", "yunet"]) == 0
    assert "there already" in capsys.readouterr().out
    assert asked == [YUNET_SOURCE]


def test_a_damaged_copy_in_the_cache_is_replaced(monkeypatch):
    answering(monkeypatch, MODEL)
    yunet_place().parent.mkdir()
    yunet_place().write_bytes(MODEL[:5])
    assert download_yunet() == (yunet_place(), True)
    assert yunet_place().read_bytes() == MODEL


def test_another_file_is_refused_and_nothing_written(monkeypatch, tmp_path, capsys):
    answering(monkeypatch, MODEL + b"!")
    assert run(["download", "yunet"]) == 2
    said = capsys.readouterr().err
    assert "not the YuNet file that is known" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "cache").exists()


def test_from_a_copy(tmp_path):
    (tmp_path / "copy.onnx").write_bytes(MODEL)
    assert run(["download", "yunet", "--from", str(tmp_path / "copy.onnx")]) == 0
    assert yunet_place().read_bytes() == MODEL
    assert (tmp_path / "copy.onnx").read_bytes() == MODEL


@pytest.mark.parametrize("name", ["nothing.onnx", "", "cache"])
def test_from_what_is_no_file(tmp_path, name, capsys):
    (tmp_path / "cache").mkdir()
    assert run(["download", "yunet", "--from", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_network_it_says_what_to_do():
    with pytest.raises(MienError, match=r"no network in tests.*--from FILE"):
        download_yunet()


def test_offline_asks_nobody(monkeypatch):
    asked = answering(monkeypatch, MODEL)
    monkeypatch.setenv("MIEN_OFFLINE", "1")
    with pytest.raises(MienError, match="MIEN_OFFLINE"):
        download_yunet()
    assert not asked


def test_a_cache_folder_that_cannot_be_made(monkeypatch, tmp_path):
    answering(monkeypatch, MODEL)
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MienError, match="MIEN_CACHE"):
        download_yunet()
