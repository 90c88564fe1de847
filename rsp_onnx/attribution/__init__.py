"""The methods, one module per family, each a tuple of ``Method``.

Public: find_method, load_method, MethodFacts, methods.
"""
