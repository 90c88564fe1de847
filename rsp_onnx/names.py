"""Names that those who write a compiled explainer and those who read its results agree on."""

from __future__ import annotations

ANSWERS = "answer_range"  # the output that says what a black box was answered
