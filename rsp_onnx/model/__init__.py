"""The deployed file as a checked model in memory, and running it.

Public: blaming, collect_activations, custom_op_libraries, free_axes, is_large, LEVELS, load_model, Model,
ModelSource, register_custom_ops, resolve_device, Session, trial_sizes.
"""
