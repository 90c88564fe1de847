"""What an evaluation costs: maps per second of every method here, and hours for a whole dataset on 1, 8 and 64 such.

The defaults are COCO 2014 val: 40,504 images with 3.5 classes each on average (Lin et al. 2014, figure 5), all classes
of an image in one run. A worker is what this runs on: one GPU where there is one, else the cores given by --threads.
Parts are independent, so that n workers take 1/n of the time; decoding (measured too) runs beside the model.

    python benchmarks/cost.py --method rsp --method gradient --method grad-cam --method clrp
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

from rsp_onnx import Explainer

REPO = Path(__file__).resolve().parents[1]
METHODS = ["rsp", "gradient", "input-x-gradient", "guided-backprop", "grad-cam", "lrp-epsilon-plus-flat", "clrp", "rap"]
IMAGES, CLASSES = 40_504, 3.5


def photo(seed: int) -> np.ndarray:
    """Return a COCO-sized picture [480, 640, 3] of random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (480, 640, 3), dtype=np.uint8)


def seconds(run: object, rounds: int) -> float:
    """Return the median time of one call, after one to warm up."""
    assert callable(run)
    run()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=REPO / "models" / "digits_pytorch.onnx")
    parser.add_argument("--method", action="append", help="repeat; default: eight of them")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--classes", type=float, default=CLASSES, help="per image")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    batch = [photo(i) for i in range(arguments.batch_size)]
    low, high = int(arguments.classes), int(np.ceil(arguments.classes))
    targets = [list(range(high if i % 2 else low)) for i in range(len(batch))]
    none: list[list[list[int]]] = [[[] for _ in ts] for ts in targets]
    rows, provider, base = [], "", 0.0
    for method in arguments.method or METHODS:
        explainer = Explainer(arguments.model, method=method, threads=arguments.threads, device=arguments.device)
        if not rows:
            ready = [explainer.prepare(p) for p in batch]
            base = seconds(lambda e=explainer, r=ready: e.score_batch(r), arguments.rounds) / len(batch)
            decode = seconds(lambda e=explainer: [e.prepare(p) for p in batch], arguments.rounds) / len(batch)
        ready = [explainer.prepare(p) for p in batch]
        took = seconds(lambda e=explainer, r=ready: e.explain_each(r, targets, none), arguments.rounds) / len(batch)
        rows.append((method, took))
        provider = explainer.provider
    print(f"{arguments.model.name} on {provider}, {arguments.threads} threads, batches of {arguments.batch_size}, ")
    print(f"{arguments.classes} classes per image; the model alone {1000 * base:.1f} ms per image, preprocessing ")
    print(f"{1000 * decode:.1f} ms per image (in a thread beside).\n")
    print("| method | ms per image | × the model alone | images per second |\n|---|---|---|---|")
    for method, took in rows:
        print(f"| {method} | {1000 * took:.1f} | {took / base:.1f} | {1 / took:.1f} |")
    total = sum(max(took, decode) for _, took in rows) * arguments.images / 3600
    print(f"\n{arguments.images:,} images × {len(rows)} methods:\n\n| workers | hours |\n|---|---|")
    for workers in (1, 8, 64):
        print(f"| {workers} | {total / workers:.2f} |")


if __name__ == "__main__":
    main()
