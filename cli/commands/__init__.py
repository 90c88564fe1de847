"""The commands of the command line, which call the library and print what it returns.

Public: activations, audit, check_command, compare, compile_command, evaluate, explain, inspect, report.
"""
