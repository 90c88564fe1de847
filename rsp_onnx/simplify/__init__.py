"""The same said more simply: fewer nodes of what was emitted, an opset that more runtimes know.

Public: lower_opset, simplify.
"""
