"""Where to run: device words and their options, providers that do not work, memory that runs out."""

import json

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner

from rsp_onnx import Explainer
from rsp_onnx.cli.main import main
from rsp_onnx.devices import device as devices
from rsp_onnx.devices.device import CPU, CUDA, Device, in_full_precision, resolve_device
from rsp_onnx.errors import BadInput, BadModel, DeviceUnavailable, OutOfMemory
from rsp_onnx.model.load import load_model
from rsp_onnx.model.session import Session
from rsp_onnx.serving.variants import Serving, Variant, VariantKey

from .little import conv_net

X = np.random.default_rng(0).normal(size=(1, 3, 12, 12)).astype(np.float32)


@pytest.fixture
def with_cuda(monkeypatch):
    """A machine on which CUDA works, as far as the words go."""
    monkeypatch.setattr(devices, "_why_not", lambda provider: "" if provider == CUDA else "not built in")


# ---- words ----


@pytest.mark.parametrize("text", ["auto", "cpu", "cuda", "cuda:1", "cuda:1,use_tf32=0,gpu_mem_limit=1", "openvino"])
def test_a_device_is_read_and_written(text):
    assert Device.read(text).to_text() == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpu", "The device is one of auto, cpu, cuda, tensorrt, openvino, directml, coreml, not 'gpu'."),
        ("", "not ''"),
        ("cuda:one", "a number follows a device"),
        ("cuda:", "a number follows a device"),
        ("cpu:1", "a number follows a device"),
        ("cuda,use_tf32", "write KEY=VALUE"),
        ("cuda,=0", "write KEY=VALUE"),
        ("cuda,use_tf32=0,use_tf32=1", "is given twice"),
        ("cpu,threads=1", "need a device that has one, such as cuda, not cpu"),
        ("auto,use_tf32=0", "need a device that has one"),
    ],
)
def test_what_is_no_device_is_one_sentence(text, says):
    with pytest.raises(BadInput) as caught:
        resolve_device(text)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_what_cuda_is_told(with_cuda):
    (name, told), last = resolve_device("cuda:1,use_tf32=0,arena_extend_strategy=kNextPowerOfTwo").providers
    assert (name, last) == (CUDA, CPU)
    assert told == {
        "cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kNextPowerOfTwo", "device_id": "1",
        "use_tf32": "0",
    }  # fmt: skip
    assert resolve_device("auto").names == [CUDA, CPU]


def test_a_check_computes_in_full_precision(with_cuda):
    assert in_full_precision("cuda:1") == "cuda:1,use_tf32=0"
    assert in_full_precision("auto") == "cuda,use_tf32=0"
    assert in_full_precision("cuda,use_tf32=1") == "cuda,use_tf32=1"
    assert in_full_precision("cpu") == "cpu"


def test_constants_are_made_numbers_on_cuda_alone(with_cuda):
    for text, wanted in (("cuda", "1"), ("cpu", "")):
        options = ort.SessionOptions()
        resolve_device(text).suit(options)
        key = "session.disable_quant_qdq"
        found = options.get_session_config_entry(key) if wanted else ""
        assert found == wanted


# ---- what does not work here ----


def test_auto_finds_what_works_and_cuda_is_never_silently_the_cpu():
    model = load_model(conv_net()).ir
    if resolve_device("auto").on_cpu:
        assert Session(model, "auto").provider == CPU
        with pytest.raises(DeviceUnavailable, match=r"onnxruntime-gpu\[cuda,cudnn\].* --device auto or cpu"):
            Session(model, "cuda")
    else:
        assert Session(model, "cuda").provider == CUDA


@pytest.mark.parametrize("why", ["no cuDNN", "it computes [0.0]"])
def test_a_gpu_without_cudnn_is_none(monkeypatch, why):
    """The probe runs a Conv and a MaxPool; a session that starts says nothing (tests/test_doctor.py runs the probe)."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(devices, "probe", lambda provider: why)
    devices._why_not.cache_clear()
    try:
        assert resolve_device("auto").on_cpu
        with pytest.raises(DeviceUnavailable, match=rf"cannot be used here: {why[:5]}"):
            resolve_device("cuda")
    finally:
        devices._why_not.cache_clear()


@pytest.mark.parametrize("word", ["openvino", "directml", "coreml", "tensorrt"])
def test_another_provider_falls_back_to_the_cpu_and_says_so(word):
    if not resolve_device(word).on_cpu:
        pytest.skip(f"the installed runtime has {word}")
    explanation = Explainer(conv_net(), device=word, preprocess="raw").explain({"x": X}, 1)
    (said,) = [note for note in explanation.warnings if word in note]
    assert "cannot be used here" in said and "the CPU runs instead" in said
    assert Explainer(conv_net(), device="cpu", preprocess="raw").explain({"x": X}, 1).warnings == ()


def test_the_command_says_it_once(repo, tmp_path):
    scenes = [str(repo / "models" / "scenes" / f"scene_{i}.png") for i in (0, 1)]
    command = [
        "explain",
        str(repo / "models" / "digits_pytorch.onnx"),
        *scenes,
        "--device",
        "directml",
        "-o",
        str(tmp_path),
    ]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    assert done.stderr.count("directml was asked for") == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--device", "tpu"], "The device is one of"),
        (["--provider-option", "use_tf32=0"], "need a device that has one"),
        (["--device", "cuda", "--provider-option", "use_tf32"], "write KEY=VALUE"),
    ],
)
def test_a_wrong_device_is_a_usage_error(repo, tmp_path, asked, says):
    model, scene = repo / "models" / "digits_pytorch.onnx", repo / "models" / "scenes" / "scene_0.png"
    done = CliRunner().invoke(main, ["explain", str(model), str(scene), "-o", str(tmp_path), *asked])
    assert done.exit_code == 2
    assert says in done.stderr and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_option_that_a_provider_refuses_is_one_sentence(monkeypatch, with_cuda):
    def refuse(*args, providers, **kwargs):
        raise RuntimeError(
            "/build/provider_options.cc:1053 void f(const T&, U) Unknown provider option: 'colour'.\nmore"
        )

    monkeypatch.setattr(ort, "InferenceSession", refuse)
    with pytest.raises(BadInput, match=r"^CUDAExecutionProvider does not start with colour=red: Unknown .*'colour'\.$"):
        Session(load_model(conv_net()).ir, "cuda,colour=red")


# ---- memory that runs out ----


SAID = "bfc_arena.cc:360 AllocateRawInternal Failed to allocate memory for requested buffer of size 3221225472"


@pytest.mark.parametrize(("said", "size"), [(SAID, 3221225472), ("CUDA failure 2: out of memory", 0)])
def test_memory_that_runs_out_is_an_error_of_its_own(said, size):
    session = Session(load_model(conv_net()).ir, "cpu", 1)
    session.run({"x": X})
    session._session = Failing(said)
    with pytest.raises(OutOfMemory, match="--batch-size") as caught:
        session.run({"x": X})
    assert caught.value.bytes == size
    assert ("3,221 MB" in str(caught.value)) == bool(size)
    session._session = Failing("the graph is odd")
    with pytest.raises(BadModel):
        session.run({"x": X})


class Failing:
    def __init__(self, said):
        self.said = said

    def run(self, *_):
        raise RuntimeError(self.said)


class Small:
    """Stands for a session on a GPU that bears so many samples at once."""

    inputs = ("x", "target", "hostile")
    level, note = "ORT_ENABLE_ALL", ""

    def __init__(self, room):
        self.room, self.asked = room, []

    def run(self, feeds, outputs=None):
        self.asked.append(len(feeds["x"]))
        if len(feeds["x"]) > self.room:
            raise OutOfMemory(CUDA, 100)
        return {"relevance": feeds["x"][None] * feeds["target"][..., None, None, None]}


@pytest.mark.parametrize(("room", "asked"), [(5, [5]), (3, [5, 3, 2]), (2, [5, 3])])
def test_half_as_many_are_tried_once(room, asked):
    from rsp_onnx.inputs.tensors import Feeds

    session, key = Small(room), VariantKey(one_by_one=False, ledger=False)
    serving = Serving(lambda key: Variant(session, key, None), key)
    x = np.random.default_rng(1).normal(size=(5, 3, 2, 2)).astype(np.float32)
    items = [Feeds({"x": x[i : i + 1]}) for i in range(5)]
    runs = serving.runs(items, [[i] for i in range(5)], [[[]]] * 5)
    if room < 3:
        with pytest.raises(OutOfMemory):
            list(runs)
    else:
        found = np.concatenate([run.results["relevance"][0] for run in runs])
        np.testing.assert_array_equal(found, x * np.arange(5).reshape(5, 1, 1, 1))
    assert session.asked == asked


def test_the_json_says_where_it_ran(repo, tmp_path):
    model, scene = repo / "models" / "digits_pytorch.onnx", repo / "models" / "scenes" / "scene_0.png"
    done = CliRunner().invoke(
        main, ["explain", str(model), str(scene), "--device", "coreml", "--json", "-o", str(tmp_path)]
    )
    (record,) = json.loads(done.stdout)
    assert record["provider"] == CPU
    assert any("coreml was asked for" in note for note in record["warnings"])


def test_a_provider_that_does_not_load_is_said_to_lack_something(monkeypatch):
    """What ONNX Runtime says of it speaks of a fallback; its log, which doctor reads, has the reason."""
    said = (
        "nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user"
    )
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(devices, "probe", lambda provider: said)
    devices._why_not.cache_clear()
    try:
        with pytest.raises(DeviceUnavailable, match="does not load, because a library or the device is missing"):
            resolve_device("cuda")
    finally:
        devices._why_not.cache_clear()


# ---- what measures a GPU ----


def test_the_benchmark_of_a_gpu_runs_wherever_there_is_none(repo, tmp_path, monkeypatch, capsys):
    gpu = pytest.importorskip("benchmarks.gpu", reason="run from the repository")
    asked = ["gpu", "--models", "digits", "--methods", "gradient", "--batches", "1", "2", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", [*asked, "--device", "cpu"])
    assert gpu.main() == 0
    table = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    (one, two) = [line.split("|") for line in table.splitlines() if "gradient" in line]
    assert (one[3].strip(), two[3].strip()) == ("1", "2")
    assert float(one[7]) == 0
    ran, of = one[9].split(" of ")
    assert int(ran) == int(of) > 50
    if resolve_device("auto").on_cpu:
        monkeypatch.setattr("sys.argv", asked)
        assert gpu.main() == 2
        assert "Not measured: CUDA was asked for" in capsys.readouterr().err
