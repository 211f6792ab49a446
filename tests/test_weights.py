import json

import pytest
import torch
from safetensors.torch import save

from mien import weights
from mien.card import Card, card_text
from mien.errors import MienError
from mien.weights import CARD_FILE, CONFIG_FILE, WEIGHTS_FILE

STATE = {
    "a.weight": torch.linspace(-1, 1, 12).reshape(3, 4),
    "a.count": torch.tensor([3]),
}
CONFIG = {"image_size": 64, "networks": "small"}


@pytest.fixture
def folder(tmp_path):
    weights.save(tmp_path / "m", STATE, CONFIG, "# card\n")
    return tmp_path / "m"


def change_header(folder, **changes):
    path = folder / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def replace_tensors(folder, content):
    import hashlib

    (folder / WEIGHTS_FILE).write_bytes(content)
    change_header(folder, sha256=hashlib.sha256(content).hexdigest())


def test_what_was_saved_is_read(folder):
    for where in (folder, str(folder), folder / WEIGHTS_FILE):
        config, state = weights.read(where)
        assert config == CONFIG
        assert state.keys() == STATE.keys()
        assert all(torch.equal(state[k], STATE[k]) for k in STATE)
    assert (folder / CARD_FILE).read_text() == "# card\n"
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        [CARD_FILE, CONFIG_FILE, WEIGHTS_FILE]
    )


def test_half_is_stored_small_and_read_as_float32(tmp_path):
    weights.save(tmp_path, STATE, CONFIG, "", half=True)
    _, state = weights.read(tmp_path)
    assert state["a.weight"].dtype == torch.float32
    assert state["a.count"].dtype == torch.int64
    torch.testing.assert_close(state["a.weight"], STATE["a.weight"], atol=1e-3, rtol=0)
    weights.save(tmp_path / "full", STATE, CONFIG, "")
    sizes = [(f / WEIGHTS_FILE).stat().st_size for f in (tmp_path, tmp_path / "full")]
    assert sizes[0] < sizes[1]


def test_half_refuses_what_float16_cannot_hold(tmp_path):
    with pytest.raises(MienError, match="big holds NaN or infinity"):
        weights.save(tmp_path, {"big": torch.tensor([1e6])}, {}, "", half=True)
    assert list(tmp_path.iterdir()) == []


def test_the_id_is_the_files_and_repeats(folder, tmp_path):
    weights.save(tmp_path / "again", STATE, CONFIG, "another card")
    assert len(weights.weights_id(folder)) == 12
    assert weights.weights_id(folder) == weights.weights_id(tmp_path / "again")


def test_nothing_is_overwritten_unasked(folder):
    with pytest.raises(MienError, match="already holds a model"):
        weights.save(folder, STATE, CONFIG, "")
    weights.save(folder, STATE, {"image_size": 32}, "", overwrite=True)
    assert weights.read(folder)[0] == {"image_size": 32}


def test_a_full_disk_leaves_the_old_model(folder, monkeypatch):
    from pathlib import Path

    real = Path.write_bytes

    def fail(self, data):
        if data == b"the last":
            raise OSError(28, "No space left on device", str(self))
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(MienError, match="no space"):
        weights.save(folder, {"b": torch.ones(1)}, {}, "the last", overwrite=True)
    monkeypatch.undo()
    assert weights.read(folder)[0] == CONFIG
    assert not list(folder.glob(".*"))


def test_tampered_weights_are_refused(folder):
    path = folder / WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(MienError, match="sha256 differs"):
        weights.read(folder)


@pytest.mark.parametrize("kept", [0, 5, 60, -1])
def test_truncated_weights_are_refused(folder, kept):
    path = folder / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(MienError, match="cut short or changed"):
        weights.read(folder)


def test_a_file_with_the_right_hash_that_is_no_safetensors_is_refused(folder):
    replace_tensors(folder, b"\x80\x04not a tensor")
    with pytest.raises(MienError, match="not a safetensors file"):
        weights.read(folder)


def test_another_version_is_refused(folder):
    change_header(folder, format_version=2)
    with pytest.raises(MienError, match="weights format 2, this mien reads 1"):
        weights.read(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": "mien"', "not JSON"),
        ("\x00\xff", "not UTF-8"),
        ("[1]", "does not describe a mien model"),
        ('{"model_type": "bert"}', "does not describe a mien model"),
        ('{"format": "mien", "format_version": 1}', "lacks the sha256"),
    ],
)
def test_a_damaged_config_is_refused(folder, text, message):
    (folder / CONFIG_FILE).write_text(text, encoding="latin-1")
    with pytest.raises(MienError, match=message):
        weights.read(folder)


def test_nan_is_refused_on_both_ways(folder):
    broken = {"a": torch.tensor([1.0, float("nan")])}
    with pytest.raises(MienError, match="tensor a holds NaN"):
        weights.save(folder, broken, {}, "", overwrite=True)
    replace_tensors(folder, save(broken))
    with pytest.raises(MienError, match="holds NaN or infinity in a"):
        weights.read(folder)


def test_absent_files_are_named(tmp_path):
    with pytest.raises(MienError, match="no weights at"):
        weights.read(tmp_path / "none")
    with pytest.raises(MienError, match=r"no config.json in"):
        weights.read(tmp_path)
    other = tmp_path / "x.bin"
    other.touch()
    with pytest.raises(MienError, match="give a model folder"):
        weights.read(other)


def test_a_missing_tensor_file_is_named(folder):
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(MienError, match=r"no model.safetensors in"):
        weights.read(folder)


def test_an_unreadable_file_is_named(folder):
    (folder / WEIGHTS_FILE).unlink()
    (folder / WEIGHTS_FILE).mkdir()
    with pytest.raises(MienError, match="is a folder"):
        weights.read(folder)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({}, "lacks tensor a and 1 more"),
        ({"a": torch.zeros(1), "b": torch.zeros(2), "c": torch.zeros(1)}, "the unknown tensor c"),
        ({"a": torch.zeros(1), "b": torch.zeros(3)}, r"b is \(3,\), not \(2,\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(found, message):
    expected = {"a": torch.zeros(1), "b": torch.zeros(2)}
    with pytest.raises(MienError, match=message):
        weights.check_keys(expected, found, "here")
    weights.check_keys(expected, expected, "here")


def test_the_hub_is_asked_for_an_owner_and_a_name(folder, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    asked = {}

    def snapshot_download(name, *, revision, allow_patterns):
        asked.update(name=name, revision=revision, files=allow_patterns)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    assert weights.read("hub:someone/faces@v2")[0] == CONFIG
    assert asked["name"] == "someone/faces"
    assert asked["revision"] == "v2"
    assert WEIGHTS_FILE in asked["files"]


def test_a_hub_that_cannot_be_asked_is_one_line(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")

    def offline(*args, **kwargs):
        raise ConnectionError("Cannot reach it: offline mode is enabled.\nmore")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(MienError, match="hub cannot provide someone/faces: Cannot") as caught:
        weights.read("hub:someone/faces")
    assert "\n" not in str(caught.value)


def test_without_the_hub_client_its_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MienError, match=r"pip install 'mien\[hub\]'"):
        weights.read("hub:someone/faces")


def test_the_packages_weights_have_names_that_folders_do_not_take(tmp_path, monkeypatch):
    (tmp_path / "fast").mkdir()
    monkeypatch.chdir(tmp_path)
    assert weights.weights_id("mien") == weights.weights_id(weights.shipped_folder())
    assert weights.weights_id("fast") == weights.weights_id(weights.shipped_folder("fast"))
    assert weights.weights_id("fast") != weights.weights_id("mien")
    with pytest.raises(MienError, match=r"no config.json in fast"):
        weights.weights_id("./fast")


@pytest.mark.parametrize("where", ["runs/exported", "someone/faces", "someone/faces@v2"])
def test_a_mistyped_path_is_never_asked_for(where, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", None)
    with pytest.raises(MienError, match=r"no weights at .* or hub:owner/name for one of a hub"):
        weights.read(where)


def test_the_card_says_what_is_known_and_what_is_not():
    card = Card(
        name="test",
        licence="MIT",
        data=["rendered people, 10,000 images"],
        results={"identity AUC": "0.97"},
        config=CONFIG,
    )
    text = card_text(card)
    assert text.startswith("---\nlicense: mit\n")
    assert "- rendered people, 10,000 images" in text
    assert "| identity AUC | 0.97 |" in text
    assert "## Known failures\nNot stated." in text
    assert "license: other" in card_text(Card())
    assert "license: other" in card_text(Card(licence="research use: see the data"))
