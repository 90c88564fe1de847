"""Architectures of timm in their smallest sizes: who makes it, the constructor's arguments, the image's side."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

ONES = (1, 1, 1, 1)
WIDTHS = (16, 24, 32, 48)
STAGES = {"depths": ONES, "dims": WIDTHS}
EMBEDS = {"depths": ONES, "embed_dims": WIDTHS}
RES = {"layers": ONES, "channels": WIDTHS, "stem_width": 16}
BOTTLENECK = {**RES, "base_width": 32}
V2 = {"layers": (1, 1, 1), "channels": (32, 48, 64), "stem_chs": 16}
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
MIXER = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "num_blocks": 2}
SWIN = {"img_size": 64, "window_size": 4, "embed_dim": 16, "depths": (2, 2), "num_heads": (2, 4)}
WINDOWS = {"img_size": 64, "embed_dim": 16, "depths": (1, 1), "num_heads": (2, 2)}
HEADS = {**EMBEDS, "embed_dims": (16, 32, 32, 64), "num_heads": (1, 2, 2, 4)}
DPN = {"k_r": 32, "groups": 8, "k_sec": ONES, "num_init_features": 8, "inc_sec": (8, 8, 8, 8)}
VOLO = {"img_size": 64, "embed_dims": (16, 32, 32, 32), "layers": ONES, "num_heads": (2, 2, 2, 2)}
CROSS = {
    "img_size": 48, "img_scale": (1.0, 2 / 3), "patch_size": (12, 8), "embed_dim": (16, 32), "depth": ((1, 2, 0),),
    "num_heads": (2, 2), "mlp_ratio": (2, 2, 1),
}  # fmt: skip
CAFORMER = {
    "depths": ONES, "dims": (16, 24, 32, 64), "token_mixers": ("@SepConv",) * 2 + ("@Attention",) * 2,
    "norm_layers": ("@LayerNorm2dNoBias",) * 2 + ("@LayerNormNoBias",) * 2,
}  # fmt: skip
RESMLP = {**MIXER, "block_layer": "@ResBlock", "norm_layer": "@Affine", "mlp_ratio": 4}
GMLP = {**MIXER, "block_layer": "@SpatialGatingBlock", "mlp_layer": "@GatedMlp", "mlp_ratio": 4}
NEST = {"img_size": 32, "embed_dims": (16, 24, 32), "num_heads": (1, 2, 2), "depths": (1, 1, 1)}
RDNET = {
    "growth_rates": (8, 8, 8), "num_blocks_list": (1, 1, 1), "block_type": ("Block", "Block", "BlockESE"),
    "is_downsample_block": (None, True, True), "num_init_features": 16,
}  # fmt: skip

# name: (timm's function, or module:Class of timm.models; arguments, "@Name" being of that module; image side)
MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "resnet": ("resnet18", RES, 64),
    "resnet_d": ("resnet26d", BOTTLENECK, 64),
    "resnet_aa": ("resnetaa50d", BOTTLENECK, 64),
    "resnet_blur": ("resnetblur18", RES, 64),
    "resnext": ("resnext50_32x4d", {**RES, "cardinality": 8, "base_width": 8}, 64),
    "wide_resnet": ("wide_resnet50_2", {**RES, "base_width": 64}, 64),
    "seresnet": ("seresnet18", RES, 64),
    "ecaresnet": ("ecaresnet50d", BOTTLENECK, 64),
    "byobnet": ("test_byobnet", {}, 64),
    "resnetv2": ("resnetv2_50", V2, 64),
    "resnetv2_groupnorm": ("resnetv2:ResNetV2", {**V2, "channels": (128, 128, 128), "stem_chs": 32}, 64),
    "resnest": ("resnest14d", {**RES, "base_width": 64}, 64),
    "sknet": ("skresnet18", RES, 64),
    "res2net": ("res2net50_26w_4s", {**RES, "base_width": 26}, 64),
    "densenet": ("densenet121", {"growth_rate": 8, "block_config": (2, 2, 2)}, 64),
    "densenet_blur": ("densenetblur121d", {"growth_rate": 8, "block_config": (2, 2)}, 64),
    "dpn": ("dpn48b", DPN, 64),
    "dla": ("dla46_c", {"levels": (1, 1, 1, 1, 1, 1), "channels": (8, 8, 16, 16, 32, 32)}, 64),
    "rdnet": ("rdnet_tiny", RDNET, 64),
    "lcnet": ("lcnet_035", {}, 64),
    "tinynet": ("tinynet_e", {}, 64),
    "rexnet": ("rexnetr_100", {"width_mult": 0.3}, 64),
    "nfnet": ("test_nfnet", {}, 64),
    "efficientnet_groupnorm": ("test_efficientnet_gn", {}, 64),
    "efficientnet_layernorm": ("test_efficientnet_ln", {}, 64),
    "efficientnet_evonorm": ("test_efficientnet_evos", {}, 64),
    "mobilenetv4": ("mobilenetv4_conv_small_035", {}, 64),
    "convnext": ("convnext_tiny", STAGES, 64),
    "convnextv2_grn": ("convnextv2_atto", STAGES, 64),
    "inception_next": ("inception_next_atto", STAGES, 64),
    "mambaout": ("test_mambaout", {}, 64),
    "repghost": ("repghostnet_050", {}, 64),
    "starnet": ("starnet_s1", {"base_dim": 8, "depths": ONES}, 64),
    "shvit": ("shvit_s1", {"embed_dim": (16, 24, 32), "partial_dim": (8, 8, 8), "depth": (1, 1, 1)}, 64),
    "fasternet": ("fasternet_t0", {"embed_dim": 16, "depths": ONES}, 64),
    "repvit": ("repvit_m0_9", {"embed_dim": WIDTHS, "depth": ONES}, 64),
    "vit": ("vit_tiny_patch16_224", VIT, 32),
    "vit_mean": ("vit_tiny_patch16_224", {**VIT, "global_pool": "avg", "class_token": False}, 32),
    "vit_registers": ("vit_tiny_patch16_224", {**VIT, "reg_tokens": 4, "init_values": 0.3}, 32),
    "vit_map": ("vit_tiny_patch16_224", {**VIT, "global_pool": "map", "class_token": False}, 32),
    "vit_quickgelu": ("vit_base_patch16_clip_quickgelu_224", VIT, 32),
    "vit_relpos": ("test_vit_relpos", {"img_size": 64}, 64),
    "eva02_rope": ("eva02_tiny_patch14_224", VIT, 32),
    "deit_distilled": ("deit_tiny_distilled_patch16_224", VIT, 32),
    "deit3": ("deit3_small_patch16_224", VIT, 32),
    "beit": ("beit_base_patch16_224", VIT, 32),
    "cait": ("cait_xxs24_224", VIT, 32),
    "tnt": ("tnt_s_patch16_224", {**VIT, "inner_dim": 8, "num_heads": None, "num_heads_outer": 2}, 32),
    "xcit": ("xcit_nano_12_p16_224", {**VIT, "patch_size": 16}, 64),
    "convit": ("convit_tiny", {**VIT, "embed_dim": 16, "local_up_to_layer": 1}, 32),
    "coat": ("coat_lite_tiny", {"img_size": 64, "embed_dims": (16, 16, 16, 16), "serial_depths": ONES}, 64),
    "crossvit": ("crossvit_tiny_240", CROSS, 48),
    "pit": ("pit_ti_224", {"img_size": 64, "base_dims": (16, 16, 16), "depth": (1, 1, 1), "heads": (1, 2, 2)}, 64),
    "levit": ("levit_128s", {"img_size": 64, "embed_dim": (32, 48, 64), "key_dim": 8, "depth": (1, 1, 1)}, 64),
    "swin": ("swin_tiny_patch4_window7_224", SWIN, 64),
    "swinv2": ("swinv2_tiny_window8_256", SWIN, 64),
    "swinv2_cr": ("swinv2_cr_tiny_224", SWIN, 64),
    "pvt_v2": ("pvt_v2_b0", HEADS, 64),
    "twins_pcpvt": ("twins_pcpvt_small", {**HEADS, "img_size": 64}, 64),
    "twins_svt": ("twins_svt_small", {**HEADS, "img_size": 64, "depths": (1, 1, 1, 2)}, 64),
    "nest": ("nest:Nest", NEST, 32),
    "maxvit": ("test_maxvit", {"img_size": 64}, 64),
    "coatnet": ("test_coatnet", {"img_size": 64}, 64),
    "mobilevit": ("mobilevit_xxs", {}, 64),
    "mobilevitv2": ("mobilevitv2_050", {}, 64),
    "edgenext": ("edgenext_xx_small", {**STAGES, "depths": (1, 1, 2, 1)}, 64),
    "efficientformer": ("efficientformer_l1", {"embed_dims": WIDTHS, "depths": (1, 1, 1, 2)}, 224),
    "efficientformerv2": ("efficientformerv2_s0", {**EMBEDS, "img_size": 64, "depths": (1, 1, 2, 2)}, 64),
    "efficientvit": ("efficientvit_m0", {"img_size": 64, "embed_dim": (16, 32, 48), "num_heads": (2, 2, 2)}, 64),
    "poolformer": ("metaformer:MetaFormer", {**STAGES, "norm_layers": "@GroupNorm1", "use_mlp_head": False}, 64),
    "caformer": ("metaformer:MetaFormer", CAFORMER, 64),
    "davit": ("davit_tiny", {"embed_dims": (16, 24), "depths": (1, 1), "num_heads": (2, 2), "window_size": 4}, 64),
    "focalnet": ("focalnet:FocalNet", {"embed_dim": 16, "depths": (1, 1)}, 64),
    "gcvit": ("gcvit:GlobalContextVit", {**WINDOWS, "window_size": (4, 4), "window_ratio": None}, 64),
    "hiera": ("hiera_tiny_224", {"img_size": 64, "embed_dim": 16, "stages": ONES}, 64),
    "tiny_vit": ("tiny_vit_5m_224", HEADS, 64),
    "visformer": ("visformer_tiny", {"img_size": 64, "embed_dim": 32, "depth": (1, 1, 1), "num_heads": 2}, 64),
    "volo": ("volo:VOLO", VOLO, 64),
    "sequencer": ("sequencer:Sequencer2d", {"layers": ONES, "embed_dims": WIDTHS, "hidden_sizes": (8, 8, 8, 8)}, 56),
    "mixer": ("mlp_mixer:MlpMixer", MIXER, 32),
    "gmlp": ("mlp_mixer:MlpMixer", GMLP, 32),
    "gmixer": ("mlp_mixer:MlpMixer", {**MIXER, "mlp_layer": "@GluMlp", "act_layer": nn.SiLU}, 32),
    "resmlp": ("mlp_mixer:MlpMixer", RESMLP, 32),
    "convmixer": ("convmixer:ConvMixer", {"dim": 32, "depth": 2, "kernel_size": 5, "patch_size": 4}, 32),
}  # fmt: skip

# EfficientNet's own language of blocks spells a whole family: type, repeats, kernel, stride, expansion, channels.
BLOCKS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "mobilenetv1": (("dsa_r1_k3_s1_c16", "dsa_r1_k3_s2_c24", "dsa_r2_k3_s2_c32"), {"act_layer": nn.ReLU6}),
    "mobilenetv2": (("ds_r1_k3_s1_c8", "ir_r2_k3_s2_e4_c16", "ir_r2_k3_s2_e4_c24"), {"act_layer": nn.ReLU6}),
    "mobilenetv3": (
        ("ds_r1_k3_s1_c8_nre", "ir_r2_k3_s2_e3_c16_se0.25_nre", "ir_r2_k5_s2_e4_c24_se0.25"),
        {"act_layer": nn.Hardswish},
    ),
    "mnasnet": (("ds_r1_k3_s1_c8", "ir_r2_k3_s2_e3_c16", "ir_r2_k5_s2_e3_c24_se0.25"), {}),
    "efficientnet": (
        ("ds_r1_k3_s1_e1_c8_se0.25", "ir_r2_k3_s2_e4_c16_se0.25", "ir_r2_k5_s2_e4_c24_se0.25"),
        {"act_layer": nn.SiLU},
    ),
    "efficientnetv2": (
        ("cn_r1_k3_s1_e1_c8_skip", "er_r2_k3_s2_e4_c16", "ir_r2_k3_s2_e4_c24_se0.25"),
        {"act_layer": nn.SiLU},
    ),
    "efficientnet_tf_same": (("ds_r1_k3_s1_c8", "ir_r2_k3_s2_e4_c16"), {"act_layer": nn.SiLU, "pad_type": "same"}),
    "mixnet": (("ds_r1_k3_s1_c8", "ir_r1_k3.5.7_a1.1_p1.1_s2_e3_c24_se0.5_nsw"), {}),
    "ghostlike_condconv": (("ds_r1_k3_s1_c8", "ir_r2_k3_s2_e4_c16_cc2"), {}),
}


def make(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Build one architecture with ten classes and an image for it."""
    import timm

    if name in BLOCKS:
        return _of_blocks(*BLOCKS[name]), (torch.randn(1, 3, 64, 64),)
    maker, arguments, side = MODELS[name]
    kept = {key: value for key, value in arguments.items() if value is not None}
    if ":" not in maker:
        return timm.create_model(maker, num_classes=10, **kept), (torch.randn(1, 3, side, side),)
    place, kind = maker.split(":")
    module = importlib.import_module(f"timm.models.{place}")
    kept = {key: _named(module, value) for key, value in kept.items()}
    return getattr(module, kind)(num_classes=10, **kept), (torch.randn(1, 3, side, side),)


def _named(module: Any, value: Any) -> Any:
    if isinstance(value, str) and value.startswith("@"):
        return getattr(module, value[1:])
    return tuple(_named(module, v) for v in value) if isinstance(value, tuple) else value


def _of_blocks(stages: tuple[str, ...], arguments: dict[str, Any]) -> nn.Module:
    from timm.models import _efficientnet_builder as builder
    from timm.models.efficientnet import EfficientNet

    blocks = builder.decode_arch_def([[stage] for stage in stages])
    widths = partial(builder.round_channels, divisor=4)
    return EfficientNet(blocks, num_classes=10, stem_size=8, num_features=48, round_chs_fn=widths, **arguments)
