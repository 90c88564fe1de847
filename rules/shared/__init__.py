"""What several rules ask: who is a gate, what is the image, where entries come from, what form a layer takes.

Public: add_at, CANCELLED, choose, CONSTANT_PART, image_source, is_attention, is_deviation, is_gate, is_statistic,
nonnegative, numbered, OUTSIDE, propagate_conv, propagate_rows, purge, report, SET_TO_ZERO, take_at, unfold, UNSEEN,
without_weights, z_bounded, z_bounded_dense, z_rule.
"""
