"""Two models on the same images: whose predictions flip, and whose explanations move.

Public: compare_models, comparison_lines, thumbnail_size.
"""
