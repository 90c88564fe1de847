"""Names that those who write a compiled explainer and those who read its results agree on."""

from __future__ import annotations

UNREACHED = "rsp_onnx.unreached"  # in a compiled model's metadata: inputs no relevance reaches
ANSWERS = "answer_range"  # the output that says what a black box was answered
