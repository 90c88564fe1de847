"""Equal models that are easier to walk: canonized, then all that is fused, recurrent or branching written out.

Public: attend, canonize, expand, expanded_ops, expands, needs_expansion, pool, refuse_unexpanded, scores_positions,
why_unexpanded, Writing.
"""
