"""Export Flax networks by jax2onnx.

python benchmarks/battery/export_jax.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import onnx
from flax import nnx
from jax2onnx import to_onnx
from shelf import shelf_of

Layer = Callable[[jax.Array], jax.Array]
IMAGE = (1, 32, 32, 3)


class Cnn(nnx.Module):
    """Convolutions over NHWC, BatchNorm, pooling, a dense head."""

    def __init__(self, act: Layer, rngs: nnx.Rngs, norm: bool = True) -> None:
        self.one = nnx.Conv(3, 16, (3, 3), strides=(2, 2), rngs=rngs)
        self.norm = nnx.BatchNorm(16, use_running_average=True, rngs=rngs) if norm else (lambda x: x)
        self.two, self.head, self.act = nnx.Conv(16, 24, (3, 3), rngs=rngs), nnx.Linear(24, 10, rngs=rngs), act

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the scores of x [N, H, W, 3]."""
        x = nnx.max_pool(self.act(self.norm(self.one(x))), window_shape=(2, 2), strides=(2, 2))
        return self.head(self.act(self.two(x)).mean((1, 2)))


class Residual(nnx.Module):
    """Two residual blocks with GroupNorm."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.stem = nnx.Conv(3, 16, (3, 3), strides=(2, 2), rngs=rngs)
        self.bodies = nnx.List([nnx.Conv(16, 16, (3, 3), rngs=rngs) for _ in range(2)])
        self.norms = nnx.List([nnx.GroupNorm(16, num_groups=4, rngs=rngs) for _ in range(2)])
        self.head = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the scores of x [N, H, W, 3]."""
        x = nnx.relu(self.stem(x))
        for body, norm in zip(self.bodies, self.norms, strict=True):
            x = nnx.relu(x + norm(body(x)))
        return self.head(x.mean((1, 2)))


class Block(nnx.Module):
    """Pre-norm attention and MLP."""

    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.one, self.two = nnx.LayerNorm(width, rngs=rngs), nnx.LayerNorm(width, rngs=rngs)
        self.attend = nnx.MultiHeadAttention(2, width, decode=False, rngs=rngs)
        self.wide, self.narrow = nnx.Linear(width, 2 * width, rngs=rngs), nnx.Linear(2 * width, width, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return x [N, T, width] with what the block adds."""
        x = x + self.attend(self.one(x))
        return x + self.narrow(nnx.gelu(self.wide(self.two(x))))


class Vit(nnx.Module):
    """Patches, a class token, two blocks."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.patch = nnx.Conv(3, 32, (8, 8), strides=(8, 8), padding="VALID", rngs=rngs)
        self.token = nnx.Param(jax.random.normal(jax.random.key(1), (1, 1, 32)))
        self.place = nnx.Param(0.3 * jax.random.normal(jax.random.key(2), (1, 17, 32)))
        self.blocks = nnx.List([Block(32, rngs) for _ in range(2)])
        self.norm, self.head = nnx.LayerNorm(32, rngs=rngs), nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the scores of x [N, 32, 32, 3]."""
        x = self.patch(x).reshape(x.shape[0], 16, 32)
        x = jnp.concatenate([jnp.broadcast_to(self.token[...], (x.shape[0], 1, 32)), x], 1) + self.place[...]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class Mlp(nnx.Module):
    """Dense layers over a table row."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.one, self.two = nnx.Linear(20, 32, rngs=rngs), nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return log-probabilities of x [N, 20]."""
        return nnx.log_softmax(self.two(nnx.tanh(self.one(x))))


# name: (builder, input shape, kind)
NETWORKS: dict[str, tuple[Callable[[nnx.Rngs], nnx.Module], tuple[int, ...], str]] = {
    "cnn_relu": (lambda r: Cnn(nnx.relu, r), IMAGE, "spatial"),
    "cnn_silu": (lambda r: Cnn(nnx.silu, r), IMAGE, "spatial"),
    "cnn_gelu": (lambda r: Cnn(nnx.gelu, r, norm=False), IMAGE, "spatial"),
    "cnn_leaky": (lambda r: Cnn(nnx.leaky_relu, r), IMAGE, "spatial"),
    "resnet_groupnorm": (Residual, IMAGE, "spatial"),
    "vit": (Vit, IMAGE, "spatial"),
    "mlp": (Mlp, (1, 20), "tabular"),
}


def export(name: str, path: Path) -> None:
    """Write one network; jax2onnx writes opset 23."""
    build, shape, _ = NETWORKS[name]
    model: Any = to_onnx(build(nnx.Rngs(0)), [shape], model_name=name)
    onnx.save(model, path)


def main() -> int:
    """Export all networks."""
    shelf = shelf_of(__doc__)
    for name, (_, _, kind) in NETWORKS.items():
        shelf.put(f"jax__{name}__jax2onnx-op23", kind, lambda path, name=name: export(name, path))
    return shelf.close()


if __name__ == "__main__":
    sys.exit(main())
