"""The deployed file as a checked model in memory, and running it.

Public: blaming, collect_activations, count_nodes, custom_op_libraries, free_axes, HAND_OVER, is_large, LEVELS,
library_digests, load_model, meanwhile, Model, ModelSource, named_data_files, Ready, register_custom_ops, save_plain,
Session, trial_sizes.
"""
