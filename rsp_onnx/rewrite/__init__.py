"""Equal models that are easier to walk: canonized, then all that is fused, recurrent or branching written out.

Public: canonize, expand, expanded_ops, needs_expansion, refuse_unexpanded, why_unexpanded.
"""
