"""Fewer nodes that compute the same numbers: of what was emitted, never of the deployed model's own.

Public: simplify.
"""
