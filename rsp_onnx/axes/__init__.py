"""Which axis of a tensor is what, and where its entries lie in the input: followed through the graph, never guessed.

Public: channel_axis, grid_of, input_channels, moved_axes.
"""
