"""Whatever is wrong with what a person gives: one clear sentence, exit code 2, nothing half-written."""

import json
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper
from PIL import Image

import rsp_onnx.explain.explain_files
import rsp_onnx.model.session
from rsp_onnx import Explainer
from rsp_onnx.cli.main import main
from rsp_onnx.devices.device import resolve_device

from .little import conv_net, little, table_net, two_input_net


@pytest.fixture(scope="module")
def model(repo):
    return repo / "models/digits_pytorch.onnx"


@pytest.fixture(scope="module")
def scene(repo):
    return repo / "models/scenes/scene_0.png"


def listing(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(folder, *arguments, usage=False):
    """Run a command that must fail well; returns its sentence. `folder` must stay as it is, to the byte."""
    before = listing(folder)
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    if usage:  # click's own errors show the usage first
        assert lines[0].startswith("Usage: ")
        lines = lines[lines.index("") + 1 :]
    assert len(lines) == 1, result.stderr
    assert re.fullmatch(r"Error: .{10,}[.)]", lines[0]), lines[0]
    assert "Traceback" not in lines[0]
    assert listing(folder) == before
    return lines[0]


@pytest.fixture
def explain(tmp_path, model, scene):
    """Explain into a folder that already holds results: they must stay as they are."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "explain.json").write_text("[]\n")

    def run(*arguments, model=model, image=scene, usage=False):
        return refused(tmp_path, "explain", model, image, "-o", out, *arguments, usage=usage)

    return run


def written(path, data):
    path.write_bytes(data)
    return path


def saved(path, proto):
    return written(path, proto.SerializeToString())


# ---- the model file ----


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"This is a text.\n" * 9, "not an ONNX file"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 90, "not an ONNX file"),
        (b"", "empty"),
    ],
    ids=["text", "png", "empty"],
)
def test_a_file_that_is_no_model(explain, tmp_path, data, words):
    assert words in explain(model=written(tmp_path / "m.onnx", data))


@pytest.mark.parametrize("left", [1, 7, 60, 1000, 200_000, -400, -1])
def test_a_model_that_was_cut_off(explain, tmp_path, model, left):
    cut = written(tmp_path / "m.onnx", model.read_bytes()[:left])
    assert "it was cut off; copy or export it again." in explain(model=cut)


def test_no_model_there(explain, tmp_path):
    assert "There is no file" in explain(model=tmp_path / "none.onnx")
    assert "is a folder" in explain(model=tmp_path)


def test_damaged_models_never_end_in_a_traceback(tmp_path):
    raw = conv_net(end="Softmax<axis=1>").SerializeToString()
    rng = np.random.default_rng(0)
    for _ in range(80):
        damaged = bytearray(raw)
        for place in rng.integers(0, len(raw), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path = written(tmp_path / "m.onnx", bytes(damaged))
        result = CliRunner().invoke(main, ["inspect", str(path)])
        assert result.exit_code in (0, 2), (result.exception, result.output)
        assert result.exit_code == 0 or len(result.stderr.splitlines()) == 1, result.stderr


# ---- external data ----


@pytest.fixture
def external(tmp_path, model):
    """Return a function that saves the model with external data at a place and changes its entries."""

    def save(**changes):
        folder = tmp_path / "external"
        folder.mkdir()
        path = folder / "m.onnx"
        onnx.save(onnx.load(model), path, save_as_external_data=True, location="w.bin", size_threshold=0)
        proto = onnx.load(path, load_external_data=False)
        for entry in (e for w in proto.graph.initializer for e in w.external_data):
            entry.value = str(changes.get(entry.key, entry.value))
        return saved(path, proto)

    return save


def test_external_data_missing(explain, external):
    path = external()
    (path.parent / "w.bin").unlink()
    assert "'w.bin'" in (sentence := explain(model=path))
    assert "is missing" in sentence


def test_external_data_cut_off(explain, external):
    path = external()
    data = path.parent / "w.bin"
    written(data, data.read_bytes()[:5000])
    assert "too short" in explain(model=path)


@pytest.mark.parametrize(
    "location", ["../w.bin", "{}/w.bin", "sub/../../w.bin", ""], ids=["up", "absolute", "down-up", "none"]
)
def test_external_data_outside_the_folder(explain, external, tmp_path, location):
    path = external(location=location.format(tmp_path))
    shutil.copy(path.parent / "w.bin", tmp_path / "w.bin")
    assert "outside the model's folder" in explain(model=path)


def test_external_data_behind_a_link(explain, external, tmp_path):
    path = external()
    shutil.move(path.parent / "w.bin", tmp_path / "w.bin")
    (path.parent / "w.bin").symlink_to(tmp_path / "w.bin")
    assert "outside the model's folder" in explain(model=path)


@pytest.mark.parametrize("entry", [{"offset": "x"}, {"offset": -4}, {"length": "1e3"}, {"length": 3}])
def test_external_data_at_no_valid_place(explain, external, entry):
    assert "data file" in explain(model=external(**entry))


# ---- the graph ----


def test_ops_without_a_rule_are_listed_at_once(explain, tmp_path):
    net = little(
        """g (float[N,3,8,8] x) => (float[N,3] y) {
            a = my.Foo(x) b = Relu(a) c = my.Bar(b) d = my.Foo(c) e = GlobalAveragePool(d) y = Flatten(e) }"""
    )
    sentence = explain(model=saved(tmp_path / "m.onnx", net))
    assert "No rule for 2 ops" in sentence
    assert "my::Foo" in sentence
    assert "my::Bar" in sentence
    assert "--section" in sentence and "--method occlusion" in sentence
    assert "No rule for 2 ops" in refused(tmp_path, "compile", tmp_path / "m.onnx", "-o", tmp_path / "c.onnx")
    unknown = little("g (float[N,3,8,8] x) => (float[N,3] y) { a = Foo(x) d = GlobalAveragePool(a) y = Flatten(d) }")
    assert "No Op registered for Foo" in explain(model=saved(tmp_path / "m.onnx", unknown))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(float[N,3,8,8] x) => (int64[N,1,8,8] y) { y = ArgMax<axis=1>(x) }", "No output"),
        ("(float[N,3,8,8] x) => (float[3] y) <float[3] c = {1, 2, 3}> { y = Relu(c) }", "No output"),
        ("(float[N,3,8,8] x) => (float[N,3] y) { y = Relu(z) }", "not a valid ONNX model"),
    ],
    ids=["no floats", "constant", "dangling"],
)
def test_a_graph_that_cannot_be_explained(explain, tmp_path, text, words):
    assert words in explain(model=saved(tmp_path / "m.onnx", little("g " + text)))


def test_nan_in_the_weights(explain, tmp_path):
    proto = conv_net()
    weights = numpy_helper.to_array(proto.graph.initializer[0]).copy()
    weights.flat[5] = np.nan
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    assert "The weight 'w' of" in (sentence := explain(model=saved(tmp_path / "m.onnx", proto)))
    assert "contains NaN" in sentence


def test_a_wrong_channel_count(explain, tmp_path):
    path = saved(tmp_path / "m.onnx", conv_net(channels=5))
    assert "wants 5 channels, which a photo cannot fill" in explain(model=path)
    assert 'use channels = "RGB"' in explain("--channels", "L")


def test_inputs_that_take_no_photo(explain, tmp_path):
    assert "'left', 'right'" in explain(model=saved(tmp_path / "m.onnx", two_input_net()))
    assert "no batch of images" in explain(model=saved(tmp_path / "m.onnx", table_net()))


# ---- the image ----


def bomb():
    """A PNG of 50000 × 50000 pixels in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50000, 50000, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"\0" * 1000)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


IMAGES = {
    "missing": (None, "There is no image file"),
    "empty": (lambda good: b"", "is empty"),
    "text": (lambda good: b"no image" * 9, "not an image"),
    "corrupt": (lambda good: good[:40] + bytes(200) + good[240:], r"cannot be|damaged|not an image"),
    "cut off": (lambda good: good[: len(good) // 2], "damaged or cut off"),
    "bomb": (lambda good: bomb(), "too large|more than"),
}


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("several", [False, True])
def test_an_image_that_cannot_be_read(explain, tmp_path, scene, kind, several):
    make, words = IMAGES[kind]
    path = tmp_path / "bad.png"
    if make is not None:
        written(path, make(scene.read_bytes()))
    # one bad image between good ones is known before the first is explained
    sentence = explain(path, scene.with_name("scene_1.png")) if several else explain(image=path)
    assert re.search(words, sentence)
    assert str(path) in sentence


def test_a_folder_is_no_image(explain, tmp_path):
    assert "is a folder" in explain(image=tmp_path)


def test_no_image(tmp_path, model):
    assert "Missing argument 'IMAGE...'" in refused(tmp_path, "explain", model, usage=True)


def test_two_images_of_one_name(explain, tmp_path, scene):
    with Image.open(scene) as image:
        image.save(tmp_path / "scene_0.bmp")
    assert "would both be written as scene_0.*" in explain(tmp_path / "scene_0.bmp")


TENSORS = {
    "nan": (lambda x: np.where(x > 0.9, np.nan, x).astype(np.float32), "NaN or infinity"),
    "dtype": (lambda x: x.astype(np.float64), "must be float32, not float64"),
    "channels": (lambda x: x[:, :2], "1×3×96×96, not 1×2×96×96"),
    "rank": (lambda x: x[0, 0], "1×3×96×96, not 96×96"),
    "two, one of them broken": (lambda x: np.concatenate([x, x + np.inf]), "NaN or infinity"),
    "none": (lambda x: x[:0], "holds 0 items"),
    "objects": (lambda x: np.array([{}], dtype=object), "cannot be read as numpy arrays"),
    "text": (lambda x: np.array(["a"]), "must be float32"),
}


@pytest.mark.parametrize("kind", TENSORS)
def test_a_tensor_file_that_does_not_fit(explain, tmp_path, kind):
    make, words = TENSORS[kind]
    x = np.random.default_rng(0).random((1, 3, 96, 96), dtype=np.float32)
    np.save(tmp_path / "x.npy", make(x))
    assert words in explain(image=tmp_path / "x.npy")


def test_a_tensor_file_that_is_broken_or_missing(explain, tmp_path):
    np.savez(tmp_path / "x.npz", picture=np.zeros((1, 3, 96, 96), np.float32))
    assert "no input 'picture'; its inputs are 'image'" in explain(image=tmp_path / "x.npz")
    data = (tmp_path / "x.npz").read_bytes()
    assert "cannot be read" in explain(image=written(tmp_path / "y.npz", data[:-50]))
    assert "There is no file" in explain(image=tmp_path / "none.npy")


# ---- options ----


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--target", "10"], r"no class 10: this model's classes are 0\.\.9"),
        (["--target", "-1"], "no class -1"),
        (["--target", "eigth"], r"nearest are 8 \(eight\)"),
        (["--target", "topk:0"], "topk:N with N from 1 to 10"),
        (["--target", "topk:x"], "topk:N"),
        (["--target", "topk:11"], "topk:N"),
        (["--target", ""], "no class ''"),
        (["--hostile", "10"], "no class 10"),
        (["--hostile", "eigth"], r"nearest are 8 \(eight\)"),
        (["--target", "3", "--hostile", "3"], "is the target itself"),
        (["--method", "magic"], "the methods are rsp"),
        (["--layer", "nowhere"], "possible ones are"),
        (["--output", "nowhere"], "its outputs are 'present'"),
        (["--preprocess", "imagenet"], "use one of imagenet-torch"),
        (["--preprocess", "none.toml"], "cannot be read"),
        (["--mean", "1,2"], "mean must be"),
        (["--std", "0"], "std must be"),
        (["--size", "32"], "the model takes 96×96"),
        (["--labels", "none.txt"], "cannot be read"),
        (["--split", "0"], "split is a positive number"),
        (["--split", "nan"], "split is a positive number"),
    ],
    ids=" ".join,
)
def test_an_option_that_makes_no_sense(explain, options, words):
    assert re.search(words, explain(*options))


@pytest.mark.parametrize(
    "options",
    [["--batch-size", "0"], ["--size", "0"], ["--size", "axb"], ["--mean", "a,b"], ["--resize", "zoom"]],
    ids=" ".join,
)
def test_an_option_that_click_refuses(explain, options):
    assert options[0] in explain(*options, usage=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("scale = = 3", "not valid TOML"),
        ("scal = 3\nmean = 'a'", "unknown key 'scal'; mean must be"),
        ("preset = 'imagenet'", "preset must be one of"),
        ("size = [1]", "size must be"),
        ("std = [0.0]", "above 0"),
    ],
)
def test_a_bad_preprocessing_file(explain, tmp_path, text, words):
    (tmp_path / "p.toml").write_text(text)
    assert words in explain("--preprocess", tmp_path / "p.toml")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a\nb\n", "2 labels, but the model has 10"),
        (b"a\n" * 9, "background"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"{]", "not valid JSON"),
        (b"", "no labels"),
    ],
)
def test_a_bad_labels_file(explain, tmp_path, data, words):
    assert words in explain("--labels", written(tmp_path / "l.txt", data))


def test_no_cuda(explain, monkeypatch):
    monkeypatch.setattr("rsp_onnx.devices.device._why_not", lambda provider: "there is none")
    assert "CUDA was asked for" in explain("--device", "cuda")


# ---- the output ----


def test_an_output_that_cannot_be_written(tmp_path, model, scene):
    file = written(tmp_path / "file", b"")
    for out in (file, file / "below"):
        assert "cannot be created" in refused(tmp_path, "explain", model, scene, "-o", out)
    assert "cannot be written" in refused(tmp_path, "compile", model, "-o", file / "c.onnx")
    assert "there is no folder" in refused(tmp_path, "compile", model, "-o", tmp_path / "none/c.onnx")
    assert "ends in .onnx" in refused(tmp_path, "compile", model, "-o", tmp_path / "c.bin")
    tensor = ["--tensor", "present"]
    assert "cannot be written" in refused(tmp_path, "activations", model, scene, *tensor, "-o", file / "a.npz")
    assert "ends in .npz" in refused(tmp_path, "activations", model, scene, *tensor, "-o", tmp_path / "a.txt")


def test_a_failing_run_leaves_no_folder(tmp_path, model, scene):
    refused(tmp_path, "explain", model, scene, "--target", "10", "-o", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_bad_names_for_the_other_commands(tmp_path, model, scene):
    similar = refused(tmp_path, "activations", model, scene, "--tensor", "presnt", "-o", tmp_path / "a.npz")
    assert "similar ones are 'present'" in similar
    refused(tmp_path, "activations", model, scene, "-o", tmp_path / "a.npz", usage=True)
    refused(tmp_path, "inspect", model, "--section", "nowhere")
    refused(tmp_path, "inspect", model, "--output", "nowhere")
    refused(tmp_path, "inspect", tmp_path / "none.onnx")
    compiling = ["compile", model, "-o", tmp_path / "c.onnx"]
    for option in (["--tensor", "nowhere"], ["--section", "nowhere"], ["--method", "magic"], ["--split", "-1"]):
        refused(tmp_path, *compiling, *option)
    for shape in ("picture=N,3,96,96", "image=N,3,96", "image=N,3,32,32"):
        refused(tmp_path, *compiling, "--input-shape", shape)
    for shape in ("N,3,96,96", "image=N,3,0,96", "image=a"):
        refused(tmp_path, *compiling, "--input-shape", shape, usage=True)


# ---- interruptions, and errors that are ours ----


def test_an_interrupted_run_records_what_is_there(tmp_path, model, scene, monkeypatch):
    real, calls = rsp_onnx.explain.explain_files._write, []

    def write(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(rsp_onnx.explain.explain_files, "_write", write)
    scenes = [str(p) for p in sorted(scene.parent.glob("scene_?.png"))]
    result = CliRunner().invoke(
        main, ["explain", str(model), *scenes, "--batch-size", "2", "-o", str(tmp_path / "out")]
    )
    assert result.exit_code == 1
    assert "Aborted!" in result.stderr
    records = json.loads((tmp_path / "out/explain.json").read_text())
    assert [r["npz"] for r in records] == ["scene_0.0.npz", "scene_1.6.npz"]
    files = {p.name for p in (tmp_path / "out").iterdir()}
    assert files == {"explain.json", "scene_0.0.npz", "scene_0.0.png", "scene_1.6.npz", "scene_1.6.png"}


def test_an_interruption_while_writing_leaves_no_part(tmp_path, model, scene, monkeypatch):
    def save(self, file, format):
        file.write(b"half a picture")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", save)
    result = CliRunner().invoke(main, ["explain", str(model), str(scene), "-o", str(tmp_path)])
    assert result.exit_code == 1
    assert [p.name for p in tmp_path.iterdir()] == ["scene_0.0.npz"]
    np.load(tmp_path / "scene_0.0.npz").close()


def test_an_error_of_ours_is_not_swallowed(tmp_path, model, scene, monkeypatch):
    def planted(self, *arguments, **options):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Explainer, "explain_batch", planted)
    result = CliRunner().invoke(main, ["explain", str(model), str(scene), "-o", str(tmp_path)])
    assert isinstance(result.exception, ZeroDivisionError)
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_as_a_process_there_is_one_line_and_nothing_native(repo, tmp_path, model, scene):
    dangling = saved(tmp_path / "m.onnx", little("g (float[N,3,8,8] x) => (float[N,3] y) { y = Relu(z) }"))
    for arguments in ([dangling, scene], [model, scene, "--target", "99"], [tmp_path / "none.onnx", scene]):
        done = subprocess.run(
            [sys.executable, "-m", "rsp_onnx.cli", "explain", *map(str, arguments), "-o", str(tmp_path / "out")],
            capture_output=True, text=True, cwd=repo, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert re.fullmatch(r"Error: .*\n", done.stderr)
    assert not (tmp_path / "out").exists()


def test_no_cuda_here_says_so_quietly(repo, tmp_path, model, scene):
    if not resolve_device("auto").on_cpu:
        pytest.skip("this machine has CUDA")
    command = [sys.executable, "-m", "rsp_onnx.cli", "explain", str(model), str(scene), "--device", "cuda"]
    done = subprocess.run([*command, "-o", str(tmp_path)], capture_output=True, text=True, cwd=repo, timeout=120)
    assert done.returncode == 2
    assert re.fullmatch(r"Error: CUDA was asked for.*\n", done.stderr)
    assert list(Path(tmp_path).iterdir()) == []
