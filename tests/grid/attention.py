"""The Attention op: four axes, three axes, masked and causal."""

from .row import Row

Q = ("T[N, 2, 3, 4] q, T[N, 2, 5, 4] k, T[N, 2, 5, 3] v", "T[N, 2, 3, 3] y")
FLAT = ("T[N, 3, 8] q, T[N, 5, 8] k, T[N, 5, 8] v", "T[N, 3, 8] y")
SELF = ("T[N, 4, 8] q, T[N, 4, 8] k, T[N, 4, 8] v", "T[N, 4, 8] y")


SHARED = ("T[N, 4, 3, 4] q, T[N, 2, 5, 4] k, T[N, 2, 5, 3] v", "T[N, 4, 3, 3] y")
SHARED_FLAT = ("T[N, 3, 16] q, T[N, 5, 8] k, T[N, 5, 6] v", "T[N, 3, 12] y")


def _row(label, operands, attributes=""):
    return Row(
        "Attention",
        label,
        text=f"""<ir_version: 10, opset_import: ["" : 23]>
            attend ({operands[0]}) => ({operands[1]}) {{ y = Attention{attributes}(q, k, v) }}""",
        tolerance=1e-7,  # of the central differences through the softmax
    )


ROWS = [
    _row("four axes", Q),
    _row("scale", Q, "<scale = 0.3>"),
    _row("three axes", FLAT, "<q_num_heads = 2, kv_num_heads = 2>"),
    _row("causal", SELF, "<q_num_heads = 2, kv_num_heads = 2, is_causal = 1>"),
    _row("keys shared", SHARED),
    _row("keys shared, three axes", SHARED_FLAT, "<q_num_heads = 4, kv_num_heads = 2>"),
    _row("softcap", Q, "<softcap = 0.7>"),
]
