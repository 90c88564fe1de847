"""What a canonized model answers, and how nodes are written into it: DAG, shapes, the facts of every op, emitter.

Public: activation_bytes, answer, Asking, attribute, attributes, BATCH, captured, captured_by, carries, carries_ids,
close, Data, Dims, dims, Emitter, facts_of, facts_of_op, fix_batch, fix_shapes, fold_node, Graph, holds_layer,
input_at, is_constant, is_folded, is_id_step, is_layer, is_measured, is_nonnegative, is_nonpositive, is_zero, Known,
Layout, leads_with_batch, load_all_rules, load_rules, mark_tokens, MICROSOFT, named, note_author, op_facts, op_name,
OpFacts, others_rules, output_shapes, plain_op, PREFIX, remove_unread, replace_inside, Role, Sign, STANDARD, subgraphs,
UNKNOWN_OP.
"""
