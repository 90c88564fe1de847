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
