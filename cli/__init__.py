"""The command line: the group of commands, the options they share, and how they print.

Public: device_option, main, no_cache_option, print_json, progress_bar, running_bar, table.
"""
