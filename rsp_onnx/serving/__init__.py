"""Running compiled explainers: which form of a model's runs, and what is only computed when it is asked for.

Public: Account, Form, form_of, FormKey, Found, Loss, losses, Run, Serving.
"""
