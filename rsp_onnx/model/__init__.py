"""The deployed file as a checked model in memory, and running it.

Public: blaming, collect_activations, count_nodes, custom_op_libraries, free_axes, HAND_OVER, is_large, LEVELS,
library_digests, load_model, Model, ModelSource, probe, Ready, register_custom_ops, resolve_device, save_plain, Session,
trial_sizes.
"""
