"""Small transformers and modern convolutional networks in the spelling their exporters give them."""

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, CLASSES = 24, 3, 7


class SelfAttention(nn.Module):
    """Multi-head self-attention with a fused qkv projection, written out."""

    def __init__(self, width: int = WIDTH, heads: int = HEADS) -> None:
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        share = ((q @ k.transpose(-2, -1)) * (d // self.heads) ** -0.5).softmax(-1)
        return self.out((share @ v).transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.one, self.two, self.attend = nn.LayerNorm(width), nn.LayerNorm(width), SelfAttention(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x):
        x = x + self.attend(self.one(x))
        return x + self.mlp(self.two(x))


class Vit(nn.Module):
    """A vision transformer with a class token, or mean pooling."""

    def __init__(self, token: bool = True) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH)) if token else None
        self.place = nn.Parameter(torch.randn(1, 16 + int(token), WIDTH) * 0.3)
        self.blocks, self.norm = nn.Sequential(Block(), Block()), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        if self.token is not None:
            x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1)
        x = self.norm(self.blocks(x + self.place))
        return self.head(x[:, 0] if self.token is not None else x.mean(1))


class ConvNext(nn.Module):
    """ConvNeXt blocks: depthwise 7×7, LayerNorm over channels last, GELU, layer scale."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 4, 4)
        self.deep = nn.Conv2d(WIDTH, WIDTH, 7, padding=3, groups=WIDTH)
        self.norm, self.last = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.wide, self.narrow = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)
        self.scale, self.head = nn.Parameter(torch.rand(WIDTH)), nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.deep(x).permute(0, 2, 3, 1))
        x = x + (self.scale * self.narrow(functional.gelu(self.wide(y)))).permute(0, 3, 1, 2)
        return self.head(self.last(x.mean((2, 3))))


class Windows(nn.Module):
    """Swin's idea: attention inside windows, shifted by a roll."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.block, self.norm = nn.Conv2d(3, WIDTH, 4, 4), Block(), nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        x = self.patch(x).permute(0, 2, 3, 1)
        n, h, w, d = x.shape
        x = torch.roll(x, (-2, -2), (1, 2))
        x = x.reshape(n, h // 4, 4, w // 4, 4, d).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, d)
        x = self.block(x).reshape(n, h // 4, w // 4, 4, 4, d).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, d)
        x = torch.roll(x, (2, 2), (1, 2))
        return self.head(self.norm(x).mean((1, 2)))


class Encoder(nn.Module):
    """torch's own encoder layer, which keeps the time in front of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, 8, 8)
        self.layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, 0.0, "gelu", batch_first=False)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        return self.head(self.layer(self.patch(x).flatten(2).permute(2, 0, 1)).mean(0))


class Gated(nn.Module):
    """SiLU, squeeze-excite, GroupNorm and a gated linear unit."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.norm, self.squeeze, self.excite = nn.GroupNorm(4, 16), nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x):
        x = functional.silu(self.norm(self.one(x)))
        x = x * torch.sigmoid(self.excite(functional.silu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        x = functional.glu(self.two(x), 1)
        return self.head(x.mean((2, 3)))


def make(name: str, seed: int = 0) -> nn.Module:
    """Build a network with seeded weights."""
    torch.manual_seed(seed)
    return NETWORKS[name]().eval()


NETWORKS = {
    "vit": Vit,
    "vit_mean": lambda: Vit(token=False),
    "convnext": ConvNext,
    "windows": Windows,
    "encoder": Encoder,
    "gated": Gated,
}
SHAPE = (1, 3, 32, 32)
