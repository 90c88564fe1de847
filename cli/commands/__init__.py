"""The commands of the command line, which call the library and print what it returns.

Public: activations, audit, cache, check_command, compare, compile_command, evaluate, explain, inspect, methods_command,
metrics_command, ops_command, report.
"""
