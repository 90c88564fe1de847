"""Runs are kept small: how many maps at once, and that it changes nothing."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rsp_onnx import Explainer
from rsp_onnx.inputs.batching import portions


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 20))
def test_portions_are_all_targets_once_and_fit(counts, room):
    runs = list(portions(counts, room))
    seen = [(item, target) for run in runs for item, part in run for target in range(part.start, part.stop)]
    assert seen == [(item, target) for item, count in enumerate(counts) for target in range(count)]
    for run in runs:
        most = max(part.stop - part.start for _, part in run)
        assert most * len(run) <= room


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(4, 40))
def test_portions_are_not_smaller_than_need_be(counts, room):
    runs = list(portions(counts, room))
    for one, other in itertools.pairwise(runs):
        both = [*one, other[0]]
        assert max(part.stop - part.start for _, part in both) * len(both) > room


def test_activation_bytes_count_what_the_model_holds_for_one_sample(repo):
    explainer = Explainer(repo / "models" / "digits_pytorch.onnx")
    one = explainer.prepare(np.zeros((96, 96, 3), np.uint8))
    found = explainer.activation_bytes(one)
    first = 4 * 16 * 96 * 96  # the first convolution's output alone
    assert first < found < 20 * first
