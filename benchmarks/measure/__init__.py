"""What explanations cost beside the model's own forward pass, measured: ``python -m benchmarks.measure``."""
