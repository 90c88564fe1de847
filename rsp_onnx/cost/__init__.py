"""What a graph costs, told without running it: multiply-adds, bytes moved, the memory of its tensors, time by kind.

Public: Amounts, amounts, Cost, cost_of, Kind, sizes_of.
"""
