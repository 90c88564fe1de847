"""One report in six forms: text, JSON, JUnit, Markdown, SARIF, HTML.

Public: json_report, recording_text, text_report, write_reports.
"""
