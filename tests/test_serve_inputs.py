"""Whatever is sent to the service: one clear answer each, and the service stays well."""

from __future__ import annotations

import io
import json
import struct
import zlib

import av
import numpy as np
import pytest
from PIL import Image

from made_service import (
    GAZE_DIM,
    WIDTH,
    base64_of,
    client_of,
    open_service,
    picture,
    small_model,
    targets,
)
from mien.probes.gaze_target import code_towards

PNG = {"content-type": "image/png"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def client(monkeypatch, tmp_path):
    service = open_service(monkeypatch, collections=tmp_path, max_image_mib=0.25)
    with client_of(service) as client:
        client.post("/v1/collections", json={"name": "c"})
        yield client
        assert client.post("/v1/analyze", content=picture(), headers=PNG).status_code == 200


def code(answer):
    return answer.status_code, answer.json()["error"]["code"]


def bomb(side=40_000):
    """A PNG whose head promises 1.6 gigapixels, and nothing more."""
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99))


BAD_IMAGES = {
    "nothing": (b"", 422, "invalid"),
    "text": (b"no image", 422, "unreadable_image"),
    "cut short": (picture(form="JPEG", size=(64, 64))[:300], 422, "unreadable_image"),
    "a head alone": (picture()[:40], 422, "unreadable_image"),
    "a bomb": (bomb(), 413, "too_many_pixels"),
    "too many bytes": (picture() + b"\0" * (1 << 18), 413, "image_too_large"),
    "300 faces": (picture(first=255), 422, "too_many_faces"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
@pytest.mark.parametrize("form", ["raw", "json", "parts"])
def test_bad_images(client, name, form):
    data, status, expected = BAD_IMAGES[name]
    if form == "raw":
        answer = client.post("/v1/analyze", content=data, headers=PNG)
    elif form == "json":
        answer = client.post("/v1/analyze", json={"image": base64_of(data)})
    else:
        answer = client.post("/v1/analyze", files={"image": data})
    assert code(answer) == (status, expected)
    assert "\n" not in answer.json()["error"]["message"]
    assert len(answer.content) < 700


def test_an_image_without_faces_has_none(client):
    answer = client.post("/v1/analyze", content=picture(first=0), headers=PNG)
    assert answer.status_code == 200
    assert answer.json()["faces"] == []
    for path in ("/v1/collections/c/search", "/v1/collections/c/faces?person=anna"):
        assert code(client.post(path, content=picture(first=0), headers=PNG)) == (422, "no_face")


def test_all_forms_of_a_body_give_the_same(client):
    found = [
        client.post("/v1/analyze", content=picture(), headers=PNG),
        client.post("/v1/analyze", content=picture(), headers={"content-type": "image/jpeg"}),
        client.post("/v1/analyze", json={"image": base64_of(picture())}),
        client.post("/v1/analyze", files={"image": ("../../etc/passwd", picture(), "text/plain")}),
    ]
    assert {answer.text for answer in found} == {found[0].text}
    face = found[0].json()["faces"][0]
    assert face["box"] == {"x1": 0, "y1": 0, "x2": 32, "y2": 32}
    assert len(face["identity"]) == len(face["expression"]) == WIDTH
    assert len(face["gaze"]["code"]) == GAZE_DIM
    assert "features" not in face


def test_only_the_fields_that_are_asked_for_are_given(client):
    answer = client.post("/v1/analyze?fields=light,features", content=picture(), headers=PNG)
    assert set(answer.json()["faces"][0]) == {"box", "score", "light", "features"}
    answer = client.post("/v1/analyze?fields=light,", content=picture(), headers=PNG)
    assert code(answer) == (422, "invalid")


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ('{"image": 7}', "image: "),
        ('{"image": "%"}', "this is not base64"),
        ('{"image": "AAAA", "more": 1}', "more: "),
        ('{"image": ', "not JSON"),
        ("\xff", "not JSON"),
        ('{"image": "\\ud800"}', "not JSON"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_bad_json(client, body, line):
    answer = client.post("/v1/analyze", content=body.encode("latin-1"), headers=JSON)
    assert answer.status_code in (400, 422)
    assert line in answer.json()["error"]["message"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", '"0.1"', "true"])
def test_numbers_are_finite_numbers(client, number):
    edit = f'{{"pose": {{"yaw_rad": {number}, "pitch_rad": 0}}}}'
    assert code(client.post("/v1/render", files={"image": picture(), "edit": edit}))[0] in (
        400,
        422,
    )
    body = f'{{"image": "{base64_of(picture())}", "light_from": {{"x": {number}, "y": 0, "z": 1}}}}'
    assert client.post("/v1/render", content=body, headers=JSON).status_code in (400, 422)


def test_changes_that_do_not_go_together(client):
    face = base64_of(picture())
    pose, light = {"yaw_rad": 0.1, "pitch_rad": 0.0}, {"x": 0.0, "y": 0.0, "z": -1.0}
    code_of_gaze, expression = [0.0] * GAZE_DIM, [0.0] * WIDTH
    full = {"ambient": 0.5, "diffuse": 0.5, **light}
    bad = [
        {},
        {"image": face, "factors": None, "face": 1},
        {"image": face, "neutral": True, "expression": expression},
        {"image": face, "expression_image": face, "expression": expression},
        {"image": face, "light_from": light, "light": full},
        {"image": face, "light_from": dict.fromkeys("xyz", 0.0)},
        {"image": face, "light": {**full, "z": 0.0}},
        {"image": face, "gaze_code": code_of_gaze, "pose": pose},
        {"image": face, "gaze_code": code_of_gaze, "output": "glb"},
        {"image": face, "gaze_code": code_of_gaze, "output": "mp4"},
        {"image": face, "pose": pose, "output": "mp4"},
        {"image": face, "gaze_code": [0.0]},
        {"image": face, "expression": [0.0]},
        {"image": face, "size": 5000},
        {"image": face, "output": "tiff"},
    ]
    for body in bad:
        answer = client.post("/v1/render", json=body)
        assert answer.status_code == 422, (body.keys(), answer.text)
    both = {"image": face, "neutral": True, "expression": expression}
    assert code(client.post("/v1/maps", json=both)) == (422, "invalid")


def test_what_was_analysed_can_be_rendered(client):
    face = client.post("/v1/analyze", content=picture(), headers=PNG).json()["faces"][0]
    factors = {name: face[name] for name in ("identity", "expression", "pose", "light")}
    outputs = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP"}
    for output, form in outputs.items():
        answer = client.post("/v1/render", json={"factors": factors, "size": 24, "output": output})
        image = Image.open(io.BytesIO(answer.content))
        assert (image.format, image.size) == (form, (24, 24))
        assert answer.headers["content-type"] == f"image/{output}"
    answer = client.post("/v1/render", json={"factors": factors, "output": "glb"})
    assert answer.content[:4] == b"glTF"
    assert answer.headers["content-type"] == "model/gltf-binary"
    film = client.post("/v1/render", json={"factors": factors, "size": 32, "output": "mp4"})
    assert film.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(film.content), "r") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 48
    assert frames[0].shape == (32, 32, 3)
    assert max(np.abs(frame.astype(int) - frames[0]).mean() for frame in frames) > 1
    # By the image or by its factors: the same maps.
    by_factors = client.post("/v1/maps", json={"factors": factors, "encoding": "float32"}).json()
    image = {"image": base64_of(picture()), "encoding": "float32"}
    by_image = client.post("/v1/maps", json=image).json()
    assert by_factors["depth_low"] == pytest.approx(by_image["depth_low"], abs=1e-5)
    short = {"factors": {**factors, "identity": [0.0]}}
    assert code(client.post("/v1/render", json=short)) == (422, "invalid")


def test_maps_of_both_encodings_agree(client):
    import base64

    import numpy as np

    face = {"image": base64_of(picture())}
    png = client.post("/v1/maps", json=face).json()
    raw = client.post("/v1/maps", json={**face, "encoding": "float32"}).json()
    size = raw["size"]
    depth = np.frombuffer(base64.b64decode(raw["depth"]), "<f4").reshape(size, size)
    levels = np.asarray(Image.open(io.BytesIO(base64.b64decode(png["depth"]))))
    assert levels.dtype == np.uint16 or levels.max() > 255
    span = png["depth_high"] - png["depth_low"]
    found = png["depth_low"] + levels.astype(float) / 65535 * span
    np.testing.assert_allclose(found, depth, atol=span / 65000)
    albedo = np.frombuffer(base64.b64decode(raw["albedo"]), "<f4").reshape(size, size, 3)
    colours = np.asarray(Image.open(io.BytesIO(base64.b64decode(png["albedo"]))))
    np.testing.assert_allclose(colours / 255, albedo, atol=0.51 / 255)


def test_a_gaze_is_redirected_where_eyes_are_seen(client, monkeypatch):
    face = base64_of(picture())
    answer = client.post("/v1/render", json={"image": face, "gaze_image": face, "size": 32})
    assert Image.open(io.BytesIO(answer.content)).size == (32, 32)
    answer = client.post("/v1/render", files={"image": picture(), "gaze_image": picture(2)})
    assert answer.status_code == 200
    with client_of(open_service(monkeypatch, model=small_model(eyes=False))) as blind:
        for body in ({"gaze_image": face}, {"gaze_code": [0.0] * GAZE_DIM}):
            assert code(blind.post("/v1/render", json={"image": face, **body})) == (422, "no_eyes")


def test_a_gaze_is_turned_by_a_calibration(client, monkeypatch):
    """The image is that of the code which the calibration reads as looking there."""
    body, face = {"samples": list(targets(40))}, base64_of(picture())
    made = client.post("/v1/calibrations", json=body).json()["id"]
    analyzed = client.post("/v1/analyze?fields=gaze,pose", json={"image": face}).json()
    gaze, pose = (analyzed["faces"][0][name] for name in ("gaze", "pose"))
    aim = {"calibration": made, "yaw_rad": 0.2, "pitch_rad": -0.1}
    found = client.post("/v1/render", json={"image": face, "gaze_direction": aim})
    assert found.status_code == 200, found.text
    known = client.app.state.service.calibrations.get(made)
    head = np.array([pose[f"{name}_rad"] for name in ("yaw", "pitch", "roll")])
    towards = code_towards(known, np.array(gaze["code"]), 0.2, -0.1, head_pose=head)
    direct = client.post("/v1/render", json={"image": face, "gaze_code": towards.tolist()})
    one, other = (
        np.asarray(Image.open(io.BytesIO(answer.content)), float) for answer in (found, direct)
    )
    assert np.abs(one - other).max() <= 1
    for wrong in ({"yaw_rad": 2.0}, {"calibration": "x"}, {"roll_rad": 0.0}):
        answer = client.post("/v1/render", json={"image": face, "gaze_direction": {**aim, **wrong}})
        assert code(answer) == (422, "invalid")
    several = {"image": face, "gaze_direction": aim, "gaze_code": gaze["code"]}
    assert code(client.post("/v1/render", json=several)) == (422, "invalid")
    gone = {"image": face, "gaze_direction": {**aim, "calibration": "0" * 16}}
    assert code(client.post("/v1/render", json=gone)) == (404, "unknown_calibration")
    with client_of(open_service(monkeypatch, model=small_model(eyes=False))) as blind:
        made = blind.post("/v1/calibrations", json=body).json()["id"]
        shut = {"image": face, "gaze_direction": {**aim, "calibration": made}}
        assert code(blind.post("/v1/render", json=shut)) == (422, "no_eyes")


@pytest.mark.parametrize(
    "name", ["%2e%2e", "..%2f..%2fetc", "a%00b", "%c3%a9", "a" * 65, ".hidden", "a.b", "CON:"]
)
def test_names_are_names(client, name):
    for path in (f"/v1/collections/{name}", f"/v1/collections/c/people/{name}"):
        assert client.delete(path).status_code in (404, 405, 422)
    try:
        body = {"name": name}
        assert client.post("/v1/collections", json=body).status_code == 422
    finally:
        assert client.get("/v1/collections").json()["collections"][0]["name"] == "c"


def test_pages_go_on_where_they_ended(client):
    for i in range(5):
        person = {"person": f"p{i}"}
        client.post("/v1/collections/c/faces", params=person, content=picture(i), headers=PNG)
    names, cursor = [], None
    for _ in range(3):
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        answer = client.get("/v1/collections/c/people", params=params).json()
        names += [row["person"] for row in answer["people"]]
        cursor = answer["next_cursor"]
    assert names == [f"p{i}" for i in range(5)]
    assert cursor is None
    for bad in ("e30", "AAAA", "eyJmcm9tIjogLTF9"):
        assert client.get("/v1/collections/c/people", params={"cursor": bad}).status_code == 422


def test_faces_are_found_again(client):
    for person, seed in (("anna", 1), ("ben", 2)):
        asked = {"person": person}
        client.post("/v1/collections/c/faces", params=asked, content=picture(seed), headers=PNG)
    answer = client.post("/v1/collections/c/search?limit=1", content=picture(2), headers=PNG).json()
    (match,) = answer["matches"]
    assert match["person"] == "ben"
    assert match["similarity"] == pytest.approx(1)
    assert match["reaches_threshold"]
    assert answer["searched"] == 2
    assert answer["threshold"]["false_match_rate"] == 0.01
    rate = {"false_match_rate": 0.02}
    answer = client.post("/v1/collections/c/search", params=rate, content=picture(2), headers=PNG)
    assert "0.1, 0.01" in answer.json()["error"]["message"]


def test_a_comparison_says_where_it_lies(client):
    pair = {"first": base64_of(picture(1)), "second": base64_of(picture(1))}
    same = client.post("/v1/compare", json=pair).json()
    assert same["similarity"] == pytest.approx(1)
    assert same["reaches_threshold"]
    assert same["different_people"] == {"at_least": None, "at_most": 0.01}
    assert same["same_person"] == {"at_least": None, "at_most": 0.7}
    files = [("second", picture(2)), ("first", picture(1))]
    other = client.post("/v1/compare", files=files).json()
    likeness = other["similarity"]
    expected = [t["false_match_rate"] for t in same["thresholds"] if t["similarity"] <= likeness]
    assert other["different_people"]["at_most"] == (expected[-1] if expected else None)


def test_a_calibration_and_a_probe_serve_images(client):
    from made_service import labelled, targets

    calibration = client.post("/v1/calibrations", json={"samples": list(targets())}).json()
    probe = client.post("/v1/probes", json={"label": "smile", "samples": list(labelled())}).json()
    asked = {"calibration": calibration["id"], "probe": probe["id"], "fields": "gaze"}
    answer = client.post("/v1/analyze", params=asked, content=picture(), headers=PNG).json()
    face = answer["faces"][0]
    direction = face["gaze"]["direction"]
    assert sum(direction[axis] ** 2 for axis in "xyz") == pytest.approx(1, abs=1e-5)
    assert face["prediction"]["value"] in ("rests", "smiles")
    samples = {"samples": [{"gaze_code": face["gaze"]["code"]}]}
    path = f"/v1/calibrations/{calibration['id']}/apply"
    (gaze,) = client.post(path, json=samples).json()["gazes"]
    assert gaze["yaw_rad"] == pytest.approx(direction["yaw_rad"], abs=1e-4)
    assert client.get("/v1/probes").json()["probes"] == [probe]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda samples: samples[:3], "too few"),
        (
            lambda samples: [{**s, "target": {"x": 0.0, "y": 0.0, "z": -1.0}} for s in samples],
            "one",
        ),
        (lambda samples: [{**s, "gaze_code": [1.0]} for s in samples], "1 numbers"),
        (lambda samples: [{**samples[0], "person": "a"}, *samples[1:]], "of all samples"),
    ],
)
def test_samples_that_nothing_can_be_learned_of(client, change, line):
    from made_service import targets

    answer = client.post("/v1/calibrations", json={"samples": change(list(targets()))})
    assert answer.status_code == 422
    assert line in answer.json()["error"]["message"]


def test_what_was_sent_is_not_repeated(client):
    secret = "x" * 50
    answer = client.post("/v1/collections", json={"name": f"{secret}!", secret[:9]: secret})
    assert json.loads(answer.content)["error"]["code"] == "invalid"
    assert secret not in answer.text
