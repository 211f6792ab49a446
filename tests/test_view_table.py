"""A table to be looked at: its points, neighbours, and no images but its own."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starlette.testclient import TestClient

from made_service import client_of, open_service
from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.errors import MienError
from mien.serve.app import create_app
from mien.serve.errors import ApiError
from mien.serve.explore import MAX_POINTS, Explorer
from mien.serve.shown import Shown

COUNT = 12
CROPS = EmbedOptions("none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_model):
    """Twelve images, one colour each, and their table; the last image is gone afterwards."""
    place = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        pixels = np.full((40, 40, 3), 20 * number, np.uint8)
        pixels[::2] += rng.integers(0, 10, (20, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number:02}.png")
    embed_to_parquet(place, place / "faces.parquet", model=tiny_model, options=CROPS)
    (place / f"{COUNT - 1:02}.png").unlink()
    return place


@pytest.fixture(scope="module")
def explorer(folder):
    return Explorer.open(folder / "faces.parquet", None)


def rewritten(folder, name, change):
    table = pq.read_table(folder / "faces.parquet")
    frame = table.to_pandas()
    frame = change(frame)
    frame.to_parquet(folder / name)
    return folder / name


def test_what_a_table_is_said_to_be(explorer):
    about = explorer.about()
    assert (about["faces"], about["shown"], about["limit"]) == (COUNT, COUNT, MAX_POINTS)
    assert {"identity PC1", "identity PC3", "yaw_rad"} <= set(about["numbers"])
    assert "path" in about["classes"]
    assert set(about["factors"]) >= {"identity", "expression"}
    assert explorer.missing() == 1


def test_components_are_those_of_scikit_learn(explorer, folder):
    from sklearn.decomposition import PCA

    from mien.table.read import read_codes

    codes = read_codes(folder / "faces.parquet", "identity").astype(float)
    expected = PCA(2).fit_transform(codes)
    for number in range(2):
        found = np.array(explorer.column(f"identity PC{number + 1}")["values"])
        assert np.allclose(np.abs(found), np.abs(expected[:, number]), rtol=1e-3, atol=1e-4)


def test_columns(explorer):
    paths = explorer.column("path")
    assert paths["kind"] == "classes"
    assert [paths["classes"][i] for i in paths["values"]] == [f"{i:02}.png" for i in range(COUNT)]
    yaw = explorer.column("yaw_rad")
    assert yaw["kind"] == "numbers"
    assert len(yaw["values"]) == COUNT
    for name in ("identity", "nothing", "identity PC9", "nothing PC1"):
        with pytest.raises(ApiError):
            explorer.column(name)


def test_neighbours_are_the_most_alike(explorer, folder):
    from mien.table.read import read_codes

    codes = read_codes(folder / "faces.parquet", "expression").astype(float)
    codes -= codes.mean(axis=0)
    codes /= np.linalg.norm(codes, axis=1, keepdims=True)
    order = np.argsort(-(codes @ codes[4]))
    found = explorer.neighbours(4, "expression", 5)["neighbours"]
    assert [one["point"] for one in found] == [i for i in order if i != 4][:5]
    for number, factor in ((COUNT, "identity"), (-1, "identity"), (0, "path")):
        with pytest.raises(ApiError):
            explorer.neighbours(number, factor, 3)


def test_images_are_those_of_the_rows(explorer):
    for number in (0, 5, 10):
        shown = np.asarray(Image.open(io.BytesIO(explorer.image(number))))
        assert abs(float(shown.mean()) - 20 * number) < 8
    with pytest.raises(ApiError, match="not there"):
        explorer.image(COUNT - 1)


@pytest.mark.parametrize("path", ["../secret.png", "a/../../secret.png", "secret.txt", "folder"])
def test_nothing_outside_the_folder_is_read(folder, path):
    (folder.parent / "secret.png").write_bytes((folder / "00.png").read_bytes())
    (folder / "secret.txt").write_text("secret")
    (folder / "folder").mkdir(exist_ok=True)
    table = rewritten(folder, "escape.parquet", lambda frame: frame.assign(path=path))
    with pytest.raises(ApiError, match="not there"):
        Explorer.open(table, None).image(0)


def test_a_box_beyond_reason_is_refused(folder):
    table = rewritten(folder, "box.parquet", lambda frame: frame.assign(x2=np.float32(1e9)))
    with pytest.raises(ApiError, match="box"):
        Explorer.open(table, None).image(0)


def test_of_a_huge_table_so_many_faces_are_shown(folder, monkeypatch):
    monkeypatch.setattr("mien.serve.explore.MAX_POINTS", 5)
    explorer = Explorer.open(folder / "faces.parquet", None)
    about = explorer.about()
    assert (about["faces"], about["shown"]) == (COUNT, 5)
    assert explorer.row(0)["cells"]["path"] == "00.png"
    assert explorer.row(4)["cells"]["path"] == f"{COUNT - 1:02}.png"
    assert explorer.neighbours(0, "identity", 50)["neighbours"]


def test_tables_without_faces_are_refused(folder):
    table = rewritten(folder, "none.parquet", lambda frame: frame.assign(face_found=False))
    with pytest.raises(MienError, match="no row with a face"):
        Explorer.open(table, None)


@pytest.fixture
def client(monkeypatch, folder):
    service = open_service(monkeypatch)
    shown = Shown.open(
        [folder / "00.png", folder / "faces.parquet"], None, max_bytes=service.options.image_bytes
    )
    yield TestClient(create_app(service, shown), base_url="http://127.0.0.1:8321")
    service.close()


def test_the_paths_of_the_page(client, folder):
    about = client.get("/v1/view").json()
    assert about["table"] is True
    assert about["inputs"][0]["kind"] == "image"
    assert client.get("/v1/view/inputs/0").content == (folder / "00.png").read_bytes()
    assert client.get("/v1/view/inputs/1").status_code == 404
    assert client.get("/v1/view/table").json()["missing_images"] == 1
    assert client.get("/v1/view/table/column", params={"name": "yaw_rad"}).status_code == 200
    assert client.get("/v1/view/table/column", params={"name": "x"}).status_code == 422
    assert client.get("/v1/view/table/rows/2").json()["cells"]["path"] == "02.png"
    near = client.get("/v1/view/table/rows/2/neighbours", params={"by": "identity", "count": 3})
    assert len(near.json()["neighbours"]) == 3
    assert client.get("/v1/view/table/rows/2/image").headers["content-type"] == "image/jpeg"
    assert client.get(f"/v1/view/table/rows/{COUNT - 1}/image").status_code == 204
    assert client.get(f"/v1/view/table/rows/{COUNT}/image").status_code == 422
    assert client.get("/v1/view/table/rows/x").status_code == 422


def test_a_service_without_anything_to_show(monkeypatch):
    service = open_service(monkeypatch)
    client = client_of(service)
    assert client.get("/v1/view").json() == {"inputs": [], "table": False}
    assert client.get("/v1/view/table").status_code == 404
    assert client.get("/").headers["content-security-policy"].startswith("default-src 'self';")
    service.close()


def test_fine_maps_are_those_that_are_rendered(monkeypatch):
    service = open_service(monkeypatch)
    client = client_of(service)
    from made_service import base64_of, picture

    image = base64_of(picture())
    plain = client.post("/v1/maps", json={"image": image}).json()
    fine = client.post("/v1/maps", json={"image": image, "fine": True}).json()
    assert (plain["size"], fine["size"]) == (32, 256)
    assert fine["pose"] == plain["pose"]
    service.close()
