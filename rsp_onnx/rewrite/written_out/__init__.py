"""Ops written out in ops that have rules: each module registers its own when it is imported."""
