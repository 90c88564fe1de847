"""What reading and explaining a model takes of memory, in a process of its own."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest

from rsp_onnx.compiler.analysis import analyse
from rsp_onnx.graph import probe
from rsp_onnx.model.session import Session

from .little import RNG, little

LAYERS, WIDTH = 5, 2048
WEIGHTS = 4 * LAYERS * WIDTH * WIDTH  # 80 MiB: handed over to the session
BESIDE = 16 << 20  # the graph, ONNX Runtime's own, tensors
# the process first explains a small model, so that libraries are loaded and the threads are there
CODE = """
import sys
from pathlib import Path
import numpy as np
from rsp_onnx import Explainer

def told(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))

digits, path = sys.argv[1:]
Explainer(digits, method="gradient", device="cpu", threads=1).explain(np.zeros((1, 3, 96, 96), np.float32), 0, "none")
Path("/proc/self/clear_refs").write_text("5")
before = told("VmRSS")
explainer = Explainer(path, device="cpu", threads=1)
found = explainer.explain({"x": np.linspace(-1, 1, 768, dtype=np.float32).reshape(1, 3, 16, 16)}, 0, "none")
assert np.isfinite(found.relevance).all() and found.relevance.any()
print(told("VmHWM") - before)
"""


def taken(repo, path, cache):
    """Return how many bytes the process took beyond what it had when the libraries were loaded."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not tell the largest memory of a part of a process")
    environment = {**os.environ, "RSP_ONNX_CACHE": str(cache)}
    command = [sys.executable, "-c", CODE, str(repo / "models" / "digits_pytorch.onnx"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repo, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """Return the path of a model of 80 MiB of weights in a head as VGG has one, and next to no tensors."""
    names = [f"w{n}" for n in range(LAYERS)]
    steps = "".join(f" a{n} = Gemm<transB=1>(r{n}, w{n}) r{n + 1} = Relu(a{n})" for n in range(LAYERS))
    draw = np.random.default_rng(0)
    weights = {name: draw.standard_normal((WIDTH, WIDTH), np.float32) / 30 for name in names}
    model = little(
        f"""g (float[1,3,16,16] x) => (float[1,7] y) {{
            c = Conv<pads=[1,1,1,1]>(x, k) r = Relu(c) r0 = Flatten(r) {steps} y = MatMul(r{LAYERS}, v) }}""",
        **weights, k=draw.standard_normal((8, 3, 3, 3), np.float32), v=RNG(9).randn(WIDTH, 7).astype(np.float32),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("heavy") / "heavy.onnx"
    onnx.save(model, path)
    return path


def test_an_explanation_holds_the_weights_once(repo, heavy):
    """Read straight from the file, and read by ONNX Runtime where they are."""
    assert taken(repo, heavy, "off") < 1.1 * WEIGHTS + BESIDE


@pytest.mark.slow
def test_what_is_kept_is_written_weight_by_weight(repo, heavy, tmp_path):
    """With an empty cache ONNX Runtime copies one weight at a time; with a full one it maps them all."""
    one = WEIGHTS // LAYERS
    assert taken(repo, heavy, tmp_path / "cache") < 1.1 * WEIGHTS + one + BESIDE
    assert taken(repo, heavy, tmp_path / "cache") < 1.1 * WEIGHTS + BESIDE


# ---- looking for shapes ----


def unsure(steps=30):
    """A chain of tensors of 4 MB per sample, whose shapes inference does not tell: it does not know the op in front."""
    chain = "".join(f" t{n} = {'Neg' if n % 2 else 'Exp'}(t{n - 1})" for n in range(1, steps))
    return little(
        f"""g (float[N,1000000] x) => (float[N,3] y) <int64[1] ends = {{1}}> {{
            s = Shape(x) d = Cast<to=1>(s) q = Floor(d) i = Cast<to=7>(q) t0 = Reshape(x, i) {chain}
            m = ReduceMax(t{steps - 1}, ends) y = MatMul(m, v) }}""", opset=18,
        v=RNG(1).randn(1, 3).astype(np.float32),
    )  # fmt: skip


def test_looking_for_shapes_keeps_no_tensors(monkeypatch):
    given = []

    class Watched(Session):
        def __init__(self, model, *rest, **named):
            super().__init__(model, *rest, **named)
            given.append(model)

        def run(self, feeds, outputs=None):
            results = super().run(feeds, outputs)
            assert all(r.dtype == np.int64 and r.ndim == 1 for r in results.values())
            return results

    monkeypatch.setattr(probe, "Session", Watched)
    analysis = analyse(unsure())
    assert given and analysis.graph.dims(analysis.graph.values["t29"]) == (None, 1_000_000)


def test_a_pool_whose_shape_inference_counts_too_many_is_run():
    """Under ceil_mode ONNX's inference counts a window that begins in the padding; ONNX Runtime runs none."""
    model = little(
        """g (float[1,2,5,5] x) => (float[1,5] y) {
            p = MaxPool<kernel_shape=[2,2], strides=[3,3], pads=[0,0,1,1], ceil_mode=1>(x) r = Relu(p)
            g0 = GlobalAveragePool(r) f = Flatten(g0) y = MatMul(f, v) }""",
        opset=18, v=RNG(1).randn(2, 5).astype(np.float32),
    )  # fmt: skip
    graph = analyse(model).graph
    feeds = {"x": np.ones((1, 2, 5, 5), np.float32)}
    work = graph.model.clone()
    work.graph.outputs.append(next(v for node in work.graph for v in node.outputs if v.name == "p"))
    assert graph.dims(graph.values["p"]) == Session(work, "cpu").run(feeds, ["p"])["p"].shape
