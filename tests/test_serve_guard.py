"""Whom the server refuses, and what it makes of hostile input: one sentence each, never a trace of the inside."""

import io
import json
import logging
import threading
import time
import zipfile

import numpy as np
import onnx
import pytest
from PIL import Image

from rsp_onnx import BadModel, Explainer
from rsp_onnx.errors import BadInput
from rsp_onnx.web.built import index_html
from rsp_onnx.web.server import images, uploads
from rsp_onnx.web.server.guard import HEADERS, Guard
from rsp_onnx.web.server.workers import GoneError, Told

from .little import conv_net, little
from .page_client import INDEX, TOKEN, page_of
from .test_serve import npy, photo


@pytest.fixture
def page(tmp_path):
    with page_of(tmp_path) as page:
        yield page


# ---- who is served ----

ADDRESSES = (
    ("GET", "state"), ("POST", "models"), ("DELETE", "models/m1"), ("PUT", "models/m1/labels"),
    ("PUT", "models/m1/preprocess"), ("GET", "models/m1/preview"), ("POST", "images"), ("POST", "explain"),
    ("GET", "samples/0"), ("GET", "nothing"),
)  # fmt: skip
WRONG = (
    None,
    "",
    "Bearer",
    "Bearer ",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[:-1]}",
    f"bearer {TOKEN}",
    TOKEN,
    "Bearer é",
)


@pytest.mark.parametrize("method, path", ADDRESSES)
def test_every_address_below_api_needs_the_token(page, method, path):
    for token in WRONG:
        answer = page.client.request(method, f"/api/{path}", headers={"Authorization": token})
        assert answer.status_code == 401 and "token" in answer.json()["error"]
        assert answer.headers["cache-control"] == "no-store" and TOKEN not in answer.text


def test_the_page_itself_holds_no_token_and_needs_none(page):
    answer = page.client.get("/")
    assert answer.status_code == 200 and TOKEN not in answer.text


HOSTS = {
    "127.0.0.1:8765": 200, "localhost:8765": 200, "LocalHost:8765": 200, "[::1]:8765": 200,
    "127.0.0.1": 403, "127.0.0.1:8766": 403, "evil.com": 403, "evil.com:8765": 403, "localhost.evil.com:8765": 403,
    "127.0.0.1:8765@evil.com": 403, "evil.com@127.0.0.1:8765": 403, "127.0.0.1:8765/x": 403, "": 403, None: 403,
    "192.168.0.7:8765": 403, "[::1": 403, "127.0.0.1:99999999": 403,
}  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
def test_requests_under_other_names_are_refused(page, host):
    for path in ("/", "/api/state"):
        answer = page.client.get(path, headers={**page.headers, "Host": host})
        assert answer.status_code == HOSTS[host], answer.text
        if answer.status_code == 403:
            assert "not reached under that name" in answer.json()["error"]


@pytest.mark.parametrize("host, ours, others", [
    ("box.lan", "box.lan:8765", "other.lan:8765"), ("192.168.0.7", "192.168.0.7:8765", "192.168.0.8:8765"),
    ("0.0.0.0", "192.168.0.8:8765", "other.lan:8765"), ("::", "[fe80::1]:8765", "other.lan:8765"),
])  # fmt: skip
def test_a_host_that_was_asked_for_is_served_and_of_all_addresses_the_numbers(tmp_path, host, ours, others):
    with page_of(tmp_path, host=host) as page:
        asked = {name: page.ask("GET", "state", headers={"Host": name}).status_code for name in (ours, others)}
        assert asked == {ours: 200, others: 403}


ORIGINS = {
    "http://127.0.0.1:8765": 200, "http://localhost:8765": 403, "https://127.0.0.1:8765": 403, "http://evil.com": 403,
    "null": 403, "": 403, "http://127.0.0.1:8765.evil.com": 403, "http://127.0.0.1:8765, http://evil.com": 403,
}  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
def test_requests_of_other_pages_are_refused_though_they_knew_the_token(page, origin):
    answer = page.ask("GET", "state", headers={"Origin": origin})
    assert answer.status_code == ORIGINS[origin]
    assert not any(key.startswith("access-control") for key in answer.headers)


@pytest.mark.parametrize("path", ["/", "/assets/index-1.js", "/nothing", "/api/state", "/api/nothing", "/api"])
def test_every_answer_has_the_headers(page, path):
    for headers in ({}, page.headers, {"Host": "evil.com"}):
        found = page.client.get(path, headers=headers).headers
        assert {key.lower(): value for key, value in HEADERS.items()}.items() <= found.items()
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe-eval" not in policy.replace("wasm-unsafe-eval", "") and "script-src 'self' 'wasm" in policy


def test_other_kinds_of_connections_are_closed():
    import asyncio

    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(None, "127.0.0.1", 8765)({"type": "websocket", "headers": []}, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


# ---- the files of the page ----

OUTSIDE = (
    "/../secret.txt", "/assets/../../secret.txt", "/%2e%2e/secret.txt", "/assets/%2e%2e/%2e%2e/secret.txt",
    "/..%2fsecret.txt", "//secret.txt", "/assets/\\..\\..\\secret.txt", "/assets", "/assets/", "/link.txt",
    "/%00", "/a%00b", "/" + "x" * 5000,
)  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_only_the_files_of_the_page_are_served(page, tmp_path, path):
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "built" / "link.txt").symlink_to(tmp_path / "secret.txt")
    for asked in (path, str(tmp_path / "secret.txt"), f"/{tmp_path / 'secret.txt'}"):
        answer = page.client.get(asked)
        assert answer.status_code == 404 and answer.json() == {"error": "There is nothing at this address."}


def test_a_page_that_is_not_built_is_one_sentence(tmp_path):
    with pytest.raises(BadInput, match="The page is not built: run make page"):
        index_html("server", tmp_path)
    (tmp_path / "index.html").write_text(INDEX.replace("engine", "motor"))
    with pytest.raises(BadInput, match="another version's"):
        index_html("server", tmp_path)


# ---- hostile input ----


def test_uploads_are_bounded_with_and_without_their_length(page, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "IMAGE", 1000)
    monkeypatch.setattr("rsp_onnx.web.server.api.IMAGE", 1000)
    for length in ("1001", None, "7", "-1", "abc"):  # told, not told, and lies
        status, said = page.error("POST", "images", content=b"x" * 1001, headers={"Content-Length": length})
        assert status == 413 and said == "The file is larger than the 0 MiB that are taken here."
    assert not any(path.is_file() for path in (tmp_path / "work").rglob("*"))


def test_a_model_that_is_too_large_is_refused_and_leaves_nothing(tmp_path):
    with page_of(tmp_path, largest=1 << 20) as page:
        for length in (None, str((1 << 20) + 1)):
            status, said = page.error(
                "POST", "models", content=bytes((1 << 20) + 1), headers={"Content-Length": length}
            )
            assert status == 413 and said == "The file is larger than the 1 MiB that are taken here."
        assert list((tmp_path / "work" / "models").iterdir()) == []
        status, said = page.error("POST", "explain", content=b" " * ((1 << 20) + 1))
        assert status == 413


MARKUP = "<img src=x onerror=alert(1)>.onnx"
NAMES = ("../../x.onnx", "/etc/passwd", "..\\..\\x.onnx", "a\0b.onnx", MARKUP, "", "..", "x" * 9999)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name_and_never_a_path(page, tmp_path, name):
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    said = page.add_model(b"no model", name)["error"]
    shown = said.partition(" cannot be read as a model")[0]
    assert len(shown) <= 200 and not set("/\\\0") & set(shown) and shown
    assert "Traceback" not in said and str(tmp_path) not in said
    page.add_image(photo(), name.replace(".onnx", ".png"))
    made = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert all(path.parent == tmp_path / "work" / "images" for path in made)


NO_SCORES = "a (float[1,4] x) => (int64[1] y) {y = ArgMax<axis=1, keepdims=0>(x)}"
BROKEN = {
    "cut": lambda: conv_net().SerializeToString()[:-40], "noise": lambda: bytes(range(256)) * 40,
    "pickle": lambda: b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
    "no graph": lambda: b"\x08\x07", "no scores": lambda: little(NO_SCORES).SerializeToString(),
    "external": lambda: external("weights.bin"), "outside": lambda: external("../../../etc/passwd"),
    "nan": lambda: with_nan().SerializeToString(), "text": lambda: b"hello",
}  # fmt: skip


def external(location):
    model = conv_net()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return model.SerializeToString()


def with_nan():
    model = conv_net()
    model.graph.initializer[1].raw_data = np.full(6, np.nan, np.float32).tobytes()
    return model


@pytest.mark.parametrize("kind", BROKEN)
def test_a_refused_model_is_the_sentence_of_the_library(page, tmp_path, monkeypatch, kind, caplog):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "bad.onnx").write_bytes(BROKEN[kind]())
    monkeypatch.chdir(folder)
    with pytest.raises(BadModel) as wanted:
        Explainer("bad.onnx").explain(
            np.zeros((1, 4), np.float32) if kind == "no scores" else np.zeros((8, 8, 3), np.uint8)
        )
    assert page.add_model(BROKEN[kind](), "bad.onnx") == {"error": str(wanted.value)}
    assert list((tmp_path / "work" / "models").iterdir()) == [] and not caplog.records


def test_empty_bodies_are_told(page):
    assert page.error("POST", "models") == (400, "The file is empty.")
    assert page.error("POST", "images") == (400, "The file is empty.")
    assert page.error("POST", "explain") == (400, "The body of the request is no JSON.")


REQUESTS = (
    "[]", "1", "null", '"x"', "{", "{}", "[" * 100_000, '{"model": 1, "image": "a", "method": "rsp"}',
    '{"model": "m1", "image": ["a"], "method": "rsp"}', '{"model": "m1", "image": "a", "method": null}',
    *('{"model": "m1", "image": "a", "method": "rsp", ' + more + "}" for more in (
        '"targets": []', '"targets": "topk:3"', '"targets": [1.5]', '"targets": [true]', '"targets": {"a": 1}',
        '"targets": ["0"]', '"hostile": 3', '"hostile": "auto"', '"hostile": [null]', '"tensors": "x"',
        '"tensors": [1]', '"tensors": [' + ",".join(['"x"'] * 65) + "]", '"ledger": 1',
        '"targets": [0, 1e400]', '"targets": [NaN]',
    )),
)  # fmt: skip


@pytest.mark.parametrize("body", REQUESTS, ids=lambda body: body[-24:])
def test_json_of_wrong_types_is_one_sentence(page, body, caplog):
    status, said = page.error("POST", "explain", content=body.encode())
    assert status == 400 and said.endswith(".") and not caplog.records


@pytest.mark.parametrize("ids", [("m9", "x"), ("../m1", "x"), ("m1", "../../x"), ("", ""), ("\0", "\0")])
def test_models_and_images_that_are_not_there_are_told(page, ids):
    page.add_model(conv_net().SerializeToString())
    assert page.error("POST", "explain", json={"model": ids[0], "image": ids[1], "method": "rsp"})[0] == 404
    assert page.error("GET", "models/m1/preview", params={"image": ids[1]})[0] == 404
    assert page.error("PUT", "models/m9/labels", content=b"a")[0] == 404


@pytest.mark.parametrize("targets", [[10**30], [-1], [4]])
def test_classes_that_are_not_there_are_told(page, targets):
    facts, image = page.add_model(conv_net().SerializeToString())["model"], page.add_image(photo())
    for asked in ({"targets": targets}, {"targets": [0], "hostile": targets}):
        said = page.request(model=facts["id"], image=image["id"], **asked)[-1][0]["error"]
        assert said == f"There is no class {targets[0]}: this model's classes are 0..3."


def pickled():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def bomb():
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as entry,
    ):
        for _ in range(9):
            entry.write(bytes(1 << 26))
    return buffer.getvalue()


LYING = b"\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }"
PICTURES = {
    "x.png": (b"no picture", "x.png is not an image that Pillow can read"),
    "x.jpg": (photo()[:200], "x.jpg is damaged"), "x.npy": (pickled(), "x.npy cannot be read as numpy arrays"),
    "x.npz": (b"PK\3\4", "x.npz cannot be read as numpy"), "../x.npy": (LYING.ljust(128), "x.npy cannot"),
    "y.npz": (bomb, "y.npz holds 604 MB of arrays, more than 537 MB"),
    "x.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "x.eps is not"),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_no_picture_is_one_sentence_and_is_not_kept(page, tmp_path, name, caplog):
    data, says = PICTURES[name]
    status, said = page.error("POST", "images", params={"name": name}, content=data() if callable(data) else data)
    assert status == 400 and said.startswith(says) and str(tmp_path) not in said and not caplog.records
    assert list((tmp_path / "work" / "images").iterdir()) == []


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(page, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 310)
    status, said = page.error("POST", "images", params={"name": "x.png"}, content=photo())
    assert status == 400 and "x.png" in said and "shrink it first" in said


def test_tensors_that_do_not_fit_are_told(page):
    facts = page.add_model(conv_net().SerializeToString())["model"]
    image = page.add_image(npy(np.zeros((1, 3, 5, 5), np.float32)), "x.npy")
    said = page.request(model=facts["id"], image=image["id"])[-1][0]["error"]
    assert said == "The input 'x' must have the shape 1×3×12×12, not 1×3×5×5."


def test_addresses_that_are_not_there_and_methods_that_are_not_asked_are_sentences(page):
    assert page.error("GET", "nothing") == (404, "There is nothing at this address.")
    assert page.error("POST", "state") == (405, "This address is not asked that way.")
    assert page.client.request("POST", "/").status_code == 405


def test_what_nobody_thought_of_is_one_sentence_and_told_on_the_terminal(page, monkeypatch, caplog):
    def fail(*_):
        raise ZeroDivisionError("secret of the inside")

    said = "The server failed (ZeroDivisionError); what happened stands on its terminal."
    monkeypatch.setattr(page.engine, "state", fail)
    monkeypatch.setattr(page.engine, "explain", fail)
    facts, image = page.add_model(conv_net().SerializeToString())["model"], page.add_image(photo())
    with caplog.at_level(logging.ERROR, "rsp_onnx.web"):
        assert page.error("GET", "state") == (500, said)
        assert page.request(model=facts["id"], image=image["id"])[-1][0] == {"error": said}
    assert len(caplog.records) == 2 and "secret of the inside" in caplog.text


# ---- who leaves ----


def test_a_client_that_leaves_leaves_nothing_locked(page, monkeypatch):
    facts, image = page.add_model(conv_net().SerializeToString())["model"], page.add_image(photo())
    asked = {"model": facts["id"], "image": image["id"], "method": "rsp"}
    started, go_on, gone, real = threading.Event(), threading.Event(), threading.Event(), Explainer.get_ready

    def slow(self, *given, **more):
        started.set()
        assert go_on.wait(30)
        return real(self, *given, **more)

    monkeypatch.setattr(Explainer, "get_ready", slow)
    runs = []
    monkeypatch.setattr(Explainer, "explain_batch", counted(runs, Explainer.explain_batch))
    thread = threading.Thread(target=lambda: page.ask("POST", "explain", json=asked, gone=gone))
    thread.start()
    assert started.wait(30)
    waiting = threading.Thread(
        target=lambda: page.ask("POST", "explain", json={**asked, "method": "gradient"}, gone=gone)
    )
    waiting.start()  # behind the lock of the first
    gone.set()
    thread.join(30), waiting.join(30)
    assert not thread.is_alive() and not waiting.is_alive()  # both clients were let go while the compile went on
    go_on.set()
    assert page.explain(**asked)["explained"]
    assert len(runs) == 1  # nobody explained for who had gone
    assert not page.engine.models.explainers.making.locked()


def counted(runs, real):
    def run(self, *given, **more):
        runs.append(1)
        return real(self, *given, **more)

    return run


def test_an_upload_that_is_broken_off_leaves_no_file(page, tmp_path):
    class Leaves:
        def __init__(self):
            self.parts = [{"type": "http.request", "body": b"x" * 1000, "more_body": True}, {"type": "http.disconnect"}]

        async def __call__(self):
            return self.parts.pop(0)

    import asyncio

    from starlette.requests import ClientDisconnect, Request

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    with pytest.raises(ClientDisconnect):
        asyncio.run(uploads.receive(Request(scope, Leaves()), tmp_path / "work", ".png", 10_000))
    assert not any(path.is_file() for path in (tmp_path / "work").iterdir())


def test_who_waits_for_a_lock_stops_when_nobody_wants_it_any_more():
    lock, told = threading.Lock(), Told()
    lock.acquire()
    threading.Timer(0.2, told.leave).start()
    start = time.monotonic()
    with pytest.raises(GoneError), told.holding(lock):
        pytest.fail("the lock is not free")
    assert time.monotonic() - start < 5 and lock.locked()
    with pytest.raises(GoneError):
        told.say("x")


def test_the_store_of_images_is_bounded(tmp_path):
    store, paths = images.Images(most=2), []
    for n in range(4):
        path = tmp_path / f"{n}.png"
        path.write_bytes(photo(n))
        paths.append(path)
        store.add(path, f"{n}.png", f"{n}" * 64)
    assert [path.exists() for path in paths] == [False, False, True, True]


def test_labels_and_names_are_json_and_nothing_else(page):
    facts = page.add_model(conv_net().SerializeToString(), "</script><script>alert(1)</script>.onnx")["model"]
    answer = page.ask("GET", "state")
    assert answer.headers["content-type"] == "application/json" and json.loads(answer.text)["models"] == [facts]
    assert facts["name"] == "script>.onnx"
