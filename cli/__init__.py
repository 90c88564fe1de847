"""The command line: the group of commands, the options they share, and how they print.

Public: main, print_json, progress_bar, running_bar, table.
"""
