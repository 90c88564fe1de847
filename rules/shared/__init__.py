"""What several rules ask: who is a gate, what is the image, where entries come from, how windows lie over each other.

Public: add_at, CANCELLED, CONSTANT_PART, either, image_source, is_attention, is_deviation, is_gate, is_statistic,
nonnegative, numbered, OUTSIDE, overlay, purge, SET_TO_ZERO, take_at, UNSEEN, without_weights, z_bounded,
z_bounded_dense, z_rule.
"""
