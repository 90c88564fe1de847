"""Architectures of Hugging Face transformers in their smallest configurations: images, sounds, videos and texts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LAYERS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
VIT = {**LAYERS, "image_size": 32, "patch_size": 8}
CLIP = {**VIT, "vision_config": VIT}
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}
STAGED = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1]}
EMBEDDED = {**STAGED, "embedding_size": 16}
MOBILE = {"hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 48], "num_attention_heads": 2}
MOBILE_V2 = {"image_size": 64, "width_multiplier": 0.5, "base_attn_unit_dims": [32, 48, 64]}
PVT = {"image_size": 64, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 2]}
MIT = {**PVT, "decoder_hidden_size": 16}
LEVIT = {"image_size": 64, "hidden_sizes": [16, 32, 48], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1],
         "key_dim": [8, 8, 8]}  # fmt: skip
HIERA = {"image_size": [64, 64], "embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4]}
EFFICIENTNET = {"image_size": 64, "width_coefficient": 0.3, "depth_coefficient": 0.3, "hidden_dim": 384}
SWIFT = {"depths": [1, 1, 1, 1], "embed_dims": [16, 24, 32, 48]}
VIDEO = {**VIT, "num_frames": 4, "tubelet_size": 2}
AST = {**LAYERS, "patch_size": 8, "frequency_stride": 8, "time_stride": 8, "max_length": 64, "num_mel_bins": 32}
WAVE = {**LAYERS, "conv_dim": [16, 16, 16], "conv_stride": [5, 4, 2], "conv_kernel": [10, 8, 4],
        "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 16,
        "num_feat_extract_layers": 3}  # fmt: skip
TEXT = {**LAYERS, "vocab_size": 99, "max_position_embeddings": 64, "pad_token_id": 0}
BERTS = {**TEXT, "embedding_size": 16}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "vocab_size": 99, "max_position_embeddings": 64}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 99, "n_positions": 64, "pad_token_id": 0}

# name: (class without "ForImageClassification", configuration, image side)
IMAGES: dict[str, tuple[str, dict[str, Any], int]] = {
    "vit": ("ViT", VIT, 32),
    "vit_msn": ("ViTMSN", VIT, 32),
    "deit": ("DeiT", VIT, 32),
    "beit": ("Beit", {**VIT, "use_relative_position_bias": True}, 32),
    "data2vec": ("Data2VecVision", {**VIT, "use_mean_pooling": True}, 32),
    "dinov2": ("Dinov2", {**VIT, "mlp_ratio": 2}, 32),
    "dinov2_registers_swiglu": ("Dinov2WithRegisters", {**VIT, "mlp_ratio": 2, "use_swiglu_ffn": True}, 32),
    "ijepa": ("IJepa", VIT, 32),
    "siglip": ("Siglip", CLIP, 32),
    "clip": ("CLIP", CLIP, 32),
    "swin": ("Swin", SWIN, 32),
    "swinv2": ("Swinv2", SWIN, 32),
    "donut_swin": ("DonutSwin", SWIN, 32),
    "pvt": ("Pvt", {**PVT, "sequence_reduction_ratios": [8, 4, 2, 1]}, 64),
    "pvt_v2": ("PvtV2", PVT, 64),
    "segformer": ("Segformer", MIT, 64),
    "levit": ("Levit", LEVIT, 64),
    "hiera": ("Hiera", HIERA, 64),
    "convnext": ("ConvNext", STAGED, 64),
    "convnextv2": ("ConvNextV2", STAGED, 64),
    "resnet": ("ResNet", EMBEDDED, 64),
    "regnet": ("RegNet", {**EMBEDDED, "groups_width": 8}, 64),
    "bit": ("Bit", {**EMBEDDED, "hidden_sizes": [32, 64, 64, 64], "num_groups": 8}, 64),
    "mobilenet_v1": ("MobileNetV1", {"depth_multiplier": 0.25, "min_depth": 8}, 64),
    "mobilenet_v2": ("MobileNetV2", {"depth_multiplier": 0.25, "image_size": 64}, 64),
    "mobilevit": ("MobileViT", {**MOBILE, "image_size": 64}, 64),
    "mobilevitv2": ("MobileViTV2", MOBILE_V2, 64),
    "poolformer": ("PoolFormer", {**STAGED, "num_encoder_blocks": 4}, 64),
    "focalnet": ("FocalNet", {"image_size": 64, "embed_dim": 16, "depths": [1, 1]}, 64),
    "efficientnet": ("EfficientNet", EFFICIENTNET, 64),
    "swiftformer": ("SwiftFormer", SWIFT, 64),
}  # fmt: skip

# name: (class, configuration, shape of the input)
OTHERS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "videomae": ("VideoMAEForVideoClassification", VIDEO, (1, 4, 3, 32, 32)),
    "vivit": ("VivitForVideoClassification", {**VIDEO, "tubelet_size": [2, 8, 8]}, (1, 4, 3, 32, 32)),
    "timesformer": ("TimesformerForVideoClassification", VIDEO, (1, 4, 3, 32, 32)),
    "ast": ("ASTForAudioClassification", AST, (1, 64, 32)),
    "wav2vec2": ("Wav2Vec2ForSequenceClassification", WAVE, (1, 1600)),
    "hubert": ("HubertForSequenceClassification", WAVE, (1, 1600)),
    "segformer_seg": ("SegformerForSemanticSegmentation", MIT, (1, 3, 64, 64)),
}

# name: (class without "ForSequenceClassification", configuration)
TEXTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", TEXT),
    "distilbert": ("DistilBert", DISTIL),
    "roberta": ("Roberta", TEXT),
    "albert": ("Albert", BERTS),
    "electra": ("Electra", BERTS),
    "mpnet": ("MPNet", TEXT),
    "fnet": ("FNet", TEXT),
    "gpt2": ("GPT2", GPT2),
}


class Logits(nn.Module):
    """A model of transformers that returns its logits alone and takes its tensors by position."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return the logits of the tensors, which are called as in ``names``."""
        return self.model(**dict(zip(self.names, tensors, strict=True))).logits


def make(name: str, attention: str = "sdpa") -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Build one architecture with ten labels and an input for it; text takes token ids and their mask."""
    if name in TEXTS:
        kind, arguments = TEXTS[name]
        ids = torch.randint(5, 90, (1, 12))
        names = ("input_ids", "attention_mask") if name != "fnet" else ("input_ids",)
        model = _model(f"{kind}ForSequenceClassification", arguments, attention)
        return Logits(model, names), (ids, torch.ones_like(ids))[: len(names)]
    if name in OTHERS:
        kind, arguments, shape = OTHERS[name]
    else:
        kind, arguments, side = IMAGES[name]
        kind, shape = f"{kind}ForImageClassification", (1, 3, side, side)
    wanted = "input_values" if len(shape) < 4 else "pixel_values"
    return Logits(_model(kind, arguments, attention), (wanted,)), (torch.randn(shape),)


def _model(kind: str, arguments: dict[str, Any], attention: str) -> nn.Module:
    import transformers

    maker = getattr(transformers, kind)
    try:
        return maker._from_config(maker.config_class(num_labels=10, **arguments), attn_implementation=attention)
    except ValueError:  # it has attention of its own, or none
        return maker(maker.config_class(num_labels=10, **arguments))
