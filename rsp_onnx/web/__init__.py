"""The page: the server behind it, the folder in which it needs none, and what both must know of a model.

Public: Arrays, BUILT, frame, index_html, layers_of, media_type, method_facts, model_facts,
MOST_SAMPLES, sample_photos, tensors_reached, trial_item.
"""
