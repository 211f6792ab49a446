import hashlib
import zipfile

import numpy as np
import pytest

from mien import weights
from mien.cli.main import run
from mien.data.provenance import hashes, image_hashes
from mien.data.sources import find_sources
from mien.errors import MienError
from mien.media.image import write_png
from mien.model import load


def digest(path):
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()


@pytest.fixture
def faces(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "faces"
    folder.mkdir()
    for number in range(4):
        write_png(folder / f"{number}.png", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return folder


def test_a_file_has_the_same_digest_by_itself_and_in_a_zip(faces, tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(faces.iterdir()):
            archive.write(path, f"below/{path.name}")
    expected = [digest(path) for path in sorted(faces.iterdir())]
    for source in (faces, tmp_path / "faces.zip"):
        assert [found for _, found in hashes(find_sources([source]).pieces)] == expected


def test_excluded_images_are_left_out_whatever_they_are_called(faces, tmp_path):
    (tmp_path / "kept_back").mkdir()
    (tmp_path / "kept_back/other.png").write_bytes((faces / "2.png").read_bytes())
    excluded = find_sources([tmp_path / "kept_back"]).pieces
    found = image_hashes(find_sources([faces]).pieces, excluded)
    assert found == {digest(faces / f"{number}.png") for number in (0, 1, 3)}


def test_what_cannot_be_read_is_named(faces):
    pieces = find_sources([faces]).pieces
    (faces / "1.png").unlink()
    with pytest.raises(MienError, match=r"1\.png cannot be read"):
        image_hashes(pieces)


def test_a_model_keeps_its_list_and_a_later_one_in_its_place_does_not_inherit_it(tmp_path):
    listed = {"00" * 8, "ff" * 8}
    weights.save(tmp_path, {}, {}, "", images=listed)
    assert weights.trained_on(tmp_path) == listed
    assert (tmp_path / weights.IMAGES_FILE).read_text() == "0" * 16 + "\n" + "f" * 16 + "\n"
    weights.save(tmp_path, {}, {}, "", overwrite=True)
    assert weights.trained_on(tmp_path) == frozenset()


def test_a_saved_model_has_card_and_list_of_the_loaded_one(tiny_folder, tmp_path):
    model = load(tiny_folder)
    assert model.card == "# tiny\n"
    model.images = frozenset({"ab" * 8})
    model.save(tmp_path / "copy")
    again = load(tmp_path / "copy")
    assert (again.card, again.images) == ("# tiny\n", {"ab" * 8})


def test_the_command_prints_the_card_and_finds_images(faces, tiny_folder, tmp_path, capsys):
    assert run(["card", str(tiny_folder)]) == 0
    assert capsys.readouterr().out.strip() == "# tiny"
    assert run(["card", str(tiny_folder), "--has", str(faces)]) == 2
    assert "has no list of the images" in capsys.readouterr().err
    model = load(tiny_folder)
    model.images = frozenset({digest(faces / "3.png")})
    model.save(tmp_path / "m")
    (faces / "renamed.png").write_bytes((faces / "3.png").read_bytes())
    assert run(["card", str(tmp_path / "m"), "--has", str(faces)]) == 0
    said = capsys.readouterr()
    assert said.out.split() == [str(faces / "3.png"), str(faces / "renamed.png")]
    assert "2 of 5 files were trained on" in said.err
    assert run(["card", str(tmp_path / "nowhere")]) == 2
