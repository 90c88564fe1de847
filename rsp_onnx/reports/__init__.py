"""What the HTML reports share: the page around them, tables and galleries, two maps on one scale.

Public: comparison_of, MapComparison, report_page.
"""
