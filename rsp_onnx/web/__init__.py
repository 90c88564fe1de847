"""The page: the server behind it, and what it must know of a model.

Public: model_facts.
"""
