"""What this machine can do, and what is in the way; says so too where ONNX Runtime cannot be imported.

Public: diagnose.
"""
