"""LRP of networks as they are deployed: trained, fused by the runtime, quantised, from two frameworks."""

import warnings

import numpy as np
import onnx
import pytest
from onnxruntime import quantization as q
from PIL import Image

from rsp_onnx import compile_explainer
from rsp_onnx.attribution.lrp import METHODS

from .conftest import REPO
from .running import asked, correlation, relative_l2, run, session

NAMES = [m.name for m in METHODS]
names = pytest.mark.parametrize("name", NAMES)

# ---- models as they come ----

DIGITS = ["digits_pytorch", "digits_keras", "digits_vit"]


def explained(path, name):
    opened = session(compile_explainer(str(path), name))
    image = opened.get_inputs()[0]
    shape = [d if isinstance(d, int) else 1 for d in image.shape]
    x = np.random.default_rng(0).uniform(0, 1, shape)
    x = (255 * x).astype(np.uint8) if "uint8" in image.type else x.astype(np.float32)
    return run(opened, {image.name: x, **asked(3)})["relevance"]


@pytest.mark.slow
@names
@pytest.mark.parametrize("model", DIGITS)
def test_the_digits_are_explained(model, name):
    r = explained(REPO / "models" / f"{model}.onnx", name)
    assert np.isfinite(r).all() and r.any()


@pytest.mark.slow
@names
@pytest.mark.parametrize("model", ["squeezenet1.1_nchw_fp32", "mobilenet_v2_nhwc_int8_qdq"])
def test_real_models_are_explained(shared_data, model, name):
    r = explained(shared_data / "models" / f"{model}.onnx", name)
    assert np.isfinite(r).all() and r.any()


@pytest.mark.slow
@names
def test_two_frameworks_files_of_one_network_give_one_map(name):
    x = np.random.default_rng(1).uniform(0, 1, (1, 96, 96, 3)).astype(np.float32)
    maps = []
    for framework, turn in (("pytorch", (0, 3, 1, 2)), ("keras", (0, 1, 2, 3))):
        model = compile_explainer(str(REPO / "models" / f"digits_{framework}.onnx"), name)
        maps.append(run(model, {"image": np.ascontiguousarray(x.transpose(turn)), **asked(4)})["relevance"])
    assert relative_l2(maps[1].transpose(0, 1, 4, 2, 3), maps[0]) < 1e-3


# ---- fused by the runtime ----

MS = "com.microsoft"
HEAD = f'<ir_version: 8, opset_import: ["" : 18, "{MS}" : 1]> a '


def numbers(count, seed):
    return ", ".join(f"{v:.2f}" for v in np.random.default_rng(seed).uniform(-1, 1, count))


ROWS = (f"(float[N, 4] x) => (float[N, 2] y) <float[4, 3] w = {{{numbers(12, 0)}}}, float[3] b = {{0.3, -0.2, 0.1}}, "
        f"float[3, 2] v = {{{numbers(6, 1)}}}, float a = {{0.5}}>")  # fmt: skip
MAPS = (f"(float[N, 2, 5, 5] x) => (float[N, 3] y) <float[3, 2, 3, 3] u = {{{numbers(54, 2)}}}, "
        f"float[3, 3, 3, 3] w = {{{numbers(81, 3)}}}, float[3] b = {{0.3, -0.2, 0.1}}, "
        f"float[3, 3] v = {{{numbers(9, 4)}}}>")  # fmt: skip
CONV = "pads = [1, 1, 1, 1]"
PAIRS = {
    "FusedConv": (MAPS, f"""c = {MS}.FusedConv<{CONV}, activation = "Relu">(x, u, b)
                            r = {MS}.FusedConv<{CONV}, activation = "Relu">(c, w, b, c)
                            p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v)""",
                  f"""d = Conv<{CONV}>(x, u, b) c = Relu(d) e = Conv<{CONV}>(c, w, b) s = Add(e, c) r = Relu(s)
                      p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v)"""),
    "FusedMatMul": (ROWS, f"t = Transpose(w) c = {MS}.FusedMatMul<transB = 1, alpha = 0.5>(x, t) y = MatMul(c, v)",
                    "d = MatMul(x, w) c = Mul(d, a) y = MatMul(c, v)"),
    "FusedGemm": (ROWS, f'c = {MS}.FusedGemm<alpha = 0.5, beta = 2.0, activation = "Relu">(x, w, b) y = MatMul(c, v)',
                  "d = Gemm<alpha = 0.5, beta = 2.0>(x, w, b) c = Relu(d) y = MatMul(c, v)"),
}  # fmt: skip


@names
@pytest.mark.parametrize("pair", PAIRS)
def test_what_the_runtime_fuses_is_shared_as_its_parts(pair, name):
    head, *texts = PAIRS[pair]
    models = [onnx.parser.parse_model(f"{HEAD}{head} {{ {text} }}") for text in texts]
    shape = (2, 4) if head is ROWS else (2, 2, 5, 5)
    feeds = {"x": np.random.default_rng(5).normal(size=shape).astype(np.float32), **asked((0, 1), samples=2)}
    got, want = (run(compile_explainer(model, name), feeds)["relevance"] for model in models)
    assert relative_l2(got, want) < 1e-5


# ---- quantised ----

KINDS = {"operators": q.QuantFormat.QOperator, "around operators": q.QuantFormat.QDQ, "dynamic": None}
STEADY = [n for n in NAMES if n not in ("lrp-0", "lrp-epsilon")]  # on nets with BatchNorm those two amplify rounding


def scenes():
    files = sorted((REPO / "models" / "scenes").glob("scene_?.png"))
    return np.stack([np.asarray(Image.open(f).convert("RGB"), np.float32).transpose(2, 0, 1) / 255 for f in files])


class Scenes(q.CalibrationDataReader):
    """The scenes in models/, for calibration."""

    def __init__(self):
        self.rest = iter(scenes())

    def get_next(self):
        image = next(self.rest, None)
        return None if image is None else {"image": image[None]}


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    """Paths by kind."""
    source, folder = REPO / "models" / "digits_pytorch.onnx", tmp_path_factory.mktemp("quantised")
    paths = {kind: folder / f"{kind}.onnx" for kind in KINDS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the quantiser, about itself
        for kind, form in KINDS.items():
            if form is None:
                q.quantize_dynamic(source, paths[kind])
            else:
                q.quantize_static(source, paths[kind], Scenes(), quant_format=form)
    return paths


@pytest.mark.slow
@pytest.mark.parametrize("name", STEADY)
@pytest.mark.parametrize("kind", KINDS)
def test_a_quantised_model_is_explained_nearly_as_the_original(quantised, kind, name):
    source, x = REPO / "models" / "digits_pytorch.onnx", scenes()
    feeds = {"image": x, **asked(0, samples=len(x))}
    feeds["target"] = next(iter(run(str(source), {"image": x}).values())).argmax(1)[None]
    want, got = (run(compile_explainer(str(m), name), feeds)["relevance"] for m in (source, quantised[kind]))
    for one, other in zip(got[0].sum(1), want[0].sum(1), strict=True):
        assert correlation(one, other) > 0.9
