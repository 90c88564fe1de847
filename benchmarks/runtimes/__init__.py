"""Compiled files in other runtimes, beside ONNX Runtime on the CPU."""
