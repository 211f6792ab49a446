"""The parts of the service, one by one."""

from __future__ import annotations

import contextlib
import json
import threading
import time

import numpy as np
import pytest
import torch

from made_service import client_of, open_service, picture, small_model
from mien.errors import MienError
from mien.serve.audit import Audit
from mien.serve.batching import BatchEncoder
from mien.serve.collections import FolderStore, FullError, MissingError, TakenError
from mien.serve.errors import ApiError
from mien.serve.gate import CSP
from mien.serve.options import ServeOptions, is_loopback
from mien.serve.rate import RateLimit
from mien.serve.tokens import Tokens

TOKEN = "t" * 40
PNG = {"content-type": "image/png"}


def crops(count, seed=0):
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))


def held_model():
    """A model that encodes when it is let go, and the events that it has begun and may go on."""
    model = small_model(gaze=False)
    encode, began, go = model.encode, threading.Event(), threading.Event()

    def slow(images, *, features=False):
        began.set()
        go.wait(30)
        return encode(images, features=features)

    model.encode = slow
    return model, began, go


def test_what_several_bring_is_encoded_together():
    model, sizes = small_model(gaze=False), []
    encoder = BatchEncoder(model, size=8, wait_s=0.5, room=16, on_batch=sizes.append)
    parts = [encoder.submit(crops(n, seed=n)) for n in (1, 2, 5, 10)]
    for count, futures in zip((1, 2, 5, 10), parts, strict=True):
        rows = torch.cat([future.result(30).identity for future in futures])
        images = torch.from_numpy(np.stack(crops(count, seed=count))).permute(0, 3, 1, 2)
        torch.testing.assert_close(rows, model.encode(images).identity)
    encoder.close()
    assert sum(sizes) == 18
    assert max(sizes) == 8
    with pytest.raises(RuntimeError, match="closed"):
        encoder.submit(crops(1))


def test_the_line_does_not_grow():
    model = small_model(gaze=False)
    encode, go = model.encode, threading.Event()

    def slow(images, *, features=False):
        go.wait(30)
        return encode(images, features=features)

    model.encode = slow
    encoder = BatchEncoder(model, size=2, wait_s=0, room=4)
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(encoder.submit(crops(2)))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    assert len(done) <= 3  # one batch is worked at, two wait
    go.set()
    for thread in threads:
        thread.join(30)
    encoder.close()
    assert len(done) == 6


def test_who_came_during_a_batch_waits_for_no_others():
    model, began, go = held_model()
    encoder = BatchEncoder(model, size=2, wait_s=3, room=4)
    (first,), (second,) = (encoder.submit(crops(1, seed=seed)) for seed in (0, 1))
    began.wait(30)
    (third,) = encoder.submit(crops(1, seed=2))
    time.sleep(3.1)
    start = time.monotonic()
    go.set()
    assert all(len(one.result(30)) == 1 for one in (first, second, third))
    assert time.monotonic() - start < 2.5  # it has waited 3 s already
    encoder.close()


def test_the_fault_of_one_is_not_that_of_others():
    model = small_model(gaze=False)
    encode = model.encode

    def picky(images, *, features=False):
        if (images == 7).all(dim=(1, 2, 3)).any():
            raise MienError("not this one")
        return encode(images, features=features)

    model.encode = picky
    encoder = BatchEncoder(model, size=8, wait_s=0.3, room=8)
    (good,), (bad,) = encoder.submit(crops(1)), encoder.submit([np.full((32, 32, 3), 7, np.uint8)])
    assert len(good.result(30)) == 1
    with pytest.raises(MienError, match="not this one"):
        bad.result(30)
    encoder.close()


@pytest.mark.parametrize("encoding", [False, True])
def test_who_leaves_takes_nobody_along(encoding):
    model, began, go = held_model()
    encoder = BatchEncoder(model, size=1, wait_s=0, room=4)
    (first,), (second,) = encoder.submit(crops(1)), encoder.submit(crops(1, seed=1))
    began.wait(30)
    assert (first if encoding else second).cancel() is not encoding
    go.set()
    (third,) = encoder.submit(crops(1, seed=2))
    assert len(third.result(30)) == 1
    encoder.close()


def test_a_full_line_is_said_at_once(monkeypatch):
    service = open_service(monkeypatch, max_queue=1)
    with client_of(service) as client, service.engine.place():
        answer = client.post("/v1/analyze", content=picture(), headers=PNG)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
        assert answer.headers["retry-after"] == "1"
    assert b"mien_queue_images 0.0" in service.metrics.text()


def test_a_bucket_fills_again():
    now = [0.0]
    limit = RateLimit(2, 3, now=lambda: now[0])
    for _ in range(3):
        limit.take("a")
    with pytest.raises(ApiError) as caught:
        limit.take("a")
    assert caught.value.headers["retry-after"] == "1"
    limit.take("b")
    now[0] = 0.5
    limit.take("a")
    with pytest.raises(ApiError):
        limit.take("a")


def test_tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# who\n\nanna {TOKEN}\nben\t{'b' * 32}\n")
    path.chmod(0o600)
    tokens = Tokens.read(path)
    assert tokens.name_of(TOKEN) == "anna"
    assert tokens.name_of("b" * 32) == "ben"
    for wrong in (None, "", TOKEN[:-1], "é", "\udcff"):
        assert tokens.name_of(wrong) is None
    assert TOKEN not in repr(tokens)
    assert Tokens.read(None).name_of(None) == "local"


@pytest.mark.parametrize(
    ("text", "mode", "line"),
    [
        (f"anna {TOKEN}", 0o644, "chmod 600"),
        ("", 0o600, "holds no token"),
        ("anna short", 0o600, "line 1"),
        (f"anna {TOKEN}\nanna {TOKEN}", 0o600, "line 2"),
        (f"an/na {TOKEN}", 0o600, "line 1"),
    ],
)
def test_bad_tokens(tmp_path, text, mode, line):
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(MienError, match=line):
        Tokens.read(path)


def test_options_are_checked():
    for wrong in ({"port": 70000}, {"batch_size": 0}, {"rate": float("nan")}, {"detector": "x"}):
        with pytest.raises(MienError, match=r"serve\."):
            ServeOptions(**wrong)  # type: ignore[arg-type]
    with pytest.raises(MienError, match="--token-file"):
        ServeOptions(host="0.0.0.0")
    assert [is_loopback(h) for h in ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost")]
    assert not any(map(is_loopback, ("", "10.0.0.1", "localhost.evil", "127.0.0.1.evil", "::2")))


def test_a_token_opens_the_service_and_is_named_in_the_log(monkeypatch, tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"anna {TOKEN}")
    path.chmod(0o600)
    service = open_service(monkeypatch, tokens=Tokens.read(path), audit=tmp_path / "audit")
    with client_of(service) as client:
        for token in (TOKEN, "x" * 40):
            headers = {**PNG, "authorization": f"Bearer {token}", "host": "faces.example"}
            client.post("/v1/analyze", content=picture(), headers=headers)
        for path in ("/v1/health", "/docs/", "/docs/page.js", "/openapi.json"):
            assert client.get(path).status_code == 200
    first, second = map(json.loads, (tmp_path / "audit").read_text().splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "token": "anna",
        "operation": "analyze",
        "status": 200,
        "images": 1,
        "faces": 1,
    }
    assert (second["token"], second["status"]) == ("?", 401)
    assert (tmp_path / "audit").stat().st_mode & 0o777 == 0o600
    with pytest.raises(MienError, match="cannot write"):
        Audit(tmp_path / "no" / "audit")


def test_every_answer_has_the_headers(monkeypatch):
    with client_of(open_service(monkeypatch)) as client:
        for path in ("/v1/health", "/docs/", "/nowhere", "/v1/nowhere", "/metrics"):
            headers = client.get(path).headers
            assert headers["content-security-policy"] == CSP
            assert headers["x-frame-options"] == "DENY"
            assert "access-control-allow-origin" not in headers
        assert (
            client.options("/v1/analyze", headers={"origin": "http://127.0.0.1:8321"}).status_code
            == 405
        )
        page = client.get("/docs/").text
        assert "://" not in page
        assert "<style" not in page
        assert " on" + "click" not in page


def test_a_path_says_what_methods_it_takes(monkeypatch, tmp_path):
    with client_of(open_service(monkeypatch, collections=tmp_path)) as client:
        for method, path, allow in (
            ("GET", "/v1/analyze", "POST"),
            ("GET", "/v1/collections/a/search", "POST"),
            ("PUT", "/v1/collections", "GET, HEAD, POST"),
            ("POST", "/v1/collections/a", "DELETE, GET, HEAD"),
            ("POST", "/docs/", "GET, HEAD"),
        ):
            answer = client.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allow), path
            assert answer.json()["error"]["code"] == "method_not_allowed"
        assert client.get("/v1/nothing").json()["error"]["code"] == "unknown_path"


def test_an_unforeseen_fault_is_answered_and_logged(monkeypatch, caplog):
    service = open_service(monkeypatch)

    async def broken(*_, **__):
        raise ValueError("a secret")

    service.engine.see = broken
    with client_of(service) as client:
        answer = client.post("/v1/analyze", content=picture(), headers=PNG)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"] in caplog.text


def test_metrics_count(monkeypatch):
    with client_of(open_service(monkeypatch)) as client:
        client.post("/v1/analyze", content=picture(), headers=PNG)
        text = client.get("/metrics").text
    assert 'mien_requests_total{operation="analyze",status="200"} 1.0' in text
    assert "mien_faces_total 1.0" in text
    assert "mien_batch_faces_count 1.0" in text


@pytest.fixture
def store(tmp_path):
    store = FolderStore(tmp_path / "store", max_collections=2, max_faces=4)
    yield store
    store.close()


def code(seed):
    return np.random.default_rng(seed).normal(size=8).astype(np.float32)


def filled(store, *, keep_images=True):
    store.create("c", weights_id="w", code="identity", keep_images=keep_images)
    return [store.add("c", person, code(i), b"image") for i, person in enumerate("aab")]


def test_a_collection_is_there_again(tmp_path):
    store = FolderStore(tmp_path / "store")
    faces = filled(store)
    before = store.get("c")
    store.close()
    with contextlib.closing(FolderStore(tmp_path / "store")) as again:
        found = again.get("c")
        assert found.faces == before.faces == tuple(faces)
        assert found.people == {"a": 2, "b": 1}
        np.testing.assert_array_equal(found.codes, [code(0), code(1), code(2)])
        assert again.image("c", faces[0].face_id) == b"image"


def test_a_deleted_person_is_gone_from_the_disk(store, tmp_path):
    faces = filled(store)
    gone = store.delete_person("c", "a")
    assert (gone.faces, gone.people, gone.files_searched) == (2, 1, 2)
    content = b"".join(p.read_bytes() for p in (tmp_path / "store").rglob("*") if p.is_file())
    for i in (0, 1):
        assert code(i).tobytes() not in content
        assert faces[i].face_id.encode() not in content
        assert not list((tmp_path / "store").rglob(faces[i].face_id))
    assert code(2).tobytes() in content
    assert [face.person for face in store.get("c").faces] == ["b"]
    gone = store.delete_face("c", faces[2].face_id)
    assert (gone.faces, gone.people) == (1, 1)
    assert store.get("c").codes.shape == (0, 8)
    store.add("c", "d", code(3), None)
    gone = store.delete("c")
    assert (gone.faces, gone.people) == (1, 1)
    assert [path.name for path in (tmp_path / "store").iterdir()] == [".lock"]


def test_what_is_left_is_noticed(store, monkeypatch):
    filled(store)
    monkeypatch.setattr(store, "_write", lambda _: None)
    with pytest.raises(RuntimeError, match="still holds"):
        store.delete_person("c", "a")


def test_images_are_kept_only_where_they_are_to_be(store, tmp_path):
    face, *_ = filled(store, keep_images=False)
    assert not face.image
    assert [p.name for p in (tmp_path / "store" / "c").iterdir()] == ["faces.safetensors"]
    with pytest.raises(MissingError):
        store.image("c", face.face_id)


def test_the_store_refuses(store, tmp_path):
    filled(store)
    with pytest.raises(TakenError):
        store.create("c", weights_id="w", code="identity", keep_images=False)
    store.create("d", weights_id="w", code="identity", keep_images=False)
    with pytest.raises(FullError):
        store.create("e", weights_id="w", code="identity", keep_images=False)
    store.add("c", "x", code(9), None)
    with pytest.raises(FullError):
        store.add("c", "x", code(10), None)
    for name in ("nobody", "..", "../c", ""):
        with pytest.raises(MissingError):
            store.get(name)
    with pytest.raises(MienError, match="another service"):
        FolderStore(tmp_path / "store")


def test_a_damaged_collection_is_said_to_be(tmp_path):
    with contextlib.closing(FolderStore(tmp_path / "store")) as store:
        filled(store)
    path = tmp_path / "store" / "c" / "faces.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with contextlib.closing(FolderStore(tmp_path / "store")) as store:  # noqa: SIM117
        with pytest.raises(MienError, match="damaged"):
            store.get("c")


def test_readouts_are_there_again_and_can_be_deleted(monkeypatch, tmp_path):
    from made_service import targets

    with client_of(open_service(monkeypatch, collections=tmp_path)) as client:
        made = client.post("/v1/calibrations", json={"samples": list(targets())}).json()
    with client_of(open_service(monkeypatch, collections=tmp_path)) as client:
        assert client.get("/v1/calibrations").json()["calibrations"] == [made]
        assert client.delete(f"/v1/calibrations/{made['id']}").json() == {"id": made["id"]}
        assert not list((tmp_path / "calibrations").iterdir())
