"""Measure a model on the test split: ``python models/evaluate.py models/digits_pytorch.onnx``.

Prints, for each digit, the share of scenes in which "is it there?" was answered rightly at a probability of
one half, and the average precision; below it the means and the share of scenes with all ten answers right.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from scenes import WORDS, Scene, make_scenes
from sklearn.metrics import average_precision_score

Floats = NDArray[np.floating[Any]]


def main() -> None:
    """Parse, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="an .onnx file with ten probabilities as output")
    parser.add_argument("--count", type=int, default=2000, help="test scenes")
    options = parser.parse_args()
    scenes = make_scenes("test", options.count)
    print(table(score(options.model, scenes), np.stack([scene.labels for scene in scenes])))


def score(model: Path, scenes: Sequence[Scene]) -> Floats:
    """Run a model on scenes.

    Parameters
    ----------
    model : Path
        An .onnx file with one picture input, channels first or last.
    scenes : sequence of Scene
        N scenes.

    Returns
    -------
    ndarray of float32, shape (N, 10)
        The probability that each digit is there.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    images = np.stack([scene.image for scene in scenes])
    if source.shape[1] == 3:
        images = images.transpose(0, 3, 1, 2)
    parts = np.array_split(images, -(-len(images) // 100))
    return np.concatenate([session.run(None, {source.name: part.astype(np.float32) / 255})[0] for part in parts])


def table(scores: Floats, labels: Floats) -> str:
    """Return the table as Markdown; scores and labels (N, 10)."""
    right = (scores > 0.5) == (labels > 0)
    precision = [average_precision_score(labels[:, c], scores[:, c]) for c in range(len(WORDS))]
    lines = ["| digit | scenes with it | accuracy | average precision |", "|---|--:|--:|--:|"]
    for c, word in enumerate(WORDS):
        lines.append(f"| {word} | {labels[:, c].sum():.0f} | {right[:, c].mean():.1%} | {precision[c]:.3f} |")
    lines.append(f"| mean of the ten | | {right.mean():.1%} | {np.mean(precision):.3f} |")
    lines.append(f"| all ten right | {len(labels)} | {right.all(1).mean():.1%} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
