"""The checks, a module per group, and what runs and records them.

Public: Check, check, CHECKS, Direction, Finding, NotApplicable, ordered, read_spec, record, Recording, register,
Report, Result, Status.
"""
