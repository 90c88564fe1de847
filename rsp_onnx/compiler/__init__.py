"""From an analysed model and a method to one graph: section, start, walk, ledger, outputs; knows no op and no method.

Public: add_evidence, add_ledger, add_outputs, analyse, Analysis, begin, check_method, check_names, check_rules,
checked, class_count, comparative_start, compile_repeated, describe, drop_unread_classes, emit_walk, evidence,
feature_nodes, find_section, Flow, give_own_forward, head_nodes, layout_of, Lookup, mean_to_section, Method, Needs,
Outcome, Plan, rounds, Section, seeds, target_seeds, to_section, token_axis, token_maps, walk.
"""
