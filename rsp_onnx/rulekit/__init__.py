"""All a rule may import: the tables, the context, tensors as floats, numerics, linear layers."""

from .affine import affine_behind, affine_behind_integers, batch_norm, constant_bias, folded_bias, scaled_weight
from .context import Context, Options
from .float_views import Views
from .linear import (
    Convolution,
    Dense,
    LinearLayer,
    Window,
    adjoint_convolve,
    convolution,
    convolve,
    crop,
    dense,
    window,
)
from .numerics import (
    EPSILON,
    add_all,
    broadcast_axes,
    cut,
    pad,
    per_sample,
    safe_divide,
    scatter_along,
    stack_signs,
    swap,
    unbroadcast,
    uniform_shift,
)
from .registry import (
    Parts,
    Rule,
    find_frozen,
    find_linear,
    find_rule,
    find_vjp,
    frozen,
    linear,
    moves,
    no_flow,
    no_rule,
    node_report,
    refused,
    registered,
    reports,
    rule,
    says,
    statistics,
    stops,
    vjp,
    why_lost,
    why_not,
)

__all__ = [
    "EPSILON", "Context", "Convolution", "Dense", "LinearLayer", "Options", "Parts", "Rule", "Views", "Window",
    "add_all", "adjoint_convolve", "affine_behind", "affine_behind_integers", "batch_norm", "broadcast_axes",
    "constant_bias", "convolution", "convolve", "crop", "cut", "dense", "find_frozen", "find_linear", "find_rule",
    "find_vjp", "folded_bias", "frozen", "linear", "moves", "no_flow", "no_rule", "node_report", "pad",
    "per_sample", "refused", "registered", "reports", "rule", "safe_divide", "says", "scaled_weight",
    "scatter_along", "stack_signs", "statistics", "stops", "swap", "unbroadcast", "uniform_shift", "vjp",
    "why_lost", "why_not", "window",
]  # fmt: skip
