"""A table to be looked at: its points, neighbours, and no images but its own."""

from __future__ import annotations

import csv
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starlette.testclient import TestClient

from made_service import base64_of, client_of, open_service
from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.errors import MienError
from mien.serve.app import create_app
from mien.serve.errors import ApiError
from mien.serve.explore import IMAGE_THERE, MAX_POINTS, Explorer
from mien.serve.packed import unpacked
from mien.serve.selection import ExportBody, LabelsBody, export, learn
from mien.serve.shown import Shown
from mien.serve.table_filter import Among

COUNT = 12


def column(explorer, name):
    """What is said of a column, and its values."""
    data = explorer.column(name)
    about, _ = unpacked(data, "u1")
    return about, unpacked(data, "<f4" if about["kind"] == "numbers" else "u1")[1]


def bits_of(points, count=COUNT):
    chosen = np.zeros(count, bool)
    chosen[list(points)] = True
    return base64_of(np.packbits(chosen, bitorder="little").tobytes())


def given_of(*numbers):
    return base64_of(np.array(numbers, "<u2").tobytes())


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
    kinds = {one["name"]: one["kind"] for one in about["columns"]}
    assert [kinds[n] for n in ("identity PC1", "identity PC3", "yaw_rad")] == ["number"] * 3
    assert (kinds["path"], kinds["face_found"]) == ("text", "boolean")
    assert not {"identity", "identity UMAP1"} & set(kinds)
    assert set(about["factors"]) >= {"identity", "expression"}
    assert explorer.missing() == 1
    there, classes = column(explorer, IMAGE_THERE)
    assert (there["classes"], there["counts"]) == (["no", "yes"], [1, COUNT - 1])
    assert classes.tolist() == [1] * (COUNT - 1) + [0]


def test_components_are_those_of_scikit_learn(explorer, folder):
    from sklearn.decomposition import PCA

    from mien.table.read import read_codes

    codes = read_codes(folder / "faces.parquet", "identity").astype(float)
    expected = PCA(2).fit_transform(codes)
    for number in range(2):
        found = column(explorer, f"identity PC{number + 1}")[1]
        assert np.allclose(np.abs(found), np.abs(expected[:, number]), rtol=1e-3, atol=1e-4)


def test_columns(explorer):
    about, paths = column(explorer, "path")
    assert (about["kind"], about["others"], about["other_rows"]) == ("classes", 3, 3)
    assert about["classes"] == [f"{i:02}.png" for i in range(9)]
    assert paths.tolist() == [*range(9), 9, 9, 9]
    about, yaw = column(explorer, "yaw_rad")
    assert about == {"kind": "numbers", "missing": 0}
    assert len(yaw) == COUNT
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
    assert client.get("/v1/view/table").json()["without_face"] == 0
    assert client.get("/v1/view/table/images").json() == {"missing": 1}
    yaw = client.get("/v1/view/table/column", params={"name": "yaw_rad"})
    assert (yaw.status_code, yaw.headers["content-type"]) == (200, "application/octet-stream")
    assert client.get("/v1/view/table/column", params={"name": "x"}).status_code == 422
    assert client.get("/v1/view/table/rows/2").json()["cells"]["path"] == "02.png"
    near = client.post("/v1/view/table/rows/2/neighbours", json={"by": "identity", "count": 3})
    assert len(near.json()["neighbours"]) == 3
    wrong = client.post("/v1/view/table/rows/2/neighbours", json={"by": "path"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid")
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
    from made_service import picture

    image = base64_of(picture())
    plain = client.post("/v1/maps", json={"image": image}).json()
    fine = client.post("/v1/maps", json={"image": image, "fine": True}).json()
    assert (plain["size"], fine["size"]) == (32, 256)
    assert fine["pose"] == plain["pose"]
    service.close()


def as_video(frame, gaze=True):
    """The rows as two tracks in turn, three seconds a frame."""
    turn = np.arange(len(frame))
    calibrated = {"gaze_yaw_rad": np.where(turn < 2, np.nan, 0.1 * turn)} if gaze else {}
    return frame.assign(
        path="clip.mp4", frame=turn // 2, time_s=3.0 * (turn // 2), track_id=turn % 2, **calibrated
    )


@pytest.mark.parametrize("gaze", [True, False])
def test_a_video_over_time(folder, explorer, gaze):
    video = Explorer.open(rewritten(folder, "video.parquet", lambda f: as_video(f, gaze)), None)
    assert video.about()["videos"] == [{"name": "clip.mp4", "faces": COUNT}]
    found = video.timeline(0)
    assert found["series"] == ["yaw", *(["gaze"] if gaze else []), "expression"]
    for number, track in enumerate(found["tracks"]):
        assert track["track"] == number
        assert track["points"] == list(range(number, COUNT, 2))
        assert track["time_s"] == [3.0 * i for i in range(COUNT // 2)]
    from mien.table.read import read_codes

    yaw = column(explorer, "yaw_rad")[1]
    shown = found["tracks"][1]["series"]
    assert shown["yaw"] == pytest.approx(np.rad2deg(yaw[1::2]), rel=1e-4)
    length = np.linalg.norm(read_codes(folder / "faces.parquet", "expression"), axis=1)
    assert shown["expression"] == pytest.approx(length[1::2], rel=1e-4)
    if gaze:
        assert shown["gaze"][0] is None
        assert shown["gaze"][1:] == pytest.approx(np.rad2deg(0.1 * np.arange(3, COUNT, 2)), 1e-4)
    with pytest.raises(ApiError, match="video"):
        video.timeline(1)
    assert explorer.about()["videos"] == []


def test_the_whole_image_with_its_box(folder):
    table = rewritten(folder, "part.parquet", lambda f: f.assign(x1=8.0, y1=8.0, x2=30.0, y2=30.0))
    shown = np.asarray(Image.open(io.BytesIO(Explorer.open(table, None).scene(5))), dtype=float)
    assert shown.shape == (40, 40, 3)
    assert shown[8, 8:30, 0].mean() > shown[20, 12:26, 0].mean() + 50  # the box is bright
    with pytest.raises(ApiError, match="not there"):
        Explorer.open(table, None).scene(COUNT - 1)


def test_a_selection_is_a_file_of_labels(folder, tmp_path):
    from mien.probes.labels import read_labels

    def risky(frame):
        return frame.assign(path=["=1+1.png", *frame["path"][1:]])

    explorer = Explorer.open(rewritten(folder, "risky.parquet", risky), None)
    labels = {"label": "smile", "texts": ["-1", "yes"], "given": given_of(2, 1, 0)}
    asked = ExportBody(bits=bits_of([0, 4, 2]), **labels)
    text = b"".join(export(explorer, asked)).decode()
    head, *lines = csv.reader(text.splitlines())
    assert head[:5] == ["path", "frame", "face_id", "smile", "time_s"]
    assert [line[:5] for line in lines] == [
        ["'=1+1.png", "0", "0", "yes", ""],
        ["02.png", "0", "0", "'-1", ""],
        ["04.png", "0", "0", "", ""],
    ]
    (tmp_path / "labels.csv").write_text(text)
    found = read_labels([tmp_path / "labels.csv"], label="smile")
    assert [(one.path, one.text) for one in found.labels] == [("=1+1.png", "yes"), ("02.png", "-1")]
    some = {"bits": bits_of([0])}
    for wrong in (
        {"bits": bits_of([])},
        {"bits": bits_of([COUNT], 16)},
        {"bits": bits_of([0], 24)},
        {"bits": "?"},
        {**some, "label": "yaw_rad"},
        {**some, "label": "smile", "given": given_of(1)},
        {**some, "label": "smile", "given": given_of(0, 0)},
    ):
        with pytest.raises(ApiError):
            export(explorer, ExportBody.model_validate(wrong))


def test_labels_make_the_probe_of_the_command(folder, explorer):
    """As `mien probe` does: the same rows, labels and seed."""
    from mien.probes.fit import fit_probe
    from mien.probes.labels import Label, Labels
    from mien.probes.match import match_labels
    from mien.table.read import some_columns

    bright = {point: "bright" if point > 5 else "dark" for point in range(11) if point != 3}
    rows = [Label(f"{p:02}.png", 0, 0, None, text) for p, text in bright.items()]
    faces = some_columns(
        folder / "faces.parquet", ["path", "frame", "face_id", "identity", "expression"]
    )
    expected = fit_probe(
        match_labels(faces, Labels("light", tuple(rows), None, 0)), rng=np.random.default_rng(0)
    )
    labels = [{"point": point, "value": text} for point, text in bright.items()]
    asked = {"label": "light", "labels": labels, "suggest": 5}
    probe, more = learn(explorer, LabelsBody.model_validate(asked))
    assert probe.text() == expected.text()
    assert more["column"] == "predicted light"
    about, numbers = column(explorer, "predicted light")
    said = [about["classes"][i] for i in numbers]
    assert len(said) == COUNT
    light = Among(column="predicted light", kind="among", values=["dark"])
    assert explorer.filters.matching([light]).tolist() == [one == "dark" for one in said]
    assert {one["point"] for one in more["suggestions"]} == {3, 11}
    assert all(one["value"] == said[one["point"]] for one in more["suggestions"])
    with pytest.raises(ApiError, match="two"):
        learn(explorer, LabelsBody.model_validate({**asked, "labels": labels[:1] * 2}))
    with pytest.raises(MienError, match="too few"):
        learn(explorer, LabelsBody.model_validate({**asked, "labels": labels[:4]}))


def test_the_paths_of_a_selection(client, folder, tmp_path):
    from mien.probes.probe import Probe

    asked = {"bits": bits_of([1, 2]), "label": None}
    found = client.post("/v1/view/table/export", json=asked)
    assert found.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(found.text.splitlines()))
    assert [row["path"] for row in rows] == ["01.png", "02.png"]
    assert client.post("/v1/view/table/export", json={"bits": ""}).status_code == 422
    assert client.get("/v1/view/table/videos/0").status_code == 422
    assert client.get("/v1/view/table/rows/2/image", params={"whole": True}).status_code == 200
    labels = [{"point": p, "value": "a" if p % 2 else "b"} for p in range(10)]
    made = client.post("/v1/view/table/probe", json={"label": "odd", "labels": labels})
    assert made.status_code == 200, made.text
    file = client.get(f"/v1/probes/{made.json()['id']}/file")
    (tmp_path / "odd.json").write_bytes(file.content)
    assert Probe.load(tmp_path / "odd.json").samples == 10
    few = client.post("/v1/view/table/probe", json={"label": "odd", "labels": labels[:3]})
    assert (few.status_code, few.json()["error"]["code"]) == (422, "cannot_fit")
