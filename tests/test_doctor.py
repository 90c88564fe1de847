"""``rsp-onnx doctor``: what it says of this machine, and of machines on which something is missing or broken."""

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from click.testing import CliRunner

from rsp_onnx import diagnose
from rsp_onnx.cli.commands.about.doctor import _page
from rsp_onnx.cli.main import main
from rsp_onnx.devices import probe as probing
from rsp_onnx.doctor import ask, child, machine, packages
from rsp_onnx.doctor.diagnose import _of_runtime
from rsp_onnx.extras import EXTRAS, PURPOSES
from rsp_onnx.files import parse_toml

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
MODEL = """<ir_version: 8, opset_import: ["": 13]> probe (float[1,1,4,4] x) => (float[1,1,2,2] y)
<float[1,1,3,3] w = {0,1,0,1,2,1,0,1,0}> {
    c = Conv<pads=[1,1,1,1]>(x, w) y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c) }"""
# a runtime that lists a GPU: its sessions are named after what they do
FAKE = """
import os
import numpy as np
__version__, cuda_version = "9.9.9", "13.0"
class SessionOptions:
    def add_session_config_entry(self, key, value):
        pass
def set_default_logger_severity(level):
    pass
def get_available_providers():
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]
class InferenceSession:
    def __init__(self, model, options, providers):
        self.providers = providers
        if providers[0].startswith("CUDA"):
            GPU
    def get_providers(self):
        return self.providers
    def run(self, names, feeds):
        return [np.array([[[[30, 36], [61, OFF if self.providers[0].startswith("CUDA") else 66]]]], np.float32)]
"""


def doctor(repo, *paths, options=(), **environment):
    """Run the command in a process of its own, which finds these folders first; returns exit code and report."""
    searched = os.pathsep.join(map(str, [*paths, repo]))
    settings = {"env": {**os.environ, "PYTHONPATH": searched, **environment}, "capture_output": True, "text": True}
    command = [sys.executable, *options, "-m", "rsp_onnx.cli", "doctor", "--json"]
    done = subprocess.run(command, **settings, cwd=paths[0] if paths else repo, timeout=120)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def runtime(tmp_path):
    """Return a function that writes a package ``onnxruntime`` and returns the folder it lies in."""

    def write(code):
        (tmp_path / "onnxruntime").mkdir()
        (tmp_path / "onnxruntime" / "__init__.py").write_text(code)
        return tmp_path

    return write


def without(folder, *names):
    """Return a folder of links to all that is installed here, but for the packages that begin with a name."""
    for entry in Path(metadata.distribution("numpy").locate_file("")).iterdir():
        if not entry.name.lower().startswith(names):
            (folder / entry.name).symlink_to(entry)
    return folder


# ---- this machine ----


def test_this_machine_can_explain(repo):
    code, report = doctor(repo)
    assert (code, report["can_explain"]) == (0, True)
    assert report["runtime"]["version"] == ort.__version__
    found = {one["name"]: one["works"] for one in report["runtime"]["providers"]}
    assert list(found) == ort.get_available_providers() and found[CPU]
    for name in found:
        assert found[name] == (probing.probe(name) == "")
    assert 1 <= report["threads"]["usable"] <= report["threads"]["cores"] == os.cpu_count()
    assert {one["name"]: one["version"] for one in report["packages"]}["numpy"] == np.__version__
    assert [one["extra"] for one in report["extras"]] == list(EXTRAS)
    assert all(one["for"] for one in report["extras"])
    assert report["cache"] == {"folder": None, "bytes": 0, "limit": report["cache"]["limit"], "error": ""}


def test_the_command_prints_lines_for_people():
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0, result.output
    head, verdict, *rest = result.output.splitlines()
    assert head.startswith("rsp-onnx ") and verdict == "This machine can explain."
    assert f"{CPU}: runs Conv and MaxPool" in result.output
    assert {line.split()[0] for line in rest if line and line[0] != " "} >= {"runtime", "providers", "threads", "cache"}
    assert "cuDNN" in result.output or CUDA not in ort.get_available_providers()


# ---- other machines ----


def test_without_matplotlib_pictures_are_missed_and_maps_are_not(repo, tmp_path):
    code, report = doctor(repo, without(tmp_path, "matplotlib", "mpl_toolkits"), options=["-S"])
    assert (code, report["can_explain"]) == (0, True)
    (row,) = [one for one in report["packages"] if one["name"] == "matplotlib"]
    assert row["version"] is None and row["for"] == "pictures, which rsp-onnx explain draws"
    (sentence,) = [one for one in report["problems"] if "matplotlib" in one]
    assert re.fullmatch(r'matplotlib is missing \(pictures, which .*\): pip install "matplotlib>=[\d.]+"\.', sentence)


def test_missing_extras_are_told_by_what_they_are_for(repo, tmp_path):
    code, report = doctor(repo, without(tmp_path, "pyarrow", "ray"), options=["-S"])
    rows = {one["extra"]: one for one in report["extras"]}
    assert code == 0 and rows["audit"]["missing"] == []
    assert (rows["eval"]["missing"], rows["eval"]["install"]) == (["pyarrow"], 'pip install "rsp-onnx[eval]"')
    assert (rows["ray"]["missing"], rows["ray"]["install"]) == (["ray"], 'pip install "rsp-onnx[ray]"')
    assert "missing: pyarrow (rows of a run as Parquet); pip install" in _page(report)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ImportError('libonnx.so.1: cannot open shared object file')", "ImportError: libonnx.so.1: cannot open"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os; os._exit(3)", "the process that tried ended with exit code 3"),
        ("import os; os.abort()", "the process that tried was ended by SIGABRT"),
        ("import os; os.kill(os.getpid(), 4)", "ended by SIGILL: it is built for a newer processor"),
        ("x = 1", "AttributeError: module 'onnxruntime' has no attribute 'get_available_providers'"),
    ],
    ids=["no library", "exits", "exits at once", "aborts", "old processor", "empty"],
)
def test_a_broken_runtime_is_told(repo, runtime, code, why):
    ended, report = doctor(repo, runtime(code))
    assert (ended, report["can_explain"]) == (1, False)
    assert why in report["runtime"]["error"]
    (sentence,) = [one for one in report["problems"] if "ONNX Runtime" in one]
    assert why in sentence and re.search(r"Reinstall onnxruntime\S* with pip: nothing is explained", sentence)
    text = _page(report)
    assert "This machine cannot explain." in text and f"cannot be imported ({report['runtime']['error']})" in text


@pytest.mark.parametrize(
    ("gpu", "off", "why"),
    [
        ("raise RuntimeError('CUDNN_STATUS_NOT_INITIALIZED\\nat line 3')", 66, "RuntimeError: CUDNN_STATUS_NOT_INIT"),
        ("pass", 67, "it computes [30.0, 36.0, 61.0, 67.0] (CUDAExecutionProvider), not [30.0, 36.0, 61.0, 66.0]"),
        ("pass", "np.nan", "it computes [30.0, 36.0, 61.0, nan]"),
        ("os.kill(os.getpid(), 11)", 66, "the process that tried was ended by SIGSEGV"),
        ("os.write(2, b'Failed to load library /x/y.so with error: libcublasLt.so.13: not there\\n'); raise OSError",
         66, "libcublasLt.so.13: not there"),
    ],
    ids=["refuses", "wrong", "not a number", "crashes", "no library"],
)  # fmt: skip
def test_a_provider_that_is_listed_and_does_not_work_is_told(repo, runtime, gpu, off, why):
    code, report = doctor(repo, runtime(FAKE.replace("GPU", gpu).replace("OFF", str(off))))
    assert (code, report["can_explain"]) == (0, True)  # on the processor
    found = {one["name"]: one for one in report["runtime"]["providers"]}
    assert found[CPU] == {"name": CPU, "works": True, "why": ""}
    assert not found[CUDA]["works"] and why in found[CUDA]["why"]
    assert report["runtime"]["cuda"] == {"built_for": "13.0", "cudnn": None}
    (sentence,) = [one for one in report["problems"] if "GPU" in one]
    assert why in sentence and "CUDA 13.0 and cuDNN, which is not found here" in sentence


def test_a_processor_that_does_not_compute_ends_with_one(repo, runtime):
    code, report = doctor(repo, runtime(FAKE.replace("GPU", "pass").replace('startswith("CUDA")', 'startswith("CPU")')
                                        .replace("OFF", "1")))  # fmt: skip
    assert (code, report["can_explain"]) == (1, False)
    assert any(one.startswith("ONNX Runtime does not compute on the processor (it comp") for one in report["problems"])


def test_a_library_that_cannot_be_imported_is_told(repo, tmp_path):
    (tmp_path / "onnx_ir.py").write_text("import gone_away")
    code, report = doctor(repo, tmp_path)
    assert (code, report["can_explain"]) == (1, False)
    (sentence,) = [one for one in report["problems"] if one.startswith("onnx-ir")]
    assert "cannot be imported (ModuleNotFoundError: No module named 'gone_away')" in sentence
    assert 'pip install --force-reinstall "onnx-ir>=' in sentence


def test_a_source_folder_that_is_not_installed_says_so(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packages.metadata, "requires", missing)
    report = diagnose()
    assert report["can_explain"] and report["packages"] == report["extras"] == []
    assert any(one.startswith("rsp-onnx itself is not installed here") for one in report["problems"])


def test_two_runtimes_over_each_other_are_told():
    told = {"packages": {"onnxruntime": "1", "onnxruntime-gpu": "1"}, "error": None, "providers": [], "cuda": None}
    (sentence,) = _of_runtime(told)
    assert sentence.startswith("onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files")


def test_no_answer_is_one_too(monkeypatch):
    monkeypatch.setattr(ask, "_PATIENCE", 0.01)
    assert ask.ask("runtime")["error"] == "it did not answer within 0.01 seconds"


# ---- the cache ----


def test_what_is_wrong_with_the_cache_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("RSP_ONNX_CACHE", str(tmp_path / "new" / "folder"))
    assert machine.cache() == {"folder": str(tmp_path / "new" / "folder"), "bytes": 0, "limit": 2 << 30, "error": ""}
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("RSP_ONNX_CACHE_SIZE", "much")
    assert "RSP_ONNX_CACHE_SIZE='much' is no size" in machine.cache()["error"]
    monkeypatch.delenv("RSP_ONNX_CACHE_SIZE")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RSP_ONNX_CACHE", str(tmp_path / "file" / "below"))
    assert "cannot be written" in machine.cache()["error"]


# ---- cuDNN ----


@pytest.mark.parametrize(
    ("number", "version"), [(91002, "9.10.2"), (90100, "9.1.0"), (8907, "8.9.7"), (None, None)], ids=str
)
def test_the_version_of_cudnn(number, version, monkeypatch):
    def load(name):
        if number is None:
            raise OSError(name)
        return SimpleNamespace(cudnnGetVersion=lambda: number)

    monkeypatch.setattr(child.ctypes, "CDLL", load)
    assert child._cudnn(SimpleNamespace()) == version


# ---- trying a provider ----


def test_the_model_that_is_tried_is_what_onnx_writes():
    assert onnx.parser.parse_model(MODEL).SerializeToString() == probing._CONV_AND_POOL


def test_what_is_wanted_of_a_provider_is_what_a_convolution_by_hand_gives():
    x, kernel = np.pad(np.arange(16.0).reshape(4, 4), 1), [[0, 1, 0], [1, 2, 1], [0, 1, 0]]
    conv = np.array([[(x[i : i + 3, j : j + 3] * kernel).sum() for j in range(4)] for i in range(4)])
    assert np.array_equal(conv.reshape(2, 2, 2, 2).max(axis=(1, 3)), probing._WANTED)


def test_a_provider_of_another_build_is_not_there(capfd):
    assert probing.probe(CPU) == ""
    assert "does not have it" in probing.probe("CoreMLExecutionProvider")
    for name in ort.get_available_providers():
        probing.probe(name)
    assert capfd.readouterr() == ("", "")


# ---- what is told of packages ----


def test_every_library_that_users_are_asked_for_has_a_purpose(repo):
    project = parse_toml((repo / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"], *(line for name in EXTRAS for line in project["optional-dependencies"][name])]
    names = {re.split(r"[\s<>=!~\[(;]", line, maxsplit=1)[0].lower() for line in asked} - {"rsp-onnx"}
    assert names - set(PURPOSES) == set()
    assert set(project["optional-dependencies"]) == {*EXTRAS, "test", "lint", "export"}
