"""The report of runs: report.html with tables, charts and pictures.

Public: save_pictures, write_report.
"""
