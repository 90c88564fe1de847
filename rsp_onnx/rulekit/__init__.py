"""All a rule may import: the tables, the context, tensors as floats, numerics, linear layers.

Public: add_all, adjoint_convolve, affine_behind, affine_behind_integers, apply_rule, apply_vjp, batch_norm,
bias_below, bias_for, broadcast_axes, clamp, constant_bias, Context, Convolution, convolution, convolve, cut, dense,
Dense, divide_sum, EPSILON, find_frozen, find_rule, find_totals, find_vjp, folded_bias, form_of_conv_rule,
forms_of_conv_rule, frozen, gather, is_source, largest, linear, linear_layer, LinearLayer, moves, no_flow, no_rule,
node_report, Options, output_of, pad, part_of, Parts, per_channel, per_sample, positive_of, products, refused,
registered, reports, Rule, rule, safe_divide, says, scaled_weight, scatter_along, share_by, sides_of, sign_of_rows,
sign_pairs, signs, size_and_output, stack_signs, statistics, stops, swap, Terms, total, totals, trains, try_once,
unbroadcast, uniform_shift, Views, vjp, why_lost, why_not, window, Window.
"""
