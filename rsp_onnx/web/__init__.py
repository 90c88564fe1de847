"""The page: the server behind it, and what it must know of a model.

Public: built_folder, channels_of, index_html, method_facts, model_facts, tensors_reached, trial_item.
"""
