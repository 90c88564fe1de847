"""What a graph costs, told without running it: multiply-adds, bytes moved, the memory of its tensors, time by kind.

Public: before_running, cost_of, sizes_given.
"""
