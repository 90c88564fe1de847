"""How a model's scores are read: which output, where its logits are, what its axes mean, one score per class of it.

Public: choose_output, exposed, POOLED, read_scores, sample_axis, ScoreOptions, ScoreReading, to_scores, with_output.
"""
