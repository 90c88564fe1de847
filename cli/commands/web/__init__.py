"""The commands that give the page.

Public: page, serve.
"""
