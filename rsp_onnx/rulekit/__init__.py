"""All a rule may import: the tables, the context, tensors as floats, numerics, linear layers.

Public: add_all, adjoint_convolve, affine_behind, affine_behind_integers, apply_rule, apply_vjp, batch_norm,
broadcast_axes, constant_bias, Context, convolution, Convolution, convolve, crop, cut, Dense, dense, EPSILON,
find_frozen, find_rule, find_vjp, folded_bias, frozen, is_source, linear, linear_layer, LinearLayer, moves, no_flow,
no_rule, node_report, Options, pad, Parts, per_sample, refused, registered, reports, rule, Rule, safe_divide, says,
scaled_weight, scatter_along, stack_signs, statistics, stops, swap, trains, unbroadcast, uniform_shift, Views, vjp,
why_lost, why_not, window, Window.
"""
