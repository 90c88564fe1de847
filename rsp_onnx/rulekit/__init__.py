"""All a rule may import: the tables, the context, tensors as floats, numerics, linear layers.

Public: add_all, adjoint_convolve, affine_behind, affine_behind_integers, apply_rule, apply_vjp, batch_norm, bias_for,
broadcast_axes, constant_bias, Context, convolution, Convolution, convolve, cut, dense, Dense, divide_sum, EPSILON,
find_frozen, find_rule, find_totals, find_vjp, folded_bias, form_of_conv_rule, forms_of_conv_rule, frozen, is_source,
largest, linear, linear_layer, LinearLayer, moves, no_flow, no_rule, node_report, Options, pad, Parts, per_sample,
refused, registered, reports, Rule, rule, safe_divide, says, scaled_weight, scatter_along, sign_of_rows, sign_pairs,
signs, stack_signs, statistics, stops, swap, totals, trains, try_once, unbroadcast, uniform_shift, Views, vjp,
why_lost, why_not, window, Window.
"""
