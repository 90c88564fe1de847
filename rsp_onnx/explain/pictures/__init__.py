"""What is shown of an explanation: its heading, names of tokens and columns, notebooks' views, contact sheets.

Public: ColumnSource, ContactSheets, Explanations, Names, STEM, TokenSource, heading, html_of, known_method, named,
read_names, subject_of, undrawn.
"""
