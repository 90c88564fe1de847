"""Ops that no relevance and no gradient can pass, each with its reason, so that none is unknown."""

from __future__ import annotations

from rsp_onnx.graph.op_facts import MICROSOFT, Data, Role, Sign, op_facts
from rsp_onnx.rulekit.registry import no_flow, no_rule

ML, TRAINING = "ai.onnx.ml::", "ai.onnx.preview.training::"

op_facts("RandomNormal", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli",
         role=Role.OTHER, data=Data.COMPUTES, sign=Sign.ANY, random=True)  # fmt: skip
no_flow("Constant", "RandomNormal", "RandomUniform", reason="it depends on no input")
no_flow("RandomUniformLike", "BlackmanWindow", "HannWindow", "HammingWindow",
        reason="the result depends on the shape alone")  # fmt: skip
no_flow("MelWeightMatrix", reason="a table of the settings of a transform")
no_flow("Hardmax", reason="piecewise constant")
no_flow("BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", reason="bits of integers have no gradient")
no_flow("BitCast", reason="its bits are read as another type, whose numbers have no gradient")
no_flow("NonMaxSuppression", "Multinomial", f"{MICROSOFT}MurmurHash3", reason="indices have no gradient")
no_flow(f"{MICROSOFT}Unique", reason="the different values are a set, of no length known before run time")
no_flow("OptionalHasElement", "RegexFullMatch", f"{MICROSOFT}IsAllFinite", reason="truth values have no gradient")
no_flow("StringConcat", "StringNormalizer", "StringSplit", f"{MICROSOFT}Tokenizer", reason="strings have no gradient")
no_flow(ML + "CategoryMapper", reason="its output is a category")

no_rule("Bernoulli", reason="what it puts out is drawn at random, so that no explanation could be repeated")
no_rule("Det", f"{MICROSOFT}Inverse", reason="a determinant or an inverse matrix is no layer")
no_rule("ImageDecoder", reason="it decodes a compressed file, whose bytes are no pixels")
no_rule("MaxRoiPool", f"{MICROSOFT}CropAndResize",
        reason="it rounds or clips the regions it reads; RoiAlign is supported")  # fmt: skip
no_rule("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss",
        reason="a loss compares scores with a label; name the scores before it as the output")  # fmt: skip
no_rule("TfIdfVectorizer", f"{MICROSOFT}NGramRepeatBlock", reason="a count of n-grams is a step function of its words")
no_rule("CausalConvWithState", "LinearAttention", "SwiGLU", f"{MICROSOFT}CausalConvWithState",
        f"{MICROSOFT}LinearAttention",
        reason="an op newer than the rules; written out in older ops it is supported")  # fmt: skip
no_rule(ML + "CastMap", ML + "DictVectorizer", reason="it reads a dictionary, which is no tensor")
no_rule(TRAINING + "Adagrad", TRAINING + "Adam", TRAINING + "Gradient", TRAINING + "Momentum",
        reason="it belongs to training; export the model in inference mode")  # fmt: skip

no_flow(f"{MICROSOFT}Range", reason="the result depends on the shape alone")
no_flow(f"{MICROSOFT}DynamicTimeWarping", f"{MICROSOFT}BifurcationDetector", f"{MICROSOFT}NGramHashMapping",
        f"{MICROSOFT}VarlenNGramHashMapping", reason="indices have no gradient")  # fmt: skip

_GPU = "ONNX Runtime writes it for graphics cards alone; optimised for the CPU the model is supported"
_TEXTS = "it is made for the generation of texts, with keys and values of earlier runs"
_NEWER = "a layer newer than the rules; written out in standard ops it is supported"
_PACKED = "numbers packed in a format of its own; exported with float weights it is supported"
_CLOSED = "a part of the model that was compiled for other hardware, into which nobody can look"
_REASONS = {
    _GPU: (
        "BiasAdd", "BiasDropout", "BiasSoftmax", "BiasSplitGelu", "BitmaskBiasDropout", "BitmaskDropout", "ComplexMul",
        "ComplexMulConj", "FusedMatMulActivation", "GatedRelativePositionBias", "GemmFastGelu", "GemmFloat8",
        "GroupNorm", "Irfft", "NhwcConv", "NhwcFusedConv", "PackedAttention", "PackedMultiHeadAttention",
        "QOrderedAttention", "QOrderedGelu", "QOrderedLayerNormalization", "QOrderedLongformerAttention",
        "QOrderedMatMul", "DequantizeWithOrder", "QuantizeWithOrder", "RelativePositionBias", "RemovePadding",
        "RestorePadding", "Rfft", "SkipGroupNorm",
    ),
    _TEXTS: (
        "BeamSearch", "DecoderAttention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention",
        "DynamicSparseAttention", "GreedySearch", "GroupQueryAttention", "PackedSparseAttentionIndexer",
        "PagedAttention", "Sampling", "SparseAttention", "SparseAttentionIndexer", "SparsePagedAttention",
        "VarlenCausalConvWithState", "WhisperBeamSearch",
    ),
    _NEWER: (
        "BranchwiseRMSNorm", "EngramGate", "GatedAdd", "GatedDeltaNet", "GatedRMSNorm", "GemmaRotaryEmbedding",
        "HyperConnectionPostMix", "HyperConnectionPreMix", "LinearAttentionGate", "MRotaryEmbedding", "ScaledSiLU",
    ),
    _PACKED: (
        "DequantizeBFP", "GatherBlockQuantized", "MatMulBlockQuantizedFp4Weight", "MatMulBlockQuantizedFp8Weight",
        "MatMulBnb4", "MatMulFpQ4", "MatMulInteger16", "MatMulNBitsMlp", "MatMulNBitsQkv", "MulInteger",
        "QEmbedLayerNormalization", "QLinearReduceMean", "QuantizeBFP", "ReduceSumInteger",
    ),
    _CLOSED: ("EPContext", "Snpe"),
    "attention in windows of its own; written out in standard ops it is supported": ("LongformerAttention",),
    "which expert is asked is a choice; written out in standard ops it is supported": ("MoE", "QMoE"),
    "a mask or padding known at run time alone": ("ConvTransposeWithDynamicPads", "MaxpoolWithMask"),
    "a layer of a few old models; written out in standard ops it is supported": (
        "AttnLSTM", "SampleOp", "SparseToDenseMatMul", "TorchEmbedding", "UnfoldTensor", "WordConvEmbedding",
    ),
}  # fmt: skip
for reason, names in _REASONS.items():
    no_rule(*(MICROSOFT + name for name in names), reason=reason)
