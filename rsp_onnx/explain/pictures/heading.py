"""What is written around a picture: the class, its score and rank, against whom, by which method."""

from __future__ import annotations

from functools import lru_cache

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.render.frame import Heading

from .shown import Shown, drawn_input, is_table_of_inputs

known_method = lru_cache(maxsize=32)(find_method)  # read once, not with every map


def heading(explained: Shown) -> Heading:
    """Return what is written around an explanation's picture.

    A method that knows rivals says who they are, or that there are none; of others nothing is said of rivals. The
    scale's ends are called "speaks against" and "speaks for" where there are none, and "negative" and "positive" where
    the method's sign does not say for or against.
    """
    method, rivals = known_method(explained.method), explained.hostile_labels
    by = f"method {explained.method}"
    lines = [f"no rivals · {by}" if method.compares and not rivals else by]
    if len(explained.inputs) > 1 and not is_table_of_inputs(explained):
        first = drawn_input(explained)
        others = [name for name in explained.inputs if name != first]
        lines.append(f"the input {first}; the relevance of {' · '.join(others)} is in the arrays alone")
    ends = ("speaks against", "speaks for") if method.signed else ("negative", "positive")
    if rivals:
        ends = ("against", f"for {explained.label}")
    return Heading(explained.label, _score(explained), rivals, tuple(lines), ends)


def _score(explained: Shown) -> str:
    """Return "probability 0.930 · rank 1 of 1000", or "logit 23.6 (softmax 0.930) · rank 1 of 1000"."""
    first, comma, second = explained.score_in_words.partition(", ")
    words = f"{first} ({second})" if comma else first
    count = explained.scores.size
    return f"{words} · rank {explained.rank} of {count}" if count > 1 else words
