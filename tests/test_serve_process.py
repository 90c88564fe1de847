"""The command itself, in a process of its own: started, asked over a socket, interrupted."""

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlencode

import numpy as np
import psutil
import pytest

from rsp_onnx import Explainer
from rsp_onnx.web.built import BUILT

from .asgi_client import Response, json_bytes
from .little import conv_net
from .page_client import INDEX, Page, read_frames
from .test_serve import photo, same


@pytest.fixture(scope="module", autouse=True)
def built():
    """Let there be a built page, where this checkout has none."""
    if (BUILT / "index.html").is_file():
        yield
        return
    BUILT.mkdir(exist_ok=True)
    (BUILT / "index.html").write_text(INDEX)
    yield
    (BUILT / "index.html").unlink()
    BUILT.rmdir()


class Server:
    """A running ``rsp-onnx serve`` with its lines."""

    def __init__(self, *arguments, temporary):
        command = [sys.executable, "-m", "rsp_onnx.cli", "serve", "--no-browser", "--device", "cpu"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(temporary),
        )
        self.lines = []
        while not (self.lines and self.lines[-1].startswith("Press Ctrl-C")):
            line = self.process.stdout.readline()
            assert line, "".join(self.lines)
            self.lines.append(line)
        found = re.search(r"The page is at http://([^/]+)/\?token=(\S+)", "".join(self.lines))
        self.host, self.token = found.groups()

    def request(self, method, path, *, params=None, content=b"", json=None, headers=None):
        connection = http.client.HTTPConnection(self.host, timeout=120)
        body = content if json is None else json_bytes(json)
        with contextlib.closing(connection):
            connection.request(method, path + (f"?{urlencode(params)}" if params else ""), body, headers or {})
            answer = connection.getresponse()
            data = answer.read()
        return Response(answer.status, {k.lower(): v for k, v in answer.getheaders()}, data)

    @property
    def page(self):
        page = Page(self)
        page.headers = {"Authorization": f"Bearer {self.token}"}
        return page

    def stop(self, how=signal.SIGINT):
        """Return the code it ends with, and what it says after the last line."""
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, rest


def environment(temporary):
    import os

    return {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}


def left_in(folder):
    return list((folder / "tmp").glob("rsp-onnx*"))


@pytest.fixture
def server(tmp_path):
    """Return a function that starts a server; all are ended."""
    started = []
    (tmp_path / "tmp").mkdir()

    def start(*arguments):
        started.append(Server(*arguments, temporary=tmp_path / "tmp"))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()
        one.process.stdout.close()


def run(*arguments, **more):
    command = [sys.executable, "-m", "rsp_onnx.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **more)


def test_a_server_is_asked_over_a_socket_and_interrupted(server, tmp_path):
    (tmp_path / "net.onnx").write_bytes(conv_net().SerializeToString())
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    running = server(tmp_path / "net.onnx", "--labels", tmp_path / "labels.txt", "--preprocess", "unit", "--port", 0)
    page = running.page
    assert page.client.request("GET", "/").text.count('id="engine">{"engine": "server"}</script>') == 1
    (facts,) = page.json("GET", "state")["models"]
    assert facts["labels"] == list("abcd") and facts["preprocess"]["name"] == "unit" and facts["name"] == "net.onnx"
    image = page.add_image(photo())
    (tmp_path / "x.png").write_bytes(photo())
    wanted = Explainer(tmp_path / "net.onnx", preprocess="unit", device="cpu").explain(tmp_path / "x.png", [2], [0])
    same(page.explain(model=facts["id"], image=image["id"], targets=[2], hostile=[0]), wanted)
    dropped = page.add_model(conv_net(classes=7).SerializeToString(), "other.onnx")["model"]
    assert page.explain(model=dropped["id"], image=image["id"])["scores"].size == 7
    assert running.request("GET", "/api/state", headers={"Authorization": "Bearer x"}).status_code == 401
    for more in ({"Host": "evil.com"}, {"Origin": "http://evil.com"}):
        assert page.ask("GET", "state", headers=more).status_code == 403
    assert running.token not in running.request("GET", "/").text
    (folder,) = (tmp_path / "tmp").glob("rsp-onnx-serve-*")
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 2  # the dropped model, the image
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert running.stop() == (0, "")
    assert not left_in(tmp_path)


def test_a_server_that_is_asked_to_terminate_leaves_nothing(server, tmp_path):
    running = server("--port", 0)
    running.page.add_image(photo())
    code, said = running.stop(signal.SIGTERM)
    assert (code, said) == (0, "") and not left_in(tmp_path)


def test_an_interrupted_server_does_not_wait_for_long_work(server, tmp_path, shared_data):
    running = server(shared_data / "models" / "squeezenet1.1_nchw_fp32.onnx", "--port", 0)
    (facts,), image = running.page.json("GET", "state")["models"], running.page.add_image(photo())
    asked = {"model": facts["id"], "image": image["id"], "method": "rise:masks=100000"}
    thread = threading.Thread(target=lambda: left(running, asked), daemon=True)
    thread.start()
    time.sleep(3)
    start = time.monotonic()
    code, said = running.stop()
    assert (code, said) == (0, "") and time.monotonic() - start < 10
    assert not left_in(tmp_path)


def left(running, asked):
    try:
        running.page.ask("POST", "explain", json=asked)
    except (OSError, http.client.HTTPException):
        return


def test_an_upload_above_the_bound_is_refused_over_a_socket(server):
    running = server("--port", 0, "--max-upload", 1)
    status, said = running.page.error("POST", "models", content=bytes((1 << 20) + 1))
    assert status == 413 and said == "The file is larger than the 1 MiB that are taken here."

    with contextlib.closing(http.client.HTTPConnection(running.host, timeout=10)) as early:
        early.putrequest("POST", "/api/models")  # that it is too large is told before it is sent
        for key, value in {**running.page.headers, "Content-Length": str((1 << 20) + 1)}.items():
            early.putheader(key, value)
        early.endheaders()
        assert early.getresponse().status == 413

    def parts():
        for _ in range(3):
            yield bytes(1 << 19)

    connection = http.client.HTTPConnection(running.host, timeout=30)
    connection.request("POST", "/api/models", parts(), running.page.headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_port_that_is_taken_is_told_where_it_was_asked_for_and_else_another_serves(server, tmp_path):
    first = server("--port", 0)
    port = first.host.rpartition(":")[2]
    done = run("serve", "--no-browser", "--port", port)
    says = f"Error: Port {port} is taken: give another one with --port, or none for one that is free.\n"
    assert done.returncode == 2 and done.stderr == says
    with socket.socket() as usual:
        usual.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            usual.bind(("127.0.0.1", 8765))
            usual.listen()
        except OSError:
            pass  # another program has it already, which is as good
        other = server()
        assert re.match(r"Port 8765 is taken; this one is free: (\d+)\n", other.lines[0])
        assert other.page.json("GET", "state")["models"] == []


def test_a_server_for_others_says_so(server):
    running = server("--host", "0.0.0.0", "--port", 0)
    said = "".join(running.lines)
    assert "Warning: 0.0.0.0 is reached from other machines: anybody who knows the token can use this server.\n" in said
    assert running.host.startswith("127.0.0.1:") and "From other machines: http://" in said
    assert running.page.json("GET", "state")["models"] == []


def test_models_that_cannot_be_served_end_the_command_with_the_sentence_of_explain(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(conv_net().SerializeToString()[:-30])
    (tmp_path / "x.png").write_bytes(photo())
    served = run("serve", "bad.onnx", "--no-browser", "--port", 0, cwd=tmp_path)
    explained = run("explain", "bad.onnx", "x.png", cwd=tmp_path)
    assert (served.returncode, served.stderr) == (2, explained.stderr) and served.stderr.startswith("Error: bad.onnx")


@pytest.mark.parametrize("arguments, says", [
    (("--host", "no.such.host.invalid"), "The server cannot listen on no.such.host.invalid, port 8765: "),
    (("--images", "nowhere"), "The folder nowhere with images cannot be read: No such file or directory."),
    (("--labels", "a.txt"), "There are 1 files of labels for 0 models: give one for all, or one for each in turn"),
    (("--method", "magic"), "There is no method 'magic'"), (("--device", "tpu"), "The device is one of auto, cpu"),
    (("--preprocess", "nothing"), "'nothing' is neither a preprocessing preset nor a file"),
])  # fmt: skip
def test_what_is_said_wrong_is_one_sentence(tmp_path, arguments, says):
    done = run("serve", "--no-browser", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(f"Error: {says}") and done.stderr.count("\n") == 1


def test_a_missing_package_is_told_with_its_extra(monkeypatch):
    from rsp_onnx import BadInput, serve

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(BadInput) as error:
        serve()
    assert str(error.value) == 'The page needs uvicorn, which is not installed: pip install "rsp-onnx[web]".'


@pytest.mark.slow
def test_memory_returns_after_twenty_images(server, tmp_path, shared_data):
    """SqueezeNet, twenty photos, two classes each: after the first three less than 60 MB are added, all the same."""
    running = server("--port", 0)
    page, process = running.page, psutil.Process(running.process.pid)
    model = (shared_data / "models" / "squeezenet1.1_nchw_fp32.onnx").read_bytes()
    facts = page.add_model(model)["model"]
    photos = sorted((shared_data / "images" / "ilsvrc_val").glob("*.JPEG"))[:23]
    used = []
    for path in photos:
        image = page.add_image(path.read_bytes(), path.name)
        page.explain(model=facts["id"], image=image["id"])
        page.explain(model=facts["id"], image=image["id"], targets=[1])
        used.append(process.memory_info().rss / 1e6)
    assert len(used) == 23 and used[-1] - used[2] < 60, used
    page.explain(model=facts["id"], image=image["id"], tensors=[facts["layers"][0]["tensor"]], ledger=True)
    most = process.memory_info().rss / 1e6
    page.json("DELETE", f"models/{facts['id']}")
    assert most - process.memory_info().rss / 1e6 > 100  # what its explainer held: two more sessions, and the weights


def test_the_answers_over_a_socket_are_streamed(server, tmp_path):
    running = server("--port", 0)
    connection = http.client.HTTPConnection(running.host, timeout=60)
    data = conv_net().SerializeToString()
    connection.request("POST", "/api/models?name=a.onnx", data, running.page.headers)
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("transfer-encoding") == "chunked"
    frames = read_frames(answer.read())
    assert [next(iter(said)) for said, _ in frames] == ["progress", "progress", "model"]
    assert json.dumps(frames[-1][0]) and np.isfinite(frames[-1][0]["model"]["bytes"])
    connection.close()
