"""The table of forward ops, and how a node's attributes are read."""

from collections.abc import Callable
from typing import Any

import onnx
import torch

Tensor = torch.Tensor
OPS: dict[str, Callable[..., Any]] = {}


def op(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function (node attributes as keywords, inputs as arguments) under ONNX op names."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        OPS.update(dict.fromkeys(names, function))
        return function

    return register


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Attributes as Python values, text decoded."""
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}


def ints(given: Any) -> list[int] | None:
    """Integers given as an attribute or as a tensor."""
    if given is None:
        return None
    return [int(i) for i in (given.flatten() if hasattr(given, "flatten") else given)]
