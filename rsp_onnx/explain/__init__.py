"""What users do with a model: explain, inspect, compile, save.

Public: compile_explainer, compile_ir, Compiled, explain_files, Explainer, Explanation, inspect_model, keeps_ledger,
needs_of, notes_on, runs_one_by_one, save_activations, save_explainer, summary_numbers, supported_ops.
"""
