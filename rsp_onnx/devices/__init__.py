"""Where explanations run: device words, the execution providers they mean, and whether those really compute.

Public: Device, in_full_precision, probe, PROVIDERS, resolve_device, Resolved, WORDS.
"""
