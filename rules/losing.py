"""Which rules do not always keep the sum of relevance, and when: what the ledger says of a node that lost some."""

from __future__ import annotations

from rsp_onnx.rulekit.registry import loses

MS = "com.microsoft::"
_UNSEEN = (
    "where a receptive field (or row) holds nothing positive, its relevance has nowhere to go; "
    "signed_inputs='abs' reads the negative too"
)

loses(
    "Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul",
    "ai.onnx.ml::LinearClassifier", f"{MS}FusedConv", f"{MS}FusedGemm", f"{MS}FusedMatMul", f"{MS}QGemm",
    f"{MS}MatMulIntegerToFloat", f"{MS}DynamicQuantizeMatMul", f"{MS}ConvInteger", "DFT",
    reason=_UNSEEN,
)  # fmt: skip
loses(
    "Concat", "Pad", "CenterCropPad", "Where", "ScatterElements", "ScatterND", "TensorScatter", f"{MS}QLinearConcat",
    reason="what belongs to a constant part (a class token, padding, a mask) stays there",
)  # fmt: skip
loses("Trilu", "CumSum", "MaxUnpool", reason="what was set to zero, or is a sum of nothing, keeps its relevance")
loses("GridSample", "Resize", reason="what is read outside the image keeps its relevance")
loses("AffineGrid", reason="where an image is read says nothing of what is seen there")
loses(
    "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", f"{MS}QLinearAveragePool",
    f"{MS}QLinearGlobalAveragePool", "Attention",
    reason="a sum over both signs comes close to zero, and its share cannot be told from rounding",
)  # fmt: skip
