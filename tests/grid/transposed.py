"""ConvTranspose and Col2Im."""

from .row import Row, ints, weights

UNREACHED = "an output that no kernel reaches keeps its relevance"

# label: channels, size, filters, kernel, attributes
CONVS = {
    "2x2 stride 2": (3, (4, 3), 2, (2, 2), {"strides": [2, 2]}),
    "3x3": (3, (4, 3), 2, (3, 3), {}),
    "3x3 stride 2 same": (3, (4, 3), 2, (3, 3), {
        "strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    "4x4 stride 2": (3, (4, 3), 2, (4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "asymmetric pads": (3, (4, 5), 2, (3, 4), {"strides": [2, 1], "pads": [0, 2, 1, 1]}),
    "output padding": (2, (4, 3), 3, (3, 3), {"strides": [3, 2], "output_padding": [2, 1]}),
    "stride 3 kernel 2 leaves gaps": (2, (4, 3), 3, (2, 2), {"strides": [3, 3]}),
    "dilation": (3, (5, 4), 2, (3, 2), {"dilations": [2, 3]}),
    "groups": (4, (4, 3), 6, (3, 3), {"group": 2, "strides": [2, 2]}),
    "depthwise": (3, (4, 3), 3, (4, 4), {"group": 3, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "1x1": (3, (4, 3), 2, (1, 1), {}),
    "1-D": (3, (5,), 2, (4,), {"strides": [2], "pads": [1, 1]}),
    "3-D": (2, (2, 3, 2), 2, (2, 3, 2), {"strides": [2, 1, 2], "pads": [0, 1, 0, 0, 1, 1]}),
}  # fmt: skip
GAPS = {"output padding", "stride 3 kernel 2 leaves gaps"}


def _transposed(label: str) -> Row:
    channels, size, filters, kernel, attributes = CONVS[label]
    weight = weights(
        channels, filters // attributes.get("group", 1), *kernel, low=0.05 if "group" in attributes else -0.2
    )
    bias = (weights(filters, seed=1),) if "pads" in attributes else ()
    operands = ((channels, *size), weight, *bias)
    return Row("ConvTranspose", label, operands, attributes, absorbs=UNREACHED if label in GAPS else "")


ROWS = [_transposed(label) for label in CONVS]
ROWS += [
    Row("ConvTranspose", "hidden", ((3, 4, 3), weights(3, 2, 3, 3, low=-0.2)), {"strides": [2, 2]}, hidden=True),
    Row("Col2Im", "overlapping", ((18, 6), ints(4, 5), ints(3, 3))),
    Row("Col2Im", "apart", ((8, 6), ints(4, 6), ints(2, 2)), {"strides": [2, 2]}),
    Row("Col2Im", "pads and dilations", ((12, 4), ints(5, 5), ints(3, 2)), {
        "strides": [2, 2], "dilations": [1, 2], "pads": [0, 1, 0, 0]}, absorbs=UNREACHED),
]  # fmt: skip
