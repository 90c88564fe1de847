"""Architectures of torchvision in their smallest sizes, built from its own classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

MAKERS: dict[str, tuple[Callable[[Any], nn.Module], tuple[int, ...]]] = {}
IMAGE = (1, 3, 64, 64)


def architecture(shape: tuple[int, ...] = IMAGE) -> Callable[..., Callable[[Any], nn.Module]]:
    """Register a function that builds a network out of ``torchvision.models``."""

    def register(build: Callable[[Any], nn.Module]) -> Callable[[Any], nn.Module]:
        MAKERS[build.__name__] = (build, shape)
        return build

    return register


def make(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Build one architecture with ten classes and an input for it."""
    import torchvision

    build, shape = MAKERS[name]
    return build(torchvision.models), (torch.randn(shape),)


def _shortened(net: nn.Module, width: int) -> nn.Module:
    """Leave out of a residual network its two widest stages."""
    net.layer3, net.layer4, net.fc = nn.Identity(), nn.Identity(), nn.Linear(width, 10)
    return net


@architecture()
def resnet18(models: Any) -> nn.Module:
    """Build two stages of basic blocks."""
    return _shortened(models.resnet18(), 128)


@architecture()
def resnext(models: Any) -> nn.Module:
    """Build two stages of grouped bottlenecks."""
    resnet = models.resnet
    return _shortened(resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], groups=8, width_per_group=4), 512)


@architecture()
def vgg11_bn(models: Any) -> nn.Module:
    """Build VGG with BatchNormalization and its adaptive pooling before a dense head."""
    vgg = models.vgg
    net = vgg.VGG(vgg.make_layers([8, "M", 16, "M", 24, 24, "M"], batch_norm=True))
    net.avgpool = nn.AdaptiveAvgPool2d((2, 2))
    net.classifier = nn.Sequential(nn.Linear(24 * 4, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 10))
    return net


@architecture()
def squeezenet1_1(models: Any) -> nn.Module:
    """Build SqueezeNet 1.1 as published."""
    return models.squeezenet1_1(num_classes=10)


@architecture()
def densenet(models: Any) -> nn.Module:
    """Build three blocks of growth 8."""
    return models.DenseNet(8, (2, 2, 2), 16, num_classes=10)


@architecture()
def mobilenet_v2(models: Any) -> nn.Module:
    """Build MobileNetV2 at a tenth of its width."""
    return models.MobileNetV2(10, width_mult=0.1, round_nearest=4)


@architecture()
def mobilenet_v3(models: Any) -> nn.Module:
    """Build three inverted residuals with gates and HardSwish."""
    block = partial(models.mobilenetv3.InvertedResidualConfig, dilation=1, width_mult=1.0)
    stages = [
        block(16, 3, 16, 16, True, "RE", 2),
        block(16, 5, 48, 24, True, "HS", 2),
        block(24, 5, 72, 24, True, "HS", 1),
    ]
    return models.MobileNetV3(stages, 64, num_classes=10)


@architecture()
def mnasnet(models: Any) -> nn.Module:
    """Build MNASNet at a quarter of its width."""
    return models.MNASNet(0.25, num_classes=10)


@architecture()
def shufflenet_v2(models: Any) -> nn.Module:
    """Build ShuffleNetV2 with one strided and one plain unit per stage."""
    return models.ShuffleNetV2([2, 2, 2], [16, 16, 32, 48, 64], num_classes=10)


@architecture()
def efficientnet(models: Any) -> nn.Module:
    """Build EfficientNet out of three gated stages."""
    block = partial(models.efficientnet.MBConvConfig, width_mult=1.0, depth_mult=1.0)
    stages = [block(1, 3, 1, 16, 16, 1), block(4, 3, 2, 16, 24, 2), block(4, 5, 2, 24, 32, 1)]
    return models.EfficientNet(stages, 0.2, num_classes=10, last_channel=64)


@architecture()
def efficientnet_v2(models: Any) -> nn.Module:
    """Build EfficientNetV2: fused blocks first."""
    parts = models.efficientnet
    stages = [parts.FusedMBConvConfig(4, 3, 2, 16, 24, 2), parts.MBConvConfig(4, 3, 2, 24, 32, 1)]
    return models.EfficientNet(stages, 0.2, num_classes=10, last_channel=64)


@architecture()
def regnet_y(models: Any) -> nn.Module:
    """Build RegNetY of group width 8 with gates."""
    parameters = models.regnet.BlockParams.from_init_params(4, 16, 16.0, 2.0, 8, 0.25)
    return models.RegNet(parameters, 10, stem_width=16)


@architecture()
def convnext(models: Any) -> nn.Module:
    """Build three stages of one block each."""
    block = models.convnext.CNBlockConfig
    return models.ConvNeXt([block(16, 24, 1), block(24, 32, 1), block(32, None, 1)], num_classes=10)


@architecture((1, 3, 32, 32))
def vit(models: Any) -> nn.Module:
    """Build two encoder layers with a class token."""
    return models.VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=10)


@architecture((1, 3, 32, 32))
def swin(models: Any) -> nn.Module:
    """Build two stages with shifted windows of 4."""
    return models.SwinTransformer([2, 2], 16, [2, 2], [2, 4], [4, 4], num_classes=10)


@architecture((1, 3, 32, 32))
def swin_v2(models: Any) -> nn.Module:
    """Build cosine attention and logarithmic positions."""
    parts = models.swin_transformer
    kinds = {"block": parts.SwinTransformerBlockV2, "downsample_layer": parts.PatchMergingV2}
    return models.SwinTransformer([2, 2], 16, [2, 2], [2, 4], [4, 4], num_classes=10, **kinds)


@architecture()
def maxvit(models: Any) -> nn.Module:
    """Build block and grid attention after inverted bottlenecks."""
    return models.MaxVit((64, 64), 8, 4, [8, 16], [1, 1], 8, 0.0, num_classes=10)


@architecture((1, 3, 4, 32, 32))
def r3d(models: Any) -> nn.Module:
    """Build one stage of 3-D residual blocks."""
    net = _shortened(models.video.r3d_18(), 64)
    net.layer2 = nn.Identity()
    return net


@architecture((1, 3, 4, 32, 32))
def mvit_video(models: Any) -> nn.Module:
    """Build a multiscale transformer over video."""
    block = partial(models.video.mvit.MSBlockConfig, num_heads=2, kernel_q=[3, 3, 3], kernel_kv=[3, 3, 3])
    stages = [block(input_channels=16, output_channels=16, stride_q=[1, 1, 1], stride_kv=[1, 2, 2]),
              block(input_channels=16, output_channels=32, stride_q=[1, 2, 2], stride_kv=[1, 1, 1])]  # fmt: skip
    return models.video.MViT((32, 32), 4, stages, False, False, 0.5, 0.0, 0.0, num_classes=10)
