"""Commands that tell of the tool itself: what it knows, what it keeps, what this machine can do.

Public: cache, methods_command, metrics_command, ops_command.
"""
