"""What exporters of classical models put behind the scores: maps from label to probability, which are no tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence

import onnx

_ML = "ai.onnx.ml"
LABELS = "rsp_onnx.labels"


def drop_maps(proto: onnx.ModelProto) -> dict[str, str]:
    """Take ZipMap nodes off the end of a model, in place: the tensor of scores that each reads becomes the output.

    Explanations need numbers by class index; a list of dictionaries has none. Numbers are not changed.

    Returns
    -------
    dict
        Metadata: the class labels, where the maps named them by words, under ``rsp_onnx.labels``.
    """
    maps = {node.output[0]: node for node in proto.graph.node if (node.domain, node.op_type) == (_ML, "ZipMap")}
    ends = [output for output in proto.graph.output if output.name in maps]
    notes: dict[str, str] = {}
    for output in ends:
        node = maps[output.name]
        labels = _labels(node)
        if labels and not any(p.key == LABELS for p in proto.metadata_props):
            notes[LABELS] = json.dumps(labels)
        shape: list[int | str] = ["N", len(labels)] if labels else ["N", "classes"]
        scores = onnx.helper.make_tensor_value_info(node.input[0], onnx.TensorProto.FLOAT, shape)
        output.CopyFrom(scores)
        proto.graph.node.remove(node)
    return notes


def _labels(node: onnx.NodeProto) -> list[str]:
    """Return the labels a ZipMap writes, in the order of the classes."""
    for attribute in node.attribute:
        if attribute.name == "classlabels_strings":
            return [text.decode("utf-8", "replace") for text in attribute.strings]
        if attribute.name == "classlabels_int64s":
            return _words(attribute.ints)
    return []


def _words(numbers: Sequence[int]) -> list[str]:
    return [str(number) for number in numbers]
