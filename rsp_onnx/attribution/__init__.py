"""The methods, one module per family, each a tuple of ``Method``; the catalogue says what they are.

Public: find_method, load_method, MethodFacts, METHODS, methods.
"""
