"""Every command, as a person and as a program would use it."""

import json
import os
import re
import shutil
import subprocess
import sys

import click
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image

import rsp_onnx
from rsp_onnx.cli.main import main

from .little import conv_net, table_net, two_input_net
from .running import run

RECORD = {
    "image", "target", "hostile", "scores", "predicted", "png", "npz", "relevance_sums", "provider", "model_sha256",
    "version", "preprocessing",
}  # fmt: skip


@pytest.fixture(scope="module")
def digits(repo):
    return str(repo / "models/digits_pytorch.onnx")


@pytest.fixture(scope="module")
def scenes(repo):
    return [str(p) for p in sorted((repo / "models/scenes").glob("scene_?.png"))]


def cli(*arguments):
    """Run a command that must succeed; returns its result."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def names(folder):
    return sorted(p.name for p in folder.iterdir())


# ---- help ----


@pytest.mark.parametrize("command", main.commands.values(), ids=main.commands)
def test_every_command_has_help_and_an_example(command):
    text = cli(command.name, "--help").stdout
    assert re.search(r"Examples?:\n +rsp-onnx " + command.name, text)
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name
    assert cli(command.name, "-h").stdout == text


def test_the_examples_in_the_help_use_options_that_exist():
    for command in main.commands.values():
        known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
        for line in re.findall(r"^ +(rsp-onnx .*)$", command.help, re.MULTILINE):
            used = [w for w in line.split() if w.startswith("-")]
            assert set(used) <= known, line


def test_the_group_lists_the_commands():
    text = cli("--help").stdout
    commands = (
        "explain", "evaluate", "report", "inspect", "compile", "activations", "methods", "metrics", "ops",
    )  # fmt: skip
    for name in commands:
        assert re.search(rf"^  {name} +\S.*\.$", text, re.MULTILINE), name
    assert cli("--version").stdout.strip().endswith(rsp_onnx.__version__)


# ---- explain ----


def test_explain_writes_a_picture_and_arrays_and_the_record(digits, scenes, tmp_path):
    out = tmp_path / "new/folder"
    result = cli("explain", digits, scenes[0], "--target", "four", "--device", "cpu", "-o", out)
    assert names(out) == ["explain.json", "scene_0.4.npz", "scene_0.4.png"]
    lines = result.stdout.splitlines()
    assert re.fullmatch(
        r".*scene_0.png: four \(probability 1.000\) against zero · seven · two -> .*scene_0.4.png", lines[0]
    )
    assert lines[1] == "Preprocessing: unit (metadata). Ran on CPUExecutionProvider."
    assert lines[2] == f"All records: {out / 'explain.json'}"
    assert result.stderr == ""
    (record,) = json.loads((out / "explain.json").read_text())
    assert set(record) >= RECORD
    assert (record["image"], record["target"], record["hostile"]) == (scenes[0], 4, [0, 7, 2])
    assert (record["png"], record["npz"]) == ("scene_0.4.png", "scene_0.4.npz")
    assert (record["predicted"], record["provider"]) == (0, "CPUExecutionProvider")
    assert (record["version"], len(record["scores"])) == (rsp_onnx.__version__, 10)
    assert record["model_sha256"] == rsp_onnx.inspect_model(digits)["sha256"]
    assert record["preprocessing"]["source"] == "metadata"
    with Image.open(out / record["png"]) as picture:
        assert min(picture.size) > 100
    with np.load(out / record["npz"]) as arrays:
        assert {k: (arrays[k].dtype, arrays[k].shape) for k in arrays} == {
            "relevance": (np.float32, (3, 96, 96)), "heatmap": (np.float32, (96, 96)),
            "heatmap_original": (np.float32, (96, 96)),
        }  # fmt: skip
        total = float(arrays["relevance"].sum(dtype=np.float64))
    assert record["relevance_sums"]["total"] == pytest.approx(total, abs=1e-5)


def test_explain_prints_json_for_programs(digits, scenes, tmp_path):
    result = cli("explain", digits, *scenes[:2], "--target", "topk:2", "--json", "-o", tmp_path)
    records = json.loads(result.stdout)
    assert records == json.loads((tmp_path / "explain.json").read_text())
    assert [(r["image"], r["target"]) for r in records] == [
        (scenes[0], 0), (scenes[0], 4), (scenes[1], 6), (scenes[1], 2),
    ]  # fmt: skip
    assert result.stderr == ""


def test_several_targets_and_rivals(digits, scenes, tmp_path):
    arguments = ["--target", "0", "--target", "four", "--hostile", "7", "--hostile", "two", "--json"]
    records = json.loads(cli("explain", digits, scenes[0], *arguments, "-o", tmp_path).stdout)
    assert [(r["target"], r["hostile"], r["hostile_labels"]) for r in records] == [
        (0, [7, 2], ["seven", "two"]), (4, [7, 2], ["seven", "two"]),
    ]  # fmt: skip


def test_batches_give_the_same_files(digits, scenes, tmp_path):
    for size in (1, 4):
        cli("explain", digits, *scenes, "--batch-size", size, "-o", tmp_path / str(size))
    assert names(tmp_path / "1") == names(tmp_path / "4")
    for name in (n for n in names(tmp_path / "1") if n.endswith(".npz")):
        with np.load(tmp_path / "1" / name) as one, np.load(tmp_path / "4" / name) as four:
            np.testing.assert_allclose(one["relevance"], four["relevance"], atol=1e-6)


def test_a_second_run_replaces_the_first(digits, scenes, tmp_path):
    cli("explain", digits, scenes[0], "-o", tmp_path)
    before = (tmp_path / "scene_0.0.npz").read_bytes()
    cli("explain", digits, scenes[0], "-o", tmp_path)
    assert (tmp_path / "scene_0.0.npz").read_bytes() == before
    assert names(tmp_path) == ["explain.json", "scene_0.0.npz", "scene_0.0.png"]


def test_preprocessing_by_preset_file_and_flags(scenes, tmp_path):
    (tmp_path / "m.onnx").write_bytes(conv_net(size=("H", "W")).SerializeToString())
    (tmp_path / "own.toml").write_text('preset = "imagenet-tf"\nresize = "pad"\n')

    def used(*options):
        arguments = ["explain", tmp_path / "m.onnx", scenes[0], "--json", "-o", tmp_path / "out", *options]
        return json.loads(cli(*arguments).stdout)[0]["preprocessing"]

    assert used("--size", "24x32", "--preprocess", "unit")["size"] == [24, 32]
    file = used("--preprocess", tmp_path / "own.toml", "--size", "24")
    assert (file["resize"], file["mean"], file["source"]) == ("pad", [127.5], "file")
    flags = used(
        "--scale", "0.5", "--mean", "1,2,3", "--std", "4", "--channels", "BGR", "--resize", "crop", "--size", "20"
    )
    assert [flags[k] for k in ("scale", "mean", "std", "channels", "resize")] == [0.5, [1, 2, 3], [4], "BGR", "crop"]
    assert flags["name"].startswith("imagenet-torch with own")


def test_labels_and_the_other_options(scenes, tmp_path):
    (tmp_path / "m.onnx").write_bytes(conv_net().SerializeToString())
    (tmp_path / "labels.txt").write_text("ash\nbeech\noak\npine\n")
    options = [
        "--labels",
        tmp_path / "labels.txt",
        "--target",
        "oak",
        "--hostile",
        "runners-up",
        "--layer",
        "r",
        "--output",
    ]
    options += ["y", "--method", "rsp", "--purge", "--split", "3", "--signed-inputs", "abs", "--preprocess", "unit"]
    arguments = ["explain", tmp_path / "m.onnx", scenes[0], *options, "--json", "-o", tmp_path / "out"]
    (record,) = json.loads(cli(*arguments).stdout)
    assert (record["target"], record["target_label"]) == (2, "oak")


def test_tensor_files_and_several_inputs(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "two.onnx").write_bytes(two_input_net().SerializeToString())
    (tmp_path / "table.onnx").write_bytes(table_net().SerializeToString())
    feeds = {"left": rng.normal(size=(1, 3, 8, 8)), "right": rng.normal(size=(1, 1, 8, 8))}
    np.savez(tmp_path / "both.npz", **{k: v.astype(np.float32) for k, v in feeds.items()})
    np.save(tmp_path / "row.npy", rng.normal(size=7).astype(np.float32))
    cli("explain", tmp_path / "two.onnx", tmp_path / "both.npz", "--target", 1, "-o", tmp_path / "a")
    assert names(tmp_path / "a") == ["both.1.npz", "both.1.png", "explain.json"]
    result = cli("explain", tmp_path / "table.onnx", tmp_path / "row.npy", "--target", 1, "-o", tmp_path / "b")
    assert names(tmp_path / "b") == ["explain.json", "row.1.npz", "row.1.png"]
    assert "row.1.png" in result.stdout
    (record,) = json.loads((tmp_path / "b/explain.json").read_text())
    assert (record["png"], record["preprocessing"]) == ("row.1.png", None)


def test_warnings_go_to_stderr(scenes, tmp_path):
    model = conv_net()
    for weight in model.graph.initializer:
        if weight.name == "c":
            weight.raw_data = np.full(6, -1e6, np.float32).tobytes()
    (tmp_path / "dead.onnx").write_bytes(model.SerializeToString())
    arguments = ["explain", tmp_path / "dead.onnx", scenes[0], "--target", 1, "-o", tmp_path / "out"]
    result = cli(*arguments)
    assert re.fullmatch(r"Warning: .*scene_0.png: the relevance of 'class 1' is zero everywhere: .*\.\n", result.stderr)
    assert names(tmp_path / "out") == ["explain.json", "scene_0.1.npz"]
    assert cli(*arguments, "--json").stderr == ""


# ---- the other commands ----


def test_compile(digits, scenes, tmp_path):
    out = tmp_path / "explainer.onnx"
    options = ["--tensor", "/digits/Relu_3_output_0", "--json"]
    written = json.loads(cli("compile", digits, "-o", out, *options).stdout)
    assert written["inputs"] == ["image", "target", "hostile"]
    assert written["outputs"] == ["present", "relevance", "relevance//digits/Relu_3_output_0"]
    assert written["bytes"] == out.stat().st_size
    feeds = rsp_onnx.Explainer(digits).feeds(scenes[0])
    found = run(str(out), {**feeds, "target": np.array([[4]]), "hostile": np.array([[[0, 7, 2]]])})
    want = rsp_onnx.Explainer(digits, device="cpu").explain(scenes[0], 4)
    np.testing.assert_allclose(found["relevance"][0, 0], want.relevance, atol=1e-6)
    assert "Wrote" in cli("compile", digits, "-o", out).stdout
    assert names(tmp_path) == ["explainer.onnx"]


def test_compile_for_a_size(tmp_path):
    (tmp_path / "m.onnx").write_bytes(conv_net(size=("H", "W")).SerializeToString())
    cli(
        "compile",
        tmp_path / "m.onnx",
        "-o",
        tmp_path / "c.onnx",
        "--input-shape",
        "x=N,3,10,14",
        "--method",
        "gradient",
    )
    dims = onnx.load(tmp_path / "c.onnx").graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_value or d.dim_param for d in dims] == ["N", 3, 10, 14]


def test_activations(digits, scenes, tmp_path):
    out = tmp_path / "a.npz"
    arguments = [
        "activations",
        digits,
        scenes[0],
        "--tensor",
        "/digits/Relu_3_output_0",
        "--tensor",
        "present",
        "-o",
        out,
    ]
    assert json.loads(cli(*arguments, "--json").stdout) == {
        "/digits/Relu_3_output_0": {"shape": [1, 64, 12, 12], "dtype": "float32"},
        "present": {"shape": [1, 10], "dtype": "float32"},
    }
    assert "/digits/Relu_3_output_0  float32 1 × 64 × 12 × 12" in cli(*arguments).stdout
    with np.load(out) as arrays:
        np.testing.assert_allclose(arrays["present"][0], rsp_onnx.Explainer(digits).scores(scenes[0]))


def test_methods_and_ops():
    found = json.loads(cli("methods", "--json").stdout)
    names = [m["name"] for m in found]
    assert names[0] == "rsp" and {"gradient", "guided-backprop", "grad-cam", "layer-cam", "hires-cam"} < set(names)
    assert all(m["paper"] and m["title"] for m in found)
    assert "AAAI 2021" in cli("methods").stdout
    rows = json.loads(cli("ops", "--json").stdout)
    assert {"Conv", "Gemm", "MaxPool", "Relu"} <= {r["op"] for r in rows}
    assert all(r["relevance"] or r["gradient"] for r in rows)
    text = cli("ops").stdout
    assert all(re.search(rf"^{re.escape(r['op'])}\b", text, re.MULTILINE) for r in rows)


# ---- as a process ----


def process(repo, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": str(repo), **options}
    command = [sys.executable, "-m", "rsp_onnx.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def test_as_a_process_nothing_else_is_printed(repo, digits, scenes, tmp_path):
    done = process(repo, "explain", digits, *scenes[:2], "--json", "-o", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)) == 2


def test_names_that_are_not_ascii(repo, digits, scenes, tmp_path):
    picture = tmp_path / "Ziffern — дом 1.png"
    shutil.copy(scenes[0], picture)
    done = process(repo, "explain", digits, picture, "--target", 4, "-o", tmp_path / "ö", PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "ö/Ziffern — дом 1.4.png").is_file()
