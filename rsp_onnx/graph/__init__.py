"""What a canonized model answers, and how nodes are written into it: DAG, shapes, the facts of every op, emitter.

Public: activation_bytes, answer, Asking, attribute, attributes, captured_by, carries, close, Data, Dims, dims, Emitter,
facts_of, facts_of_op, fix_shapes, fold_node, Graph, holds_layer, input_at, is_layer, is_nonnegative, is_nonpositive,
is_zero, Known, Layout, leads_with_batch, load_all_rules, load_rules, mark_tokens, MICROSOFT, named, op_facts, op_name,
output_shapes, plain_op, PREFIX, replace_inside, Role, Sign, subgraphs, UNKNOWN_OP.
"""
