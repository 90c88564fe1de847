"""Windows of any kernel, stride, dilation, padding and group: the gradient is the adjoint, whatever they are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsp_onnx.testing.checks import check_adjoint, check_batch

from .grid.row import Row, weights

few = settings(max_examples=15, deadline=None, derandomize=True)


@st.composite
def windows(draw, dilated=True, alike=False):
    """Sizes of the image and attributes of a window that fits on it, of one or two axes; alike: pads at both ends."""
    axes = draw(st.integers(1, 2))
    kernel, strides, *pads = (draw(st.lists(st.integers(low, 3), min_size=axes, max_size=axes)) for low in (1, 1, 0, 0))
    dilations = [draw(st.integers(1, 3)) if dilated else 1 for _ in range(axes)]
    pads = [[min(p, k - 1) for p, k in zip(side, kernel, strict=True)] for side in pads]
    pads[1] = pads[0] if alike else pads[1]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = tuple(span + draw(st.integers(0, 4)) for span in spans)
    named = {"kernel_shape": kernel, "strides": strides, "pads": [*pads[0], *pads[1]]}
    return sizes, named | ({"dilations": dilations} if dilated else {})


@few
@given(windows(), st.integers(1, 3), st.integers(1, 2), st.booleans())
def test_of_a_convolution(window, group, per_group, hidden):
    sizes, attributes = window
    weight = weights(2 * group, per_group, *attributes["kernel_shape"])
    model = Row("Conv", "any", ((group * per_group, *sizes), weight), {**attributes, "group": group}, hidden=hidden)
    check_adjoint(model.model())
    check_batch(model.model())


@few
@given(windows(), st.integers(1, 3), st.integers(1, 2))
def test_of_a_transposed_convolution(window, group, per_group):
    sizes, attributes = window
    short = [max(1, n // 2) for n in sizes]
    attributes = {**attributes, "pads": [0] * 2 * len(sizes), "group": group}
    weight = weights(2 * group, per_group, *attributes["kernel_shape"])
    check_adjoint(Row("ConvTranspose", "any", ((2 * group, *short), weight), attributes).model())


@pytest.mark.parametrize("counts", [0, 1])
@few
@given(windows(dilated=False))
def test_of_a_mean(counts, window):
    sizes, attributes = window
    check_adjoint(Row("AveragePool", "any", ((2, *sizes),), {**attributes, "count_include_pad": counts}).model())


@few
@given(windows(dilated=False, alike=True))  # as torch has them, which computes the reference
def test_of_a_maximum(window):
    sizes, attributes = window
    check_adjoint(Row("MaxPool", "any", ((2, *sizes),), attributes).model())
