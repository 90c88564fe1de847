"""How a model's scores are read: which output, where its logits are, what its axes mean, one score per class of it.

Public: as_numbers, choose_output, exposed, needs_no_numbers, POOLED, predicted, read_scores, sample_axis,
ScoreOptions, ScoreReading, to_scores, with_output.
"""
