"""The local server behind the page: guards, addresses, models, images, explainers, and the work in threads.

Public: make_app, serve.
"""
