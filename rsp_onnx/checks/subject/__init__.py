"""A model with SPEC's images explained once, beside what was recorded of them.

Public: changes_of, coarse, DECIMALS, Golden, Goldens, keep_scores, last_layer_randomised, little_changes, lost_share,
pack, Packed, photo_digest, pointing_rates, read_goldens, save_goldens, Shot, SIMILARITIES, similarities, Subject,
THREADS.
"""
