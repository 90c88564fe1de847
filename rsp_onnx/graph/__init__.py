"""What a canonized model answers, and how nodes are written into it: DAG, shapes, the facts of every op, emitter.

Public: activation_bytes, attribute, attributes, carries, channel_axis, Data, Dims, Emitter, facts_of, facts_of_op,
fix_shapes, fold_node, Graph, input_at, is_layer, is_nonnegative, is_nonpositive, Known, Layout, leads_with_batch,
load_all_rules, load_rules, mark_tokens, MICROSOFT, NO_CHANNELS, op_facts, op_name, plain_op, PREFIX, Role, Sign,
subgraphs, UNKNOWN_OP.
"""
