"""Normalisations by the sample's own statistics."""

import numpy as np

from .row import Row

SCALE = np.array([0.7, -1.2, 1.5, 0.4, 0.9, -0.6])
BIAS = np.array([0.1, -0.2, 0.3, 0.0, 0.5, -0.4])


def _layer(label, size, axis, **attributes):
    shape = size[axis:]
    parameters = (np.resize(SCALE, shape), np.resize(BIAS, shape))
    return Row("LayerNormalization", label, (size, *parameters), {"axis": axis, **attributes})


ROWS = [
    _layer("last axis", (5, 6), -1),
    _layer("last axis of four", (2, 3, 6), -1),
    _layer("two axes", (4, 3, 2), -2, epsilon=1e-3),
    Row("LayerNormalization", "no bias", ((5, 6), SCALE), {"axis": -1}),
    Row("RMSNormalization", "last axis", ((5, 6), SCALE), {"axis": -1}, opset=23),
    Row("InstanceNormalization", "2-D", ((6, 3, 4), SCALE, BIAS)),
    Row("InstanceNormalization", "1-D", ((6, 5), SCALE, BIAS), {"epsilon": 1e-3}),
    Row(
        "GroupNormalization",
        "per channel",
        ((6, 3, 4), SCALE, BIAS),
        {"num_groups": 3, "stash_type": 11},
        opset=21,
        result=(6, 3, 4),
    ),
]
ROWS += [
    Row("LpNormalization", "last axis", ((5, 6),)),
    Row("LpNormalization", "channels p 1", ((5, 6),), {"axis": 1, "p": 1}),
    Row("LpNormalization", "channels", ((3, 2, 4),), {"axis": 1, "p": 2}),
]
ROWS += [
    Row("MeanVarianceNormalization", label, text=f"""
        normal (T[{sizes}] x) => (T[{sizes}] y) {{ y = MeanVarianceNormalization{settings}(x) }}""", mixes=mixes)
    for label, sizes, settings, mixes in (
        ("places", "N, 3, 4, 5", "<axes = [2, 3]>", ""),
        ("all of a sample", "N, 3, 4", "<axes = [1, 2]>", ""),
        ("one image", "1, 3, 4, 2", "", "the batch is fixed"),
    )
]  # fmt: skip


def _computed(op, label, inputs, sizes, settings="", opset=18, batch="N", mixes=""):
    """Let scale, bias or statistics be inputs, as if computed from the image; positive, as a variance is."""
    given = ", ".join(f"T[{size}] {name}" for name, size in inputs.items())
    text = f"adaptive ({given}) => (T[{batch}, {sizes}] y) {{ y = {op}{settings}({', '.join(inputs)}) }}"
    return Row(op, label, text=text, opset=opset, span=(0.3, 2.3), mixes=mixes)


SHARED = "a scale without a batch axis is of all samples"
VECTORS = dict.fromkeys("sbmv", "3")
ROWS += [
    _computed("BatchNormalization", "all computed", {"x": "N, 3, 2, 2", **VECTORS}, "3, 2, 2", mixes=SHARED),
    _computed("BatchNormalization", "all computed, vectors", {"x": "N, 3", **VECTORS}, "3", "<epsilon = 0.1>",
              mixes=SHARED),
    _computed("LayerNormalization", "scale and bias per sample", {"x": "N, 5, 6", "s": "N, 1, 6", "b": "N, 1, 6"},
              "5, 6"),
    _computed("LayerNormalization", "one scale and bias", {"x": "N, 4, 3, 2", "s": "3, 1", "b": "2"}, "4, 3, 2",
              "<axis = -2, epsilon = 0.001>", mixes=SHARED),
    _computed("RMSNormalization", "scale per sample", {"x": "N, 5, 6", "s": "N, 1, 6"}, "5, 6", opset=23),
    _computed("InstanceNormalization", "scale and bias", {"x": "1, 3, 4, 2", "s": "3", "b": "3"}, "3, 4, 2", batch="1",
              mixes=SHARED),
    _computed("GroupNormalization", "scale and bias per group", {"x": "1, 6, 2, 2", "s": "3", "b": "3"}, "6, 2, 2",
              "<num_groups = 3>", batch="1", mixes=SHARED),
    _computed("GroupNormalization", "scale and bias per channel", {"x": "1, 6, 2, 2", "s": "6", "b": "6"}, "6, 2, 2",
              "<num_groups = 3, stash_type = 11>", opset=21, batch="1", mixes=SHARED),
]  # fmt: skip
ROWS += [
    Row("BatchNormalization", "a LayerNormalization by way of it", mixes="the batch is fixed", text="""
        keras (T[1, 5, 4, 1] x) => (T[1, 5, 4, 1] y) <T[5] one = {1, 1, 1, 1, 1}, T[5] none = {0, 0, 0, 0, 0}> {
            axes = Constant<value = int64[3] {0, 2, 3}>()
            mean = ReduceMean<keepdims = 0>(x, axes)
            wide = Unsqueeze(mean, axes)
            centred = Sub(x, wide)
            squares = Mul(centred, centred)
            variance = ReduceMean<keepdims = 0>(squares, axes)
            y = BatchNormalization<epsilon = 0.001>(x, one, none, mean, variance)
        }"""),
    Row("BatchNormalization", "training on one image", mixes="the batch is fixed", text="""
        trains (T[1, 3, 4, 2] x, T[3] s, T[3] b) => (T[1, 3, 4, 2] y) <T[3] m = {1, 2, 3}, T[3] v = {3, 2, 1}> {
            y, mean, variance = BatchNormalization<training_mode = 1>(x, s, b, m, v)
        }"""),
]  # fmt: skip
