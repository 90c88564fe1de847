"""Equal models that are easier to walk: canonized, then all that is fused, recurrent or branching written out.

Public: attend, canonize, expand, expanded_ops, expands, needs_expansion, refuse_unexpanded, why_unexpanded, Writing.
"""
