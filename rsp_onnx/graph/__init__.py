"""What a canonized model answers, and how nodes are written into it: DAG, shapes, the facts of every op, emitter.

Public: activation_bytes, attribute, attributes, BATCH, captured, carries, carries_ids, channel_axis, Data, dims,
Dims, Emitter, facts_of, facts_of_op, fix_shapes, fold_node, Graph, grid_of, input_at, input_channels, is_id_step,
is_layer, is_measured, is_nonnegative, is_nonpositive, Known, Layout, leads_with_batch, load_all_rules, load_rules,
mark_tokens, MICROSOFT, moved_axes, named, NO_CHANNELS, op_facts, op_name, plain_op, PREFIX, Role, Sign, subgraphs,
UNKNOWN_OP.
"""
