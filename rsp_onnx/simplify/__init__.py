"""The same said more simply: fewer nodes of what was emitted, an opset that more runtimes know.

Public: keep_weights_apart, lower_opset, pad_in_convolutions, simplify.
"""
