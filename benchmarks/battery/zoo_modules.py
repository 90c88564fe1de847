"""Hand-written modules: what no model library holds, and the spellings that trip a walker of graphs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

MAKERS: dict[str, tuple[Callable[[], nn.Module], tuple[tuple[int, ...], ...], str]] = {}
IMAGE = (1, 3, 32, 32)
SERIES = (1, 20, 6)


def architecture(
    *shapes: tuple[int, ...], kind: str = "spatial", name: str = ""
) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Register a class or function under its name in lower case, with the shapes of its inputs."""

    def register(build: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        MAKERS[name or build.__name__.lower()] = (build, shapes or (IMAGE,), kind)
        return build

    return register


def make(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Build one module with ten classes and inputs for it."""
    build, shapes, _ = MAKERS[name]
    return build(), tuple(torch.randn(shape) for shape in shapes)


def head(width: int) -> list[nn.Module]:
    """Global average pooling and one dense layer."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]


def _norm_net(norm: Callable[[int], nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), norm(16), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), norm(24), nn.SiLU(), *head(24)
    )


@architecture()
def batchnorm_unfolded() -> nn.Module:
    """Build a net whose BatchNormalization follows the activation, where nothing can fold it."""
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.BatchNorm2d(16), nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.BatchNorm2d(24), *head(24))


@architecture()
def groupnorm() -> nn.Module:
    """Build a net with GroupNorm."""
    return _norm_net(lambda width: nn.GroupNorm(4, width))


@architecture()
def instancenorm() -> nn.Module:
    """Build a net with InstanceNorm."""
    return _norm_net(lambda width: nn.InstanceNorm2d(width, affine=True))


@architecture()
def lrn() -> nn.Module:
    """Build a net with torch's own local response normalisation."""
    return _norm_net(lambda width: nn.LocalResponseNorm(5))


@architecture()
def weight_norm() -> nn.Module:
    """Build convolutions whose weights are directions times lengths."""
    wrap = torch.nn.utils.parametrizations.weight_norm
    layers = [wrap(nn.Conv2d(3, 16, 3, 2, 1)), nn.ReLU(), wrap(nn.Conv2d(16, 24, 3, 2, 1)), nn.ReLU()]
    return nn.Sequential(*layers, *head(24))


@architecture()
def activations() -> nn.Module:
    """Build a net with a different activation after each convolution."""
    kinds = [nn.LeakyReLU(0.1), nn.PReLU(16), nn.ELU(), nn.SELU(), nn.CELU(), nn.GELU(), nn.GELU("tanh"), nn.Mish(),
             nn.Softplus(), nn.Hardswish(), nn.Hardtanh(), nn.Tanh(), nn.Softsign(), nn.LogSigmoid()]  # fmt: skip
    layers = [layer for kind in kinds for layer in (nn.Conv2d(16, 16, 3, 1, 1), kind)]
    return nn.Sequential(nn.Conv2d(3, 16, 3, 4, 1), *layers, *head(16))


@architecture()
class SpatialTransformer(nn.Module):
    """A localisation net decides where the classifier looks: affine_grid and grid_sample."""

    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Sequential(nn.Conv2d(3, 8, 5, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 6))
        convs = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU()]
        self.what = nn.Sequential(*convs, *head(24))
        self.register_buffer("identity", torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the image as seen through the grid."""
        theta = self.identity + 0.1 * self.where(x).view(-1, 2, 3)
        grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
        return self.what(functional.grid_sample(x, grid, align_corners=False))


@architecture(kind="segmentation")
class UNet(nn.Module):
    """Down, up by ConvTranspose and by Resize, concatenated with what came down."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.three, self.up = nn.Conv2d(16, 16, 3, 2, 1), nn.ConvTranspose2d(16, 16, 2, 2)
        self.four, self.last = nn.Conv2d(32, 8, 3, 1, 1), nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a score per class and pixel."""
        one = self.one(x).relu()
        two = self.two(one).relu()
        up = self.four(torch.cat([two, self.up(self.three(two).relu())], 1)).relu()
        wide = functional.interpolate(up, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.last(torch.cat([one, wide], 1))


@architecture((1, 20), kind="tabular")
def mlp() -> nn.Module:
    """Build dense layers and LogSoftmax."""
    layers = [nn.Linear(20, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, 16), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(16, 10), nn.LogSoftmax(1))


@architecture((1, 4, 64))
def signal() -> nn.Module:
    """Build 1-D convolutions over a signal."""
    layers = [nn.Conv1d(4, 16, 7, 2, 3), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2)]
    return nn.Sequential(
        *layers, nn.Conv1d(16, 24, 3), nn.GELU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(24, 10)
    )


@architecture((1, 2, 8, 16, 16))
def volume() -> nn.Module:
    """Build 3-D convolutions over a volume."""
    layers = [nn.Conv3d(2, 8, 3, 1, 1), nn.BatchNorm3d(8), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 16, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 10))


class Recurrent(nn.Module):
    """A recurrent layer over a series; its last, its mean or its largest state is classified."""

    def __init__(self, kind: type[nn.Module], take: str = "last", **arguments: object) -> None:
        super().__init__()
        self.rnn, self.take = kind(6, 16, batch_first=True, **arguments), take
        self.head = nn.Linear(32 if arguments.get("bidirectional") else 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the series x [N, T, 6]."""
        states, last = self.rnn(x)
        if self.take == "hidden":
            return self.head(last[0][-1] if isinstance(last, tuple) else last[-1])
        taken = {"last": lambda: states[:, -1], "mean": lambda: states.mean(1), "max": lambda: states.amax(1)}
        return self.head(taken[self.take]())


for _name, _build in {
    "lstm": lambda: Recurrent(nn.LSTM),
    "lstm_hidden": lambda: Recurrent(nn.LSTM, "hidden", num_layers=2),
    "lstm_bidirectional": lambda: Recurrent(nn.LSTM, "mean", bidirectional=True),
    "gru": lambda: Recurrent(nn.GRU, "max"),
    "gru_bidirectional": lambda: Recurrent(nn.GRU, "mean", bidirectional=True),
    "rnn_tanh": lambda: Recurrent(nn.RNN),
    "rnn_relu": lambda: Recurrent(nn.RNN, "mean", nonlinearity="relu"),
}.items():
    architecture(SERIES, kind="sequence", name=_name)(_build)


@architecture(IMAGE, (1, 6))
class TwoInputs(nn.Module):
    """An image and a table row, multiplied and concatenated before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU())
        self.table, self.head = nn.Linear(6, 16), nn.Linear(32, 10)

    def forward(self, x: Tensor, row: Tensor) -> Tensor:
        """Return the scores of the image x and the row."""
        seen, told = self.image(x).mean((2, 3)), self.table(row).relu()
        return self.head(torch.cat([seen * told, told], 1))


class Halved(nn.Module):
    """A branch on the data: bright images go through one layer, dark ones through another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 16, 3, 2, 1), nn.Linear(16, 10)
        self.one, self.two = nn.Conv2d(16, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of x."""
        x = self.stem(x).relu()
        if bool(x.mean() > 0.5):  # noqa: SIM108  torch.jit.script reads it as it stands
            x = self.one(x).relu()
        else:
            x = self.two(x).relu()
        return self.head(x.mean([2, 3]))


class Sized(Halved):
    """A branch on the size of the image, which is known when the graph is read."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of x."""
        x = self.stem(x).relu()
        if x.shape[2] > 8:  # noqa: SIM108  torch.jit.script reads it as it stands
            x = self.one(x).relu()
        else:
            x = self.two(x).relu()
        return self.head(x.mean([2, 3]))


class Repeated(nn.Module):
    """One layer applied a number of times: a loop in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 1, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of x."""
        x = self.stem(x).relu()
        for _ in range(int(x.shape[3]) // 5):
            x = x + self.again(x).relu()
        return self.head(x.mean([2, 3]))


SCRIPTED = ("scripted_if", "scripted_if_data", "scripted_loop")
architecture(name="scripted_if")(Sized)
architecture(name="scripted_if_data", kind="not differentiable")(Halved)
architecture(name="scripted_loop")(Repeated)
