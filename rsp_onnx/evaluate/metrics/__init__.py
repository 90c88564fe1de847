"""The metrics: what is measured of a map or a model, and how rows become figures with intervals.

Public: Case, Figure, find_metric, list_metrics, Metric, ModelMetric, on_photo, peak, randomised, seen, share, Truth,
weight_layers, within.
"""
