"""A run of methods and metrics over a dataset: its settings, its parts, its folder, its summary.

Public: ARROWS, behind, best, check_settings, class_count, is_rsp, MethodChoice, number, overall, PART, parts_of, Plan,
read_columns, read_json, Run, run_model_metrics, save_summary, Settings, Store, summarise, summary_of, summary_table,
Worker.
"""
