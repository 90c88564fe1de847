"""Running compiled explainers: which variant of a model's runs, and what is only computed when it is asked for.

Public: Account, Found, Loss, losses, Run, Serving, Variant, variant_of, VariantKey.
"""
