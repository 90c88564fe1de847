"""The page as a folder in which the browser computes: compiled explainers beside what Node built.

Public: write_page.
"""
