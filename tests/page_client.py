"""What the tests of the server share: a reader of frames, and a client that knows the token."""

import json
import struct
from contextlib import contextmanager

import numpy as np

from rsp_onnx.web.server.engine import ServerEngine
from rsp_onnx.web.server.models import ModelSettings
from rsp_onnx.web.server.site import make_app

from .asgi_client import AsgiClient

TOKEN = "the-token-of-the-tests"
INDEX = '<!doctype html><script type="application/json" id="engine">\n  { "engine": "none" }\n</script><p>page</p>'


def read_frames(data):
    """Return (header, arrays by name) of every frame, by web/README.md alone."""
    frames, at = [], 0
    while at < len(data):
        header, payload = struct.unpack_from("<II", data, at)
        said = json.loads(data[at + 8 : at + 8 + header].decode("utf-8"))
        at += 8 + header
        assert len(data) >= at + payload, "cut off"
        arrays, start = {}, at
        for one in said.get("arrays", []):
            dtype = np.dtype({"float32": "<f4", "uint8": "u1"}[one["dtype"]])
            count = int(np.prod(one["shape"], dtype=np.int64))
            arrays[one["name"]] = np.frombuffer(data, dtype, count, start).reshape(one["shape"])
            start += -(-count * dtype.itemsize // 4) * 4
        assert start == at + payload
        frames.append((said, arrays))
        at += payload
    return frames


def filled(said, arrays):
    """Put the arrays where the header names them, maps as arrays of their shape."""
    if isinstance(said, list):
        return [filled(one, arrays) for one in said]
    if not isinstance(said, dict):
        return said
    if set(said) == {"array"}:
        return arrays[said["array"]]
    if set(said) == {"shape", "values"}:
        return filled(said["values"], arrays).reshape(said["shape"])
    return {key: filled(one, arrays) for key, one in said.items()}


class Page:
    """The page's side of the protocol, over a client of requests."""

    def __init__(self, client):
        self.client = client
        self.headers = {"Authorization": f"Bearer {TOKEN}"}

    def ask(self, method, path, **more):
        headers = {**self.headers, **more.pop("headers", {})}
        return self.client.request(method, f"/api/{path}", headers=headers, **more)

    def json(self, method, path, **more):
        answer = self.ask(method, path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def frames(self, method, path, **more):
        answer = self.ask(method, path, **more)
        assert answer.status_code == 200, answer.text
        return read_frames(answer.content)

    def add_model(self, data, name="model.onnx"):
        """Return the last frame's header: {"model": ...} or {"error": ...}."""
        return self.frames("POST", "models", params={"name": name}, content=data)[-1][0]

    def add_image(self, data, name="photo.png"):
        return self.json("POST", "images", params={"name": name}, content=data)

    def request(self, **asked):
        plain = {"method": "rsp", "targets": "auto", "hostile": [], "tensors": [], "ledger": False}
        return self.frames("POST", "explain", json={**plain, **asked})

    def explain(self, **asked):
        said, arrays = self.request(**asked)[-1]
        assert "answer" in said, said
        return filled(said["answer"], arrays)

    def error(self, method, path, **more):
        """Return the status and the one sentence of a refused request."""
        answer = self.ask(method, path, **more)
        assert set(answer.json()) == {"error"}, answer.text
        return answer.status_code, answer.json()["error"]


@contextmanager
def page_of(folder, *, samples=None, largest=1 << 31, engine=None, host="127.0.0.1", **explainer):
    """Give a page on a server in this process, with a built page of its own."""
    built = folder / "built"
    (built / "assets").mkdir(parents=True, exist_ok=True)
    (built / "index.html").write_text(INDEX)
    (built / "assets" / "index-1.js").write_text("1;")
    work = folder / "work"
    work.mkdir(exist_ok=True)
    method = explainer.pop("method", "rsp")
    engine = engine or ServerEngine(work, ModelSettings(method, {"device": "cpu", **explainer}), samples)
    app = make_app(engine, TOKEN, host=host, largest=largest, built=built)
    with AsgiClient(app) as client:
        page = Page(client)
        page.engine = engine
        yield page
