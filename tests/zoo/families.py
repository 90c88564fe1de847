"""One small network per family; each a function of a seed, with its input shape and section in FAMILIES."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx
from torch import nn

from .blocks import LRN, Halves, Parallel, Residual, Shuffle, SqueezeExcite, classifier, healthy, unit

IMAGE = (1, 3, 32, 32)


@dataclass(frozen=True)
class Entry:
    """A family: its network, its input shape, and which output of which op its section is."""

    make: Callable[..., nn.Module]
    shape: tuple[int, ...]
    section: tuple[str, int]  # (op type, n-th node of that type; −1 is the last)


FAMILIES: dict[str, Entry] = {}


def family(shape: Sequence[int] = IMAGE, section: tuple[str, int] = ("Relu", -1)) -> Callable[..., Callable]:
    """Register a function that builds the layers; what it becomes builds the network with healthy weights."""

    def register(build: Callable[[], nn.Module]) -> Callable[..., nn.Module]:
        def make(seed: int = 0) -> nn.Module:
            return healthy(build(), shape, seed)

        make.__name__, make.__doc__ = build.__name__, build.__doc__
        FAMILIES[build.__name__] = Entry(make, tuple(shape), section)
        return make

    return register


def section_of(model: onnx.ModelProto, entry: Entry) -> str:
    """Name of the family's section tensor in an exported model."""
    kind, n = entry.section
    return [node for node in model.graph.node if node.op_type == kind][n].output[0]


# ---- plain stacks ----


@family(section=("Relu", 3))
def vgg() -> nn.Module:
    """3×3 convolutions with biases, 2×2 max pooling, a dense head on the flattened map."""
    layers: list[nn.Module] = []
    for cin, cout, pool in ((3, 8, False), (8, 12, True), (12, 16, False), (16, 16, True)):
        layers += [nn.Conv2d(cin, cout, 3, padding=1), nn.ReLU(), *([nn.MaxPool2d(2)] if pool else [])]
    head = [nn.Flatten(), nn.Linear(16 * 8 * 8, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)]
    return nn.Sequential(*layers, *head)


@family((1, 3, 48, 48), section=("Relu", 4))
def alexnet() -> nn.Module:
    """Big first stride, overlapping pools, LRN, grouped convolution, MLP head with dropout."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, 3, 2), nn.ReLU(), LRN(5), nn.MaxPool2d(3, 2),
        nn.Conv2d(16, 24, 5, padding=2, groups=2), nn.ReLU(), LRN(5), nn.MaxPool2d(3, 2),
        nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 16, 3, padding=1, groups=2), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 1, 1), nn.Flatten(),
        nn.Dropout(), nn.Linear(16 * 9, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10),
    )  # fmt: skip


@family(section=("Relu", 4))
def odd_convs() -> nn.Module:
    """Dilations, groups and strides that differ between the axes, and rows no window reaches."""
    return nn.Sequential(
        nn.Conv2d(3, 8, (5, 3), (2, 1), (1, 2)), nn.ReLU(),
        nn.Conv2d(8, 12, 3, (1, 2), (2, 0), dilation=(2, 1), groups=4), nn.ReLU(),
        nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(12, 16, 3, 2), nn.ReLU(),
        nn.Conv2d(16, 16, (1, 3), padding=(0, 3), dilation=(1, 3)), nn.ReLU(),
        nn.Conv2d(16, 16, 1, 2, groups=2), nn.ReLU(), *classifier(16),
    )  # fmt: skip


@family((1, 4, 64), section=("Relu", 2))
def conv1d() -> nn.Module:
    """A signal of four channels."""
    return nn.Sequential(
        nn.Conv1d(4, 8, 7, 2, 3, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(3, 2, 1),
        nn.Conv1d(8, 12, 3, padding=2, dilation=2), nn.ReLU(), nn.AvgPool1d(2),
        nn.Conv1d(12, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip


@family((1, 2, 12, 12, 12), section=("Relu", 2))
def conv3d() -> nn.Module:
    """A volume of two channels."""
    return nn.Sequential(
        nn.Conv3d(2, 6, 3, padding=1, bias=False), nn.BatchNorm3d(6), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(6, 8, 3, 1, (1, 0, 1)), nn.ReLU(), nn.AvgPool3d((2, 1, 2)),
        nn.Conv3d(8, 8, (3, 1, 2)), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


@family((1, 20), section=("Relu", 1))
def mlp() -> nn.Module:
    """Dense layers only: the section has no positions."""
    layers = [nn.Linear(20, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(16, 10))


# ---- residual and dense connections ----


def basic(cin: int, cout: int, s: int) -> nn.Module:
    """Two 3×3 convolutions, ReLU after the sum."""
    body = nn.Sequential(unit(cin, cout, 3, s), unit(cout, cout, act=None))
    shortcut = unit(cin, cout, 1, s, act=None) if s > 1 or cin != cout else None
    return Residual(body, shortcut, nn.ReLU())


def bottleneck(cin: int, mid: int, cout: int, s: int) -> nn.Module:
    """1×1, 3×3, 1×1, ReLU after the sum."""
    body = nn.Sequential(unit(cin, mid, 1), unit(mid, mid, 3, s), unit(mid, cout, 1, act=None))
    return Residual(body, unit(cin, cout, 1, s, act=None) if s > 1 or cin != cout else None, nn.ReLU())


@family()
def resnet_v1() -> nn.Module:
    """Basic blocks."""
    stem = [unit(3, 8, 7, 2), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, basic(8, 8, 1), basic(8, 16, 2), basic(16, 16, 1), *classifier(16))


@family()
def resnet_v1_bottleneck() -> nn.Module:
    """Bottleneck blocks."""
    stem = [unit(3, 8, 3, 2), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, bottleneck(8, 4, 16, 1), bottleneck(16, 8, 24, 2), bottleneck(24, 8, 24, 1),
                         *classifier(24))  # fmt: skip


def pre_activated(cin: int, cout: int, s: int) -> nn.Module:
    """BN-ReLU-Conv twice; the sum is read as it is."""
    body = nn.Sequential(
        nn.BatchNorm2d(cin), nn.ReLU(), nn.Conv2d(cin, cout, 3, s, 1, bias=False),
        nn.BatchNorm2d(cout), nn.ReLU(), nn.Conv2d(cout, cout, 3, 1, 1, bias=False),
    )  # fmt: skip
    return Residual(body, nn.Conv2d(cin, cout, 1, s, bias=False) if s > 1 or cin != cout else None)


@family()
def resnet_v2() -> nn.Module:
    """Pre-activation: sums of signed tensors, BatchNormalization that nothing folds."""
    blocks = [pre_activated(8, 8, 1), pre_activated(8, 16, 2), pre_activated(16, 16, 1)]
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *blocks, nn.BatchNorm2d(16), nn.ReLU(), *classifier(16))


def dense_layer(cin: int, growth: int) -> nn.Module:
    """BN-ReLU-1×1, BN-ReLU-3×3, beside what came in."""
    mid = 2 * growth
    body = nn.Sequential(
        nn.BatchNorm2d(cin), nn.ReLU(), nn.Conv2d(cin, mid, 1, bias=False),
        nn.BatchNorm2d(mid), nn.ReLU(), nn.Conv2d(mid, growth, 3, padding=1, bias=False),
    )  # fmt: skip
    return Parallel(nn.Identity(), body)


def transition(cin: int, cout: int) -> list[nn.Module]:
    """BN-ReLU-1×1 and 2×2 average pooling."""
    return [nn.BatchNorm2d(cin), nn.ReLU(), nn.Conv2d(cin, cout, 1, bias=False), nn.AvgPool2d(2)]


@family()
def densenet() -> nn.Module:
    """Growing concatenations, BN-ReLU after them."""
    first = [dense_layer(8, 4), dense_layer(12, 4), *transition(16, 8)]
    second = [dense_layer(8, 4), dense_layer(12, 4), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(unit(3, 8, 3, 2), nn.MaxPool2d(3, 2, 1), *first, *second, *classifier(16))


# ---- parallel branches ----


@family((1, 3, 47, 47), section=("Concat", -1))
def googlenet() -> nn.Module:
    """Inception modules with a 3×3 stride-1 max pool branch, and ceil_mode pools between."""

    def module(cin: int) -> nn.Module:
        pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), unit(cin, 4, 1))
        return Parallel(unit(cin, 4, 1), nn.Sequential(unit(cin, 4, 1), unit(4, 8)),
                        nn.Sequential(unit(cin, 4, 1), unit(4, 4, 5)), pooled)  # fmt: skip

    pools = [nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(3)]
    return nn.Sequential(unit(3, 8, 7, 2), pools[0], module(8), pools[1], module(20), pools[2], module(20),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(20, 10))  # fmt: skip


@family((1, 3, 39, 39), section=("Concat", -1))
def inception_v3() -> nn.Module:
    """1×7 and 7×1 convolutions; average pool branches that count the padding and that do not."""

    def module(cin: int, count: bool) -> nn.Module:
        pooled = nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=count), unit(cin, 4, 1))
        long = nn.Sequential(unit(cin, 4, 1), unit(4, 6, (1, 7)), unit(6, 8, (7, 1)))
        return Parallel(unit(cin, 4, 1), long, pooled)

    down = Parallel(nn.Sequential(nn.Conv2d(16, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()), nn.MaxPool2d(3, 2))
    stem = [nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU(), unit(8, 12), nn.MaxPool2d(3, 2)]
    return nn.Sequential(*stem, module(12, True), down, module(24, False), module(16, True), *classifier(16))


@family(section=("Concat", -1))
def squeezenet() -> nn.Module:
    """Fire modules and a classifier that is a 1×1 convolution."""

    def fire(cin: int, squeeze: int, expand: int) -> list[nn.Module]:
        wide = Parallel(nn.Sequential(nn.Conv2d(squeeze, expand, 1), nn.ReLU()),
                        nn.Sequential(nn.Conv2d(squeeze, expand, 3, padding=1), nn.ReLU()))  # fmt: skip
        return [nn.Conv2d(cin, squeeze, 1), nn.ReLU(), wide]

    stem = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    head = [nn.Dropout(), nn.Conv2d(16, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*stem, *fire(8, 4, 8), *fire(16, 6, 8), *head)


# ---- mobile networks ----


@family()
def mobilenet_v1() -> nn.Module:
    """Depthwise and pointwise convolutions in turn."""
    layers = [unit(3, 8, 3, 2)]
    for cin, cout, s in ((8, 12, 1), (12, 16, 2), (16, 16, 1), (16, 24, 2)):
        layers += [unit(cin, cin, 3, s, g=cin), unit(cin, cout, 1)]
    return nn.Sequential(*layers, *classifier(24))


def inverted(cin: int, cout: int, s: int) -> nn.Module:
    """Expand, depthwise, project without activation; a sum of signed tensors where sizes agree."""
    mid = 3 * cin
    body = nn.Sequential(unit(cin, mid, 1, act=nn.ReLU6), unit(mid, mid, 3, s, g=mid, act=nn.ReLU6),
                         unit(mid, cout, 1, act=None))  # fmt: skip
    return Residual(body) if s == 1 and cin == cout else body


@family(section=("Clip", -1))
def mobilenet_v2() -> nn.Module:
    """Linear bottlenecks, ReLU6."""
    blocks = [inverted(8, 8, 1), inverted(8, 12, 2), inverted(12, 12, 1)]
    return nn.Sequential(unit(3, 8, 3, 2, act=nn.ReLU6), *blocks, unit(12, 24, 1, act=nn.ReLU6), *classifier(24))


def gated(cin: int, cout: int, s: int, act: type[nn.Module]) -> nn.Module:
    """An inverted bottleneck with a squeeze-and-excite gate."""
    mid = 2 * cin
    body = nn.Sequential(unit(cin, mid, 1, act=act), unit(mid, mid, 5, s, g=mid, act=act), SqueezeExcite(mid),
                         unit(mid, cout, 1, act=None))  # fmt: skip
    return Residual(body) if s == 1 and cin == cout else body


@family(section=("HardSwish", -2))
def mobilenet_v3() -> nn.Module:
    """HardSwish and squeeze-and-excite gates."""
    blocks = [gated(8, 8, 1, nn.ReLU), gated(8, 12, 2, nn.Hardswish), gated(12, 12, 1, nn.Hardswish)]
    stem, last = unit(3, 8, 3, 2, act=nn.Hardswish), unit(12, 24, 1, act=nn.Hardswish)
    return nn.Sequential(stem, *blocks, last, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 24),
                         nn.Hardswish(), nn.Dropout(), nn.Linear(24, 10))  # fmt: skip


@family(section=("Relu", -1))
def shufflenet_v1() -> nn.Module:
    """Grouped 1×1 convolutions, channel shuffle, an average pool beside the strided branch."""

    def body(cin: int, cout: int, s: int) -> nn.Module:
        mid = 8
        return nn.Sequential(unit(cin, mid, 1, g=2), Shuffle(2), unit(mid, mid, 3, s, g=mid, act=None),
                             unit(mid, cout, 1, g=2, act=None))  # fmt: skip

    down = nn.Sequential(Parallel(nn.AvgPool2d(3, 2, 1), body(8, 8, 2)), nn.ReLU())
    same = Residual(body(16, 16, 1), None, nn.ReLU())
    return nn.Sequential(unit(3, 8, 3, 2), nn.MaxPool2d(3, 2, 1), down, same, *classifier(16))


@family(section=("Relu", -1))
def shufflenet_v2() -> nn.Module:
    """Channel split, and shuffle after the concatenation."""

    def body(c: int, s: int) -> nn.Module:
        return nn.Sequential(unit(c, 8, 1), unit(8, 8, 3, s, g=8, act=None), unit(8, 8, 1))

    around = nn.Sequential(unit(8, 8, 3, 2, g=8, act=None), unit(8, 8, 1))
    down = nn.Sequential(Parallel(around, body(8, 2)), Shuffle(2))
    same = [nn.Sequential(Halves(body(8, 1)), Shuffle(2)) for _ in range(2)]
    return nn.Sequential(unit(3, 8, 3, 2), nn.MaxPool2d(3, 2, 1), down, *same, unit(16, 24, 1), *classifier(24))
