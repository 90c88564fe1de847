"""What is run and timed: the plain model, our explanation in its several ways, each as a function without arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort

from .models import Feeds

TARGET = 0
Run = Callable[[], object]


def open_plain(model: Path | bytes, threads: int) -> ort.InferenceSession:
    """Open a session as ONNX Runtime does by default, but for the number of threads."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, threads
    source = str(model) if isinstance(model, Path) else model
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def plain(path: Path, threads: int, feeds: Feeds) -> Run:
    """Return a forward pass of the model itself."""
    session = open_plain(path, threads)
    return lambda: session.run(None, feeds)


def explainer(path: Path, method: str, threads: int, *, cache: bool = True) -> Any:
    """Return an Explainer on the CPU."""
    from rsp_onnx import Explainer

    return Explainer(path, method=method, device="cpu", threads=threads, cache=cache)


def explain(path: Path, method: str, threads: int, feeds: Feeds) -> Run:
    """Return ``explain()`` of prepared tensors for a class that is given, without hostile ones."""
    ours = explainer(path, method, threads)
    item = ours.prepare(feeds)
    return lambda: ours.explain(item, TARGET, "none")


def exported(compiled: onnx.ModelProto, threads: int, feeds: Feeds) -> Run:
    """Return a run of an exported explainer, all outputs, in a plain session."""
    session = open_plain(compiled.SerializeToString(), threads)
    given = {**feeds, **classes_for(session, feeds)}
    return lambda: session.run(None, given)


def classes_for(session: ort.InferenceSession, feeds: Feeds) -> Feeds:
    """Return one target for every sample, no hostile classes; only those the file asks for."""
    given = max((len(x) for x in feeds.values() if x.ndim), default=1)
    known = {v.name: v.shape for v in session.get_inputs()}
    samples = next((s[1] for name, s in known.items() if name == "target" and isinstance(s[1], int)), given)
    asked = {"target": np.full((1, samples), TARGET, np.int64), "hostile": np.zeros((1, samples, 0), np.int64)}
    return {name: array for name, array in asked.items() if name in known}
