"""Networks of the published sizes (224², 1000 classes) with random healthy weights."""

from torch import nn

from .blocks import healthy, unit
from .families import basic, dense_layer, inverted, transition

SHAPE = (1, 3, 224, 224)


def full_vgg16(seed: int = 0) -> nn.Module:
    """VGG-16: thirteen 3×3 convolutions, three dense layers."""
    layers: list[nn.Module] = []
    cin = 3
    for count, cout in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            layers += [nn.Conv2d(cin, cout, 3, padding=1), nn.ReLU()]
            cin = cout
        layers.append(nn.MaxPool2d(2))
    dense = [nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()]
    return healthy(nn.Sequential(*layers, nn.Flatten(), *dense, nn.Linear(4096, 1000)), SHAPE, seed, samples=1)


def full_resnet18(seed: int = 0) -> nn.Module:
    """ResNet-18: eight basic blocks."""
    layers: list[nn.Module] = [unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    for cin, cout, s in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
        layers += [basic(cin, cout, s), basic(cout, cout, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000)]
    return healthy(nn.Sequential(*layers, *head), SHAPE, seed, samples=2)


def full_densenet121(seed: int = 0) -> nn.Module:
    """DenseNet-121's blocks of 6, 12, 24, 16 layers, growth 32; bottlenecks of 64, not 128."""
    layers: list[nn.Module] = [unit(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    c = 64
    for i, count in enumerate((6, 12, 24, 16)):
        layers += [dense_layer(c + 32 * j, 32) for j in range(count)]
        c += 32 * count
        if i < 3:
            layers += transition(c, c // 2)
            c //= 2
    head = [nn.BatchNorm2d(c), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 1000)]
    return healthy(nn.Sequential(*layers, *head), SHAPE, seed, samples=2)


def full_mobilenet_v2(seed: int = 0) -> nn.Module:
    """MobileNetV2: seventeen inverted bottlenecks (expanded three times, not six)."""
    plan = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
    layers: list[nn.Module] = [unit(3, 32, 3, 2, act=nn.ReLU6)]
    cin = 32
    for cout, count, s in plan:
        for i in range(count):
            layers.append(inverted(cin, cout, s if i == 0 else 1))
            cin = cout
    head = [unit(320, 1280, 1, act=nn.ReLU6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return healthy(nn.Sequential(*layers, *head), SHAPE, seed, samples=2)
