"""The search for classes that are decided by something else than their object.

Public: audit, audit_lines.
"""
