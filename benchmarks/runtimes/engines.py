"""The runtimes: each takes a serialised model and inputs by name, and returns its outputs by name."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

Arrays = dict[str, np.ndarray]
_WEB = Path(__file__).with_name("web.mjs")


class MissingError(Exception):
    """The runtime is not installed; the message says how to install it."""


@dataclass(frozen=True)
class Engine:
    """A runtime.

    Attributes
    ----------
    run : callable
        (model, feeds) → outputs; MissingError where it is not installed, anything else where it fails.
    version : callable
        Returns the version that was run.
    slow : bool
        Takes minutes for a network of a photograph's size.
    """

    name: str
    run: Callable[[bytes, Mapping[str, np.ndarray]], Arrays]
    version: Callable[[], str]
    slow: bool = False


def onnx_runtime(level: str) -> Callable[[bytes, Mapping[str, np.ndarray]], Arrays]:
    """Return a run of ONNX Runtime on the CPU at a level of optimisation."""

    def run(model: bytes, feeds: Mapping[str, np.ndarray]) -> Arrays:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [v.name for v in session.get_outputs()]
        return dict(zip(names, map(np.asarray, session.run(names, dict(feeds))), strict=True))

    return run


def openvino(model: bytes, feeds: Mapping[str, np.ndarray]) -> Arrays:
    """Run in OpenVINO on the CPU, in single precision."""
    library = _library("openvino")
    core = library.Core()
    read = core.read_model(model)
    known = {name for port in read.inputs for name in port.names}
    given = {name: array for name, array in feeds.items() if name in known}
    read.reshape({name: list(array.shape) for name, array in given.items()})
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(given)
    return {name: np.asarray(results[port]) for port in compiled.outputs for name in port.names}


def reference(model: bytes, feeds: Mapping[str, np.ndarray]) -> Arrays:
    """Run in ONNX's own evaluator."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(onnx.load_from_string(model))
    return dict(zip(evaluator.output_names, evaluator.run(None, dict(feeds)), strict=True))


class Web:
    """onnxruntime-web in Node; modules: a folder whose node_modules hold it."""

    def __init__(self, modules: Path | None) -> None:
        self._modules = modules

    def run(self, model: bytes, feeds: Mapping[str, np.ndarray]) -> Arrays:
        """Run in WASM, one thread."""
        if self._modules is None or not (self._modules / "node_modules" / "onnxruntime-web").is_dir():
            raise MissingError("npm install onnxruntime-web in a folder, and give it with --web")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "model.onnx").write_bytes(model)
            inputs = []
            for index, (title, array) in enumerate(feeds.items()):
                (folder / f"input_{index}.bin").write_bytes(np.ascontiguousarray(array).tobytes())
                inputs.append({"name": title, "type": str(array.dtype), "shape": array.shape})
            (folder / "feeds.json").write_text(json.dumps({"inputs": inputs}), encoding="utf-8")
            command = ["node", str(_WEB), str(folder), str(self._modules.resolve())]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(next((x for x in done.stderr.splitlines() if "rror" in x), done.stderr[-300:]))
            told = json.loads((folder / "results.json").read_text(encoding="utf-8"))["outputs"]
            return {one["name"]: _array(folder / f"output_{i}.bin", one) for i, one in enumerate(told)}

    def version(self) -> str:
        """Return the installed version."""
        assert self._modules is not None
        told = self._modules / "node_modules" / "onnxruntime-web" / "package.json"
        return str(json.loads(told.read_text(encoding="utf-8"))["version"])


def _array(path: Path, told: Mapping[str, Any]) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), told["type"]).reshape(told["shape"])


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingError(f"pip install {name}") from error


def engines(web: Path | None) -> list[Engine]:
    """Return the runtimes that are compared with ONNX Runtime as it is by default."""
    in_node = Web(web)
    return [
        Engine("ONNX Runtime, not optimised", onnx_runtime("ORT_DISABLE_ALL"), lambda: ort.__version__),
        Engine("OpenVINO", openvino, lambda: importlib.metadata.version("openvino")),
        Engine("onnxruntime-web", in_node.run, in_node.version),
        Engine("onnx's evaluator", reference, lambda: onnx.__version__, slow=True),
    ]
