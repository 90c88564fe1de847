"""Explanations on a GPU beside the CPU: how far the maps are apart, how long they take, where nodes run, memory.

    python -m benchmarks.gpu --out FOLDER [--models squeezenet ...] [--methods rsp gradient] [--batches 1 16 64]
    python -m benchmarks.gpu --device cpu          # the same code where there is no GPU: it measures nothing new

Maps are compared with the CPU's, with TF32 off and on. Times are medians of runs in turn with a forward pass on the
same device, per image; nodes are counted in a profiled run, by the provider that ran them. Models and inputs are those
of ``benchmarks.measure``. Ends with 2 where CUDA does not work here.
"""

from __future__ import annotations

import argparse
import collections
import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from rsp_onnx import Explainer, compile_explainer
from rsp_onnx.devices.device import Device, resolve_device
from rsp_onnx.errors import OutOfMemory, RspError
from rsp_onnx.model.load import load_model

from .measure.clock import in_turn
from .measure.machine import processor, versions
from .measure.models import Feeds, Found, batch_is_free, feeds_for, find

MODELS = ("digits", "resnet20", "squeezenet", "mobilenet_v2", "efficientnet_lite0", "vgg16", "resnet50", "vit_tiny")
METHODS = ("rsp", "gradient", "grad-cam", "lrp-epsilon-plus-flat")
TARGET, RUNS = 0, 9
HEADS = ("model", "method", "batch", "ms per image", "forward, ms per image", "ratio", "map, tf32 off", "map, tf32 on",
         "nodes on the device", "memory, MB")  # fmt: skip


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("measured-gpu"), help="folder to write gpu.md into")
    parser.add_argument("--device", default="cuda", help="default: cuda")
    parser.add_argument("--models", nargs="+", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16, 64], metavar="N")
    parser.add_argument("--data", type=Path, help="folder of the shared models")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    try:
        resolve_device(given.device)
    except RspError as error:
        print(f"Not measured: {error}", file=sys.stderr)
        return 2
    given.out.mkdir(parents=True, exist_ok=True)
    lines = [f"{card(given.device)}; {versions('onnxruntime', 'onnxruntime-gpu', 'numpy', 'rsp-onnx')}.", ""]
    lines += [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    for name in given.models:
        found = find(name, given.out / "models", given.data)
        if found.path is None:
            print(f"{name} is left out: {found.why}", file=sys.stderr)
            continue
        for method in given.methods:
            for row in rows(found, found.path, method, given.device, given.batches):
                lines.append(f"| {' | '.join(row)} |")
                print(lines[-1], flush=True)
                (given.out / "gpu.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def card(device: str) -> str:
    """Return the name of what it runs on."""
    asked = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    if resolve_device(device).on_cpu:
        return processor()
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip().splitlines()
    except (OSError, subprocess.CalledProcessError):
        return f"{device}: nvidia-smi does not say which"
    return said[Device.read(device).index or 0]


def rows(found: Found, path: Path, method: str, device: str, batches: list[int]) -> Iterator[list[str]]:
    """Yield a row per size of a batch; one alone where the model's is fixed."""
    model = load_model(path)
    wanted = batches if batch_is_free(model) else batches[:1]
    offs = [f"{off:.1e}" for off in distances(path, method, device)]
    share = placement(path, method, device, feeds_for(model))
    for batch in wanted:
        try:
            took, alone = times(path, method, device, feeds_for(model, batch), batch)
        except OutOfMemory as error:
            yield [found.title, method, str(batch), str(error), *[""] * (len(HEADS) - 4)]
            return
        figures = [f"{1e3 * took / batch:.2f}", f"{1e3 * alone / batch:.2f}", f"{took / alone:.1f}"]
        yield [found.title, method, str(batch), *figures, *offs, share, memory(device)]


def distances(path: Path, method: str, device: str) -> list[float]:
    """Return the relative L2 distance from the CPU's map, with TF32 off and on; the same twice where there is none."""
    word = Device.read(device)
    told = [{**word.options, "use_tf32": value} for value in "01"] if word.word == "cuda" else [word.options] * 2
    feeds = feeds_for(load_model(path))
    want = relevance(path, method, "cpu", feeds)
    maps = [relevance(path, method, Device(word.word, word.index, one).to_text(), feeds) for one in told]
    return [float(np.linalg.norm(found - want) / max(np.linalg.norm(want), 1e-30)) for found in maps]


def relevance(path: Path, method: str, device: str, feeds: Feeds) -> np.ndarray:
    """Return the map of the first input."""
    explainer = Explainer(path, method=method, device=device, cache=False)
    return np.asarray(explainer.explain(explainer.prepare(feeds), TARGET, "none").relevance, np.float64)


def times(path: Path, method: str, device: str, feeds: Feeds, batch: int) -> tuple[float, float]:
    """Return the seconds of one batch explained and of a forward pass of it, medians."""
    explainer = Explainer(path, method=method, device=device, cache=False)
    items = [explainer.prepare({name: x[i : i + 1] for name, x in feeds.items()}) for i in range(batch)]
    options = ort.SessionOptions()
    options.log_severity_level = 4
    plain = ort.InferenceSession(str(path), options, providers=list(resolve_device(device).providers))
    runs = {
        "plain": lambda: plain.run(None, feeds),
        "explain": lambda: explainer.explain_batch(items, TARGET, "none", batch_size=batch),
    }
    alone, explained = in_turn(runs, RUNS)
    return explained.median, alone.median


def placement(path: Path, method: str, device: str, feeds: Feeds) -> str:
    """Return how many of a profiled run's nodes the device's provider ran, and of how many."""
    options = ort.SessionOptions()
    options.log_severity_level, options.enable_profiling = 4, True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        compiled = compile_explainer(path, method).SerializeToString()
        where = resolve_device(device)
        session = ort.InferenceSession(compiled, options, providers=list(where.providers))
        batch = next(len(x) for x in feeds.values() if x.ndim)
        asked = {"target": np.full((1, batch), TARGET), "hostile": np.zeros((1, batch, 0), np.int64)}
        known = {v.name for v in session.get_inputs()}
        session.run(None, {name: x for name, x in {**feeds, **asked}.items() if name in known})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran = collections.Counter(_provider(event) for event in events if event.get("name", "").endswith("_kernel_time"))
    return f"{ran[where.names[0]]} of {sum(ran.values())}"


def _provider(event: Mapping[str, Mapping[str, str]]) -> str:
    return event["args"].get("provider", "")


def memory(device: str) -> str:
    """Return the memory this process holds on the GPU, as the driver tells."""
    if resolve_device(device).on_cpu:
        return "–"
    asked = ["nvidia-smi", "--query-compute-apps=used_memory", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return "not known"
    return str(sum(int(word) for word in said if word.isdigit()))


if __name__ == "__main__":
    sys.exit(main())
