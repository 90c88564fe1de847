"""The paper's evaluation: datasets, metrics, the runner and its report."""
