"""Count what compiled explainers compute and move, and hold it to a table: a guard that needs no clock.

    python -m benchmarks.counts --check       # fails where a row got worse by more than 1 %
    python -m benchmarks.counts --write       # renews benchmarks/counts.csv
    python -m benchmarks.counts --only digits # prints the rows of some models

Per model, method and form (the exported file with N and K free, and made for N = K = 1, both counted at one sample and
one class): nodes, multiply-adds, bytes that nodes read and write, and the most bytes of tensors that live at once. All
of it by shape inference (``rsp_onnx/cost``), so that neither the processor nor its load is in it. Models of
``../shared/data/models`` are counted where they are there; their rows are left alone where they are not.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from rsp_onnx import compile_explainer
from rsp_onnx.cost.amounts import amounts
from rsp_onnx.cost.memory import live_bytes
from rsp_onnx.cost.sizes import sizes_of
from tests.little import conv_net, little, nhwc_net, signal_net, table_net, two_input_net, volume_net

REPO = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".csv")
SHARED = REPO.parent / "shared" / "data" / "models"
METHODS = ("rsp", "gradient", "lrp-epsilon-plus-flat")
FORMS: dict[str, int | None] = {"free": None, "N=K=1": 1}
COUNTED = ("nodes", "multiply_adds", "bytes", "live_bytes")
WORSE, BETTER = 0.01, 0.05
Source = Path | onnx.ModelProto
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Row:
    """The counts of one explainer."""

    nodes: int
    multiply_adds: int
    bytes: int
    live_bytes: int


def _draw(seed: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * 0.3).astype(np.float32)


def depthwise_net() -> onnx.ModelProto:
    """Return an inverted bottleneck: 1×1, depthwise 3×3 of stride 2, 1×1, Clip between."""
    return little(
        """g (float[N,8,24,24] x) => (float[N,4] y) <float low = {0}, float high = {6}> {
            a = Conv(x, w1) b = Clip(a, low, high) c = Conv<group=32, pads=[1,1,1,1], strides=[2,2]>(b, w2)
            d = Clip(c, low, high) e = Conv(d, w3) p = GlobalAveragePool(e) f = Flatten(p) y = MatMul(f, v) }""",
        w1=_draw(1, 32, 8, 1, 1), w2=_draw(2, 32, 1, 3, 3), w3=_draw(3, 12, 32, 1, 1), v=_draw(4, 12, 4),
    )  # fmt: skip


def residual_net() -> onnx.ModelProto:
    """Return a stem of stride 2, a max pool and a residual block with BatchNormalization."""
    norms = {f"{kind}{i}": np.abs(_draw(9 + i, 16)) + 0.5 for i in (1, 2) for kind in "smvb"}
    return little(
        """g (float[N,3,32,32] x) => (float[N,4] y) {
            a = Conv<pads=[2,2,2,2], strides=[2,2]>(x, w0) b = Relu(a)
            c = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(b)
            d = Conv<pads=[1,1,1,1]>(c, w1) e = BatchNormalization(d, s1, b1, m1, v1) f = Relu(e)
            g1 = Conv<pads=[1,1,1,1]>(f, w2) h = BatchNormalization(g1, s2, b2, m2, v2) i = Add(h, c) j = Relu(i)
            p = GlobalAveragePool(j) q = Flatten(p) y = Gemm(q, v) }""",
        w0=_draw(1, 16, 3, 5, 5), w1=_draw(2, 16, 16, 3, 3), w2=_draw(3, 16, 16, 3, 3), v=_draw(4, 16, 4), **norms,
    )  # fmt: skip


def wide_net() -> onnx.ModelProto:
    """Return many channels on a small map, and a dense head over positions."""
    return little(
        """g (float[N,32,8,8] x) => (float[N,10] y) {
            a = Conv<pads=[1,1,1,1]>(x, w1) b = Relu(a) c = Conv<pads=[1,1,1,1]>(b, w2) d = Relu(c)
            e = AveragePool<kernel_shape=[2,2], strides=[2,2]>(d) f = Flatten(e) g1 = Gemm(f, u) h = Relu(g1)
            y = Gemm(h, v) }""",
        w1=_draw(1, 96, 32, 3, 3), w2=_draw(2, 64, 96, 3, 3), u=_draw(3, 1024, 48), v=_draw(4, 48, 10),
    )  # fmt: skip


def recurrent_net() -> onnx.ModelProto:
    """Return an LSTM over 40 steps, long enough to be walked as a loop."""
    return little(
        """g (float[40,1,6] x) => (float[1,4] y) <int64[2] flat = {1, -1}> {
            a, h, c = LSTM<hidden_size=8>(x, w, r) q = Reshape(h, flat) y = MatMul(q, v) }""",
        w=_draw(1, 1, 32, 6), r=_draw(2, 1, 32, 8), v=_draw(3, 8, 4),
    )  # fmt: skip


BUILT: dict[str, Callable[[], onnx.ModelProto]] = {
    "conv": conv_net, "channels_last": nhwc_net, "signal": signal_net, "volume": volume_net, "table": table_net,
    "two_inputs": two_input_net, "depthwise": depthwise_net, "residual": residual_net, "wide": wide_net,
    "recurrent": recurrent_net,
}  # fmt: skip
OURS = ("digits_pytorch", "digits_keras", "digits_vit")
OTHERS = ("resnet20_cifar10_nchw_fp32", "squeezenet1.1_nchw_fp32", "mobilenet_v2_nhwc_fp32",
          "mobilenet_v2_nhwc_int8_qdq", "efficientnet_lite0_nchw_fp32")  # fmt: skip


def models(only: str = "") -> Iterator[tuple[str, Source]]:
    """Yield the models that are there, and say which are not."""
    for name, build in BUILT.items():
        if only in name:
            yield name, build()
    for name in OURS:
        if only in name:
            yield name, REPO / "models" / f"{name}.onnx"
    for name in OTHERS:
        path = SHARED / f"{name}.onnx"
        if only in name and path.exists():
            yield name, path
        elif only in name:
            print(f"{name} is not counted: it is not there.", file=sys.stderr)


def count(source: Source, method: str, size: int | None) -> Row:
    """Compile one explainer and count it. size: N and K; None leaves them free."""
    model = ir.from_proto(compile_explainer(source, method, batch=size, targets=size))
    sizes = sizes_of(model)
    if sizes.unknown:
        raise ValueError(f"{len(sizes.unknown)} tensors are of unknown size, {sizes.unknown[0]!r} is one of them")
    total = amounts(model.graph, sizes)
    return Row(total.nodes, total.products, total.bytes, live_bytes(model.graph, sizes))


def counted(only: str = "") -> dict[Key, Row]:
    """Count all models by all methods in both forms."""
    rows = {}
    for name, source in models(only):
        for method in METHODS:
            for form, size in FORMS.items():
                rows[name, method, form] = count(source, method, size)
    return rows


def compare(old: Mapping[Key, Row], new: Mapping[Key, Row]) -> tuple[list[str], list[str]]:
    """Return a sentence for every count that got worse by more than 1 %, and for every one that got better by 5 %."""
    worse, better = [], []
    for key, row in new.items():
        name = " ".join(key)
        if key not in old:
            worse.append(f"{name} is not in the table; add it with --write.")
            continue
        for what in COUNTED:
            before, now = getattr(old[key], what), getattr(row, what)
            change = f"{name}: {what} went from {before:,} to {now:,} ({now / max(before, 1) - 1:+.1%})."
            if now > before * (1 + WORSE):
                worse.append(change)
            elif now < before * (1 - BETTER):
                better.append(change)
    return worse, better


def read(path: Path = TABLE) -> dict[Key, Row]:
    """Return the rows of a table; none where there is no such file."""
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {(r["model"], r["method"], r["form"]): Row(*(int(r[c]) for c in COUNTED)) for r in csv.DictReader(file)}


def write(rows: Mapping[Key, Row], path: Path = TABLE) -> None:
    """Write rows as a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["model", "method", "form", *COUNTED])
        writer.writerows([*key, *(getattr(row, c) for c in COUNTED)] for key, row in rows.items())


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.counts", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail where a row got worse")
    parser.add_argument("--write", action="store_true", help="renew the table")
    parser.add_argument("--only", default="", metavar="PART", help="of the models' names")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    old, new = read(), counted(given.only)
    worse, better = compare(old, new)
    if given.write:
        write({**old, **new})
    if not given.check:
        for key, row in new.items():
            print(*key, *(f"{getattr(row, c):,} {c}" for c in COUNTED), sep="  ")
        return 0
    print(*worse, *(f"Better: {line}" for line in better), sep="\n")
    if better:
        print("Renew the table: python -m benchmarks.counts --write")
    if worse:
        print("What got worse on purpose is written with --write, and its reason into the commit.", file=sys.stderr)
    print(f"{len(new)} explainers counted, {len(worse)} counts got worse, {len(better)} better.")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
