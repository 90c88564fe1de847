"""Which network is exported how: one export of each, more of some, and what belongs to the small half."""

from __future__ import annotations

OPSETS = {"tests": (9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20), "torchvision": (12, 13, 17), "timm": (13, 17, 18)}
ATTENTION = ("vit", "deit", "beit", "cait", "swin", "eva", "xcit", "maxvit", "coat", "twins", "pvt", "levit", "nest")
LATE = {
    "torch__spatialtransformer": "ts-op20", "torch__groupnorm": "ts-op18", "torch__rnn_relu": "ts-op9",
    "torch__lstm": "ts-op9", "torch__gru": "ts-op11", "torch__unet": "ts-op11", "torch__mlp": "ts-op9",
    "torch__scripted_if": "ts-op13", "torch__scripted_if_data": "ts-op13", "torch__scripted_loop": "ts-op13",
    "timm__eva02_rope": "ts-op17-eager", "timm__volo": "dynamo-op18", "hf__mobilevitv2": "dynamo-op18",
    "hf__dinov2_registers_swiglu": "dynamo-op18", "hf__fnet": "dynamo-op18", "hf__resnet": "ts-op13",
    "hf__regnet": "ts-op12", "hf__levit": "ts-op13",
}  # fmt: skip


def usual(name: str) -> str:
    """Return the one export that every network gets; the older an architecture, the older the opset may be."""
    framework, architecture = name.split("__")
    if name in LATE:
        return LATE[name]
    choices = OPSETS.get(framework, (17,))
    if framework in ("timm", "torchvision") and any(part in architecture for part in ATTENTION):
        return "ts-op17"
    return f"ts-op{choices[sum(map(ord, architecture)) % len(choices)]}"


# What is exported more than once.
MORE: dict[str, tuple[str, ...]] = {
    "tests__resnet_v1": ("dynamo-op18-dynamic", "ts-op17-external", "ts-op13-nofold"),
    "tests__densenet": ("dynamo-op20", "ts-op17-dynamic"),
    "tests__mobilenet_v2": ("dynamo-op18", "ts-op17-fp16"),
    "tests__mobilenet_v3": ("ts-op11", "ts-op14", "dynamo-op23"),
    "tests__googlenet": ("dynamo-op18",),
    "tests__resnet_v2": ("ts-op17-dynamic", "dynamo-op22"),
    "torch__activations": ("ts-op12", "ts-op20", "dynamo-op18", "dynamo-op22"),
    "torch__groupnorm": ("dynamo-op21", "ts-op12"),
    "torch__instancenorm": ("dynamo-op18",),
    "torch__weight_norm": ("ts-op13-nofold", "dynamo-op18"),
    "torch__spatialtransformer": ("dynamo-op20",),
    "torch__unet": ("dynamo-op18",),
    "torch__mlp": ("dynamo-op18",),
    "torch__lstm_bidirectional": ("ts-op14-dynamic", "dynamo-op18"),
    "torch__gru_bidirectional": ("dynamo-op18",),
    "torch__twoinputs": ("dynamo-op18-dynamic", "ts-op17-dynamic"),
    "torchvision__vit": ("ts-op14", "ts-op17-dynamic", "dynamo-op18", "dynamo-op23"),
    "torchvision__swin": ("dynamo-op18", "ts-op17-dynamic"),
    "torchvision__convnext": ("dynamo-op20",),
    "torchvision__efficientnet": ("ts-op13-nofold", "dynamo-op18-fp16"),
    "torchvision__maxvit": ("dynamo-op18",),
    "timm__vit": ("ts-op13", "dynamo-op18-dynamic", "dynamo-op23", "ts-op17-fp16"),
    "timm__vit_registers": ("dynamo-op20",),
    "timm__eva02_rope": ("dynamo-op18", "dynamo-op23"),
    "timm__convnext": ("dynamo-op18-dynamic", "ts-op20"),
    "timm__convnextv2_grn": ("dynamo-op18",),
    "timm__mixer": ("dynamo-op18",),
    "timm__xcit": ("dynamo-op18",),
    "timm__cait": ("dynamo-op18",),
    "timm__gmlp": ("dynamo-op20",),
    "timm__nfnet": ("dynamo-op18", "ts-op13-nofold"),
    "timm__mobilevit": ("dynamo-op18",),
    "timm__poolformer": ("dynamo-op18",),
    "timm__efficientformer": ("dynamo-op18",),
    "hf__vit": ("ts-op11-eager", "ts-op14-eager", "dynamo-op18", "dynamo-op23", "ts-op17-dynamic"),
    "hf__dinov2": ("dynamo-op18",),
    "hf__siglip": ("dynamo-op18",),
    "hf__clip": ("dynamo-op18",),
    "hf__swin": ("ts-op13-eager",),
    "hf__bert": ("ts-op14", "ts-op11-eager", "ts-op17-dynamic", "dynamo-op18"),
    "hf__distilbert": ("ts-op13-eager", "dynamo-op18"),
    "hf__ast": ("dynamo-op18",),
    "hf__videomae": ("dynamo-op18",),
    "hf__convnext": ("ts-op13",),
    "hf__segformer": ("dynamo-op18",),
}

# The small half: at least one graph per family, the quick ones.
SMALL_USUAL = (
    *(f"tests__{n}" for n in (
        "vgg", "alexnet", "conv1d", "conv3d", "mlp", "resnet_v1", "resnet_v2", "densenet", "googlenet", "inception_v3",
        "squeezenet", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "shufflenet_v1", "shufflenet_v2")),
    *(f"torch__{n}" for n in (
        "batchnorm_unfolded", "groupnorm", "instancenorm", "lrn", "activations", "weight_norm", "spatialtransformer",
        "unet", "mlp", "signal", "lstm", "lstm_bidirectional", "gru", "rnn_tanh", "twoinputs", "scripted_if",
        "scripted_if_data", "scripted_loop")),
    *(f"torchvision__{n}" for n in ("vit", "convnext", "regnet_y", "swin")),
    *(f"timm__{n}" for n in (
        "resnext", "seresnet", "resnest", "sknet", "dla", "nfnet", "convnext", "convnextv2_grn", "vit", "vit_mean",
        "vit_registers", "eva02_rope", "cait", "mixer", "gmlp", "resmlp", "convmixer", "poolformer", "swinv2",
        "efficientnet", "mobilenetv1")),
    *(f"hf__{n}" for n in ("bert", "distilbert", "vit", "dinov2", "siglip", "ast")),
)  # fmt: skip
SMALL_MORE: dict[str, tuple[str, ...]] = {
    "tests__resnet_v1": ("dynamo-op18-dynamic", "ts-op17-external"),
    "tests__mobilenet_v2": ("ts-op17-fp16",),
    "torchvision__vit": ("dynamo-op23",),
    "timm__vit": ("ts-op13",),
    "hf__vit": ("dynamo-op18",),
}
SMALL: dict[str, tuple[str, ...]] = {
    name: ((usual(name),) if name in SMALL_USUAL else ()) + SMALL_MORE.get(name, ())
    for name in (*SMALL_USUAL, *SMALL_MORE)
}
