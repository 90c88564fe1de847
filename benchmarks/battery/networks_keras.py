"""Small functional Keras networks that Keras 2 and Keras 3 build alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

layers = keras.layers
VERSION = int(keras.__version__.split(".")[0])
IMAGE, SERIES = (32, 32, 3), (20, 6)
Net = Callable[[Any], Any]
NETWORKS: dict[str, tuple[Net, tuple[int, ...], str]] = {}


def network(shape: tuple[int, ...] = IMAGE, kind: str = "spatial") -> Callable[[Net], Net]:
    """Register a function from an input tensor to the scores."""

    def register(build: Net) -> Net:
        NETWORKS[build.__name__] = (build, shape, kind)
        return build

    return register


def make(name: str) -> Any:
    """Build one network with BatchNormalization statistics that are not 0 and 1."""
    keras.utils.set_random_seed(0)
    build, shape, _ = NETWORKS[name]
    x = keras.Input(shape, name="x")
    model = keras.Model(x, build(x), name=name)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.get_weights()[0].shape
            values = rng.uniform(0.6, 1.4, (2, *shape)), rng.normal(0, 0.1, (2, *shape))
            layer.set_weights([values[0][0], values[1][0], values[1][1], values[0][1]])
    return model


def head(x: Any, activation: str | None = "softmax") -> Any:
    """Global average pooling and one dense layer."""
    return layers.Dense(10, activation=activation)(layers.GlobalAveragePooling2D()(x))


def unit(x: Any, width: int, stride: int = 1, act: str = "relu") -> Any:
    """Convolution, BatchNormalization, activation."""
    x = layers.Conv2D(width, 3, stride, padding="same", use_bias=False)(x)
    return layers.Activation(act)(layers.BatchNormalization()(x))


@network()
def cnn(x: Any) -> Any:
    """Plain convolutions, max pooling, a dense head on the flattened map."""
    for width in (8, 16):
        x = layers.MaxPooling2D(2)(layers.Conv2D(width, 3, padding="same", activation="relu")(x))
    return layers.Dense(10, activation="softmax")(layers.Dense(32, activation="relu")(layers.Flatten()(x)))


@network()
def resnet(x: Any) -> Any:
    """Residual blocks with BatchNormalization; the head gives logits."""
    x = unit(x, 16, 2)
    for _ in range(2):
        x = layers.ReLU()(layers.Add()([x, unit(unit(x, 16), 16, act="linear")]))
    return head(x, None)


@network()
def preactivated(x: Any) -> Any:
    """BatchNormalization in front, concatenation as in DenseNet."""
    x = layers.Conv2D(12, 3, 2, padding="same")(x)
    for _ in range(3):
        y = layers.Conv2D(8, 3, padding="same")(layers.ReLU()(layers.BatchNormalization()(x)))
        x = layers.Concatenate()([x, y])
    return head(layers.AveragePooling2D(2)(x))


@network()
def separable(x: Any) -> Any:
    """Depthwise and separable convolutions with zero padding and ReLU6."""
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, 2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(x)))
    x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x)))
    return head(layers.SeparableConv2D(16, 3, 2, padding="same", activation="relu")(x))


@network()
def gated(x: Any) -> Any:
    """Swish and a gate per channel."""
    x = unit(x, 16, 2, "swish")
    gate = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, layers.Dense(16, activation="sigmoid")(gate)])
    return head(unit(x, 24, 2, "swish"))


@network()
def inception(x: Any) -> Any:
    """Parallel branches with pooling, concatenated."""
    x = unit(x, 8, 2)
    branches = [unit(x, 8), layers.Conv2D(8, 1, activation="relu")(x), layers.Conv2D(8, 5, padding="same")(x)]
    branches.append(layers.AveragePooling2D(3, 1, padding="same")(x))
    return head(layers.Concatenate()(branches))


@network()
def activations(x: Any) -> Any:
    """Put a different activation after each convolution."""
    x = layers.Conv2D(8, 3, 2)(x)
    for name in ("elu", "selu", "softplus", "tanh", "hard_sigmoid", "softsign", "exponential"):
        x = x + layers.Activation(name)(layers.Conv2D(8, 3, padding="same")(x))
    return head(layers.PReLU(shared_axes=[1, 2])(layers.LeakyReLU()(x)))


@network()
def layernorm(x: Any) -> Any:
    """LayerNormalization over channels last."""
    x = layers.LayerNormalization()(layers.Conv2D(16, 4, 4)(x))
    return head(layers.LayerNormalization()(layers.Dense(16, activation="relu")(x) + x))


@network()
def gelu(x: Any) -> Any:
    """GELU; with Keras 3 the exporter leaves an op that does not exist."""
    return head(layers.Conv2D(16, 3, 2, activation="gelu")(layers.Conv2D(8, 3, 2, activation="gelu")(x)))


@network()
def attention(x: Any) -> Any:
    """Patches and one block of multi-head attention."""
    x = layers.Reshape((16, 32))(layers.Conv2D(32, 8, 8)(x))
    y = layers.LayerNormalization()(x)
    x = x + layers.MultiHeadAttention(2, 16)(y, y)
    x = x + layers.Dense(32)(layers.Dense(64, activation="relu")(layers.LayerNormalization()(x)))
    return layers.Dense(10)(layers.GlobalAveragePooling1D()(x))


@network((64, 4))
def signal(x: Any) -> Any:
    """1-D convolutions over a signal."""
    x = layers.MaxPooling1D(2)(layers.Conv1D(16, 7, 2, padding="same", activation="relu")(x))
    x = layers.GlobalMaxPooling1D()(layers.Conv1D(16, 3, activation="relu")(x))
    return layers.Dense(10, activation="softmax")(x)


@network((8, 16, 16, 2))
def volume(x: Any) -> Any:
    """3-D convolutions over a volume."""
    x = layers.MaxPooling3D(2)(layers.Conv3D(8, 3, padding="same", activation="relu")(x))
    return layers.Dense(10)(layers.GlobalAveragePooling3D()(layers.Conv3D(16, 3, activation="relu")(x)))


@network(SERIES, "sequence")
def lstm(x: Any) -> Any:
    """One LSTM, its last state classified."""
    return layers.Dense(10, activation="softmax")(layers.LSTM(16)(x))


@network(SERIES, "sequence")
def gru_bidirectional(x: Any) -> Any:
    """Pool a bidirectional GRU over time."""
    return layers.Dense(10)(layers.GlobalMaxPooling1D()(layers.Bidirectional(layers.GRU(8, return_sequences=True))(x)))


@network(kind="segmentation")
def unet(x: Any) -> Any:
    """Down, up by UpSampling and Conv2DTranspose."""
    one = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    two = layers.Conv2D(16, 3, 2, padding="same", activation="relu")(one)
    up = layers.Conv2DTranspose(8, 2, 2, activation="relu")(layers.UpSampling2D(2)(layers.MaxPooling2D(2)(two)))
    return layers.Conv2D(5, 1)(layers.Concatenate()([one, up]))


@network((20,), "tabular")
def mlp(x: Any) -> Any:
    """Dense layers over a table row; sigmoid at the end."""
    return layers.Dense(10, activation="sigmoid")(layers.Dense(16, activation="tanh")(layers.Dense(32, "relu")(x)))


@network((64, 64, 3))
def mobilenet_v2(x: Any) -> Any:
    """Keras' own MobileNetV2 at its smallest width."""
    return keras.applications.MobileNetV2(input_tensor=x, alpha=0.35, weights=None, classes=10).output


@network((64, 64, 3))
def mobilenet_v1(x: Any) -> Any:
    """Keras' own MobileNet at a quarter of its width."""
    return keras.applications.MobileNet(input_tensor=x, alpha=0.25, weights=None, classes=10).output
