"""A model's file before it is a model: read once and in order, its large weights straight into memory of their own.

Public: filled, read, serialised, Taken.
"""
