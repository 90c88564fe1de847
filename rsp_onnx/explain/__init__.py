"""What users do with a model: explain, inspect, compile, save.

Public: compile_explainer, explain_files, Explainer, Explanation, inspect_model, save_activations, save_explainer,
summary_numbers, supported_ops.
"""
