"""What is drawn of maps that lie on no photograph: lines, bars, words, planes with numbered axes, slices.

Public: Axes, MOST_LINES, evenly, ink, plane, series, shade, shown, slices, tokens.
"""
