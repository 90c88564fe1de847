"""Measure every form of the conv rule on a grid of layers, and refit what the choice between them reckons with.

One thread; of each layer all forms in turn, the median of --runs. Prints what was measured beside what the rates of
rules/forms/rates.py predict, how much slower the chosen form is than the fastest, and the rates that fit best, to be
pasted there. Forms in the tables of ONNX Runtime's own layout are measured where they are right on this machine.

    python benchmarks/calibrate_forms.py
    python benchmarks/calibrate_forms.py --runs 5 --largest 60
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, product
from typing import TypeAlias

import numpy as np
import onnxruntime as ort

from rsp_onnx.rulekit.context import Options
from rsp_onnx.rulekit.convolution import Convolution, Window
from rsp_onnx.rules.forms.choose import cost, forms, rate_of
from rsp_onnx.rules.forms.form import Form, Layer
from rsp_onnx.rules.forms.rates import OPERATIONS_PER_MS
from rsp_onnx.testing.models import rule_model

# channels, filters, side, kernel, stride, groups: what VGG, ResNet, SqueezeNet, MobileNet, EfficientNet are made of
GRID = [
    (64, 64, 224, 3, 1, 1), (128, 128, 112, 3, 1, 1), (256, 256, 56, 3, 1, 1), (64, 64, 56, 3, 1, 1),
    (128, 128, 28, 3, 1, 1), (256, 256, 28, 3, 1, 1), (512, 512, 28, 3, 1, 1), (256, 256, 14, 3, 1, 1),
    (512, 512, 14, 3, 1, 1), (512, 512, 7, 3, 1, 1), (64, 256, 13, 3, 1, 1), (32, 128, 27, 3, 1, 1),
    (16, 64, 55, 3, 1, 1), (16, 16, 32, 3, 1, 1), (32, 32, 16, 3, 1, 1), (64, 64, 8, 3, 1, 1), (64, 128, 56, 3, 2, 1),
    (256, 256, 28, 3, 2, 1), (512, 512, 14, 3, 2, 1), (64, 256, 56, 1, 1, 1), (256, 64, 56, 1, 1, 1),
    (128, 512, 28, 1, 1, 1), (512, 128, 28, 1, 1, 1), (256, 1024, 14, 1, 1, 1), (1024, 256, 14, 1, 1, 1),
    (512, 2048, 7, 1, 1, 1), (2048, 512, 7, 1, 1, 1), (16, 64, 55, 1, 1, 1), (64, 16, 55, 1, 1, 1),
    (96, 24, 56, 1, 1, 1), (24, 144, 56, 1, 1, 1), (32, 192, 28, 1, 1, 1), (960, 160, 7, 1, 1, 1),
    (32, 32, 112, 3, 1, 32), (96, 96, 112, 3, 2, 96), (144, 144, 56, 3, 1, 144), (192, 192, 28, 3, 1, 192),
    (576, 576, 14, 3, 1, 576), (960, 960, 7, 3, 1, 960), (144, 144, 56, 5, 2, 144), (240, 240, 28, 5, 1, 240),
    (672, 672, 14, 5, 1, 672), (64, 64, 14, 3, 1, 4),
]  # fmt: skip
_MOST_BYTES = 1 << 31  # a form that would hold more is not tried
_HOPELESS = 30.0  # nor one predicted to take so many times as long as the fastest
_OF_PREDICTIONS = 0.05  # the weight of right predictions beside that of right choices
Rates: TypeAlias = "Mapping[str, float]"


@dataclass(frozen=True)
class Measured:
    """What one form of one layer took, in milliseconds."""

    layer: Layer
    form: Form
    time: float


def layer_of(channels: int, filters: int, side: int, kernel: int, stride: int, group: int) -> Layer:
    """Return a square layer with as much padding as keeps its size."""
    around = kernel // 2
    out = (side + 2 * around - kernel) // stride + 1
    window = Window((kernel,) * 2, (stride,) * 2, (1, 1), (around,) * 2, (around,) * 2, (side,) * 2, (out,) * 2)
    return Layer(Convolution(window, channels, filters, group), alone=True, in_process=True)


def session(layer: Layer, form: Form) -> ort.InferenceSession:
    """Return the rule of one hidden layer in one form."""
    c, w = layer.c, layer.c.window
    pads, (side, _) = [*w.before, *w.after], w.size
    text = f"""<ir_version: 8, opset_import: ["" : 18]>
    layer (float[1, {c.channels}, {side}, {side}] x,
           float[{c.filters}, {c.channels // c.group}, {w.kernel[0]}, {w.kernel[1]}] w) => (y) {{
        h = Relu(x)
        y = Conv<pads = {pads}, strides = {list(w.strides)}, group = {c.group}>(h, w)
    }}"""
    model = rule_model(text, ["x"], Options(form=form.name, in_process=True), targets=1)
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.add_session_config_entry("session.disable_prepacking", "1")
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def measured(layer: Layer, runs: int) -> Iterator[Measured]:
    """Yield what the forms that apply take, interleaved."""
    rng = np.random.default_rng(0)
    c, w = layer.c, layer.c.window
    feeds = {
        "x": rng.normal(size=(1, c.channels, *w.size)).astype(np.float32),
        "w": np.zeros((c.filters, c.channels // c.group, *w.kernel), np.float32),
        "g": rng.normal(size=(1, 1, c.filters, *w.out)).astype(np.float32),
    }
    table = {form: cost(form, layer) for form in forms() if form.applies(layer)}
    least = min(known.time for known in table.values())
    tried = [f for f, known in table.items() if known.memory < _MOST_BYTES and known.time < _HOPELESS * least]
    sessions = {form.name: session(layer, form) for form in tried}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for _ in range(runs + 1):
        for name, one in sessions.items():
            start = time.perf_counter()
            one.run(["relevance/x"], feeds)
            times[name].append((time.perf_counter() - start) * 1e3)
    for form in tried:
        yield Measured(layer, form, statistics.median(times[form.name][1:]))


def fitted(rows: list[Measured], bytes_per_ms: float) -> dict[str, float]:
    """Return operations per millisecond by form: the median over its layers, what memory takes taken off."""
    rates: dict[str, list[float]] = {}
    for row in rows:
        operations, traffic, _ = row.form.count(row.layer)
        left = max(row.time - traffic / bytes_per_ms, 0.2 * row.time)
        rates.setdefault(rate_of(row.form, row.layer), []).append(operations / left)
    return {name: statistics.median(found) for name, found in rates.items()}


def off(rows: list[Measured], rates: Rates, bytes_per_ms: float) -> tuple[float, float]:
    """Return how much slower the chosen forms are than the fastest, and predictions than what was measured.

    Both are means of logarithms: over layers, and over all forms of all layers without their sign.
    """
    slower, wrong = [], []
    for _, group in groupby(rows, key=lambda row: row.layer):
        layer = list(group)
        told = [predicted(row, rates, bytes_per_ms) for row in layer]
        chosen = layer[told.index(min(told))]
        slower.append(float(np.log(chosen.time / min(row.time for row in layer))))
        wrong += [abs(float(np.log(time / row.time))) for time, row in zip(told, layer, strict=True)]
    return statistics.mean(slower), statistics.mean(wrong)


def predicted(row: Measured, rates: Rates, bytes_per_ms: float) -> float:
    """Return the milliseconds that rates predict."""
    operations, traffic, _ = row.form.count(row.layer)
    return operations / rates[rate_of(row.form, row.layer)] + traffic / bytes_per_ms


def refined(rows: list[Measured]) -> tuple[dict[str, float], float]:
    """Return rates and bytes per millisecond that choose well; among those, that predict well.

    From every start (memory of 2 to 20 GB/s, rates by ``fitted``) each rate is moved by a tenth as long as that helps.
    """

    def loss(rates: Rates, speed: float) -> float:
        slower, wrong = off(rows, rates, speed)
        return slower + _OF_PREDICTIONS * wrong

    found = []
    for speed in (2e6, 3e6, 5e6, 8e6, 1.2e7, 2e7):
        rates = fitted(rows, speed)
        least, before = loss(rates, speed), np.inf
        while least < before:
            before = least
            for name, factor in product(rates, (0.9, 1.1)):
                moved = {**rates, name: rates[name] * factor}
                if loss(moved, speed) < least:
                    rates, least = moved, loss(moved, speed)
        found.append((least, speed, rates))
    _, speed, rates = min(found, key=lambda one: one[0])
    return rates, speed


def main() -> None:
    """Measure, print a table, and the rates to paste."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--largest", type=int, default=1000, help="leave out wider maps")
    arguments = parser.parse_args()
    rows: list[Measured] = []
    print("| layer | form: measured ms (predicted) ... | chosen / fastest |\n|---|---|---|")
    for sizes in GRID:
        if sizes[2] > arguments.largest:
            continue
        layer = layer_of(*sizes)
        found = list(measured(layer, arguments.runs))
        chosen = min(found, key=lambda row: cost(row.form, row.layer).time)
        each = ", ".join(f"{row.form.name} {row.time:.2f} ({cost(row.form, layer).time:.2f})" for row in found)
        print(f"| {sizes} | {each} | {chosen.form.name} {chosen.time / min(r.time for r in found):.2f} |", flush=True)
        rows += found
    rates, speed = refined(rows)
    print(f"\nBYTES_PER_MS = {speed:.1e}\nOPERATIONS_PER_MS = {{")
    for name, rate in {**dict.fromkeys(OPERATIONS_PER_MS, 0.0), **rates}.items():
        print(f'    "{name}": {rate:.2g},' if rate else f'    "{name}": not measured here,')
    slower, wrong = off(rows, rates, speed)
    print(f"}}\nchosen / fastest - 1: {np.expm1(slower):.3f}, mean |log(predicted / measured)|: {wrong:.2f}")


if __name__ == "__main__":
    main()
