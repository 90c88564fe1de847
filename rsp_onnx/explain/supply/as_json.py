"""What is known of a compiled explainer as JSON, and back; equal to what it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rsp_onnx.explain.compiled import Compiled
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.model.session import Session
from rsp_onnx.serving.variants import Serving, Variant, VariantKey

from .scoring import Scores


def signature_to(signature: InputSignature) -> dict[str, Any]:
    """Return a signature as JSON."""
    return {
        "name": signature.name, "dtype": signature.dtype.name, "shape": list(signature.shape),
        "is_one_sample": signature.is_one_sample, "axes": list(signature.axes),
    }  # fmt: skip


def signature_from(said: Mapping[str, Any]) -> InputSignature:
    """Return the signature that JSON tells."""
    shape, axes = tuple(said["shape"]), tuple(said["axes"])
    return InputSignature(said["name"], _dtype(said["dtype"]), shape, said["is_one_sample"], axes)


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:  # the small floats and half bytes, which numpy does not know by itself
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found


def compiled_to(compiled: Compiled, key: VariantKey) -> dict[str, Any]:
    """Return what is known of a compiled explainer beside its sessions as JSON."""
    scores = compiled.scores
    return {
        "one_by_one": key.one_by_one, "ledger": key.ledger,
        "scores": {"output_name": scores.output_name, "kind": scores.kind, "classes": scores.classes},
        "batch": compiled.batch, "inputs": [signature_to(one) for one in compiled.inputs],
        "outputs": list(compiled.outputs), "one_sample": sorted(compiled.one_sample),
        "activation_bytes": compiled.activation_bytes, "warnings": list(compiled.warnings),
        "sample_axes": dict(compiled.sample_axes), "channels": compiled.channels,
    }  # fmt: skip


def compiled_from(
    said: Mapping[str, Any], reading: bytes | None, serving: Serving, method: str, labels: tuple[str, ...] | None
) -> Compiled:
    """Return the compiled explainer that JSON tells. reading: the little model that reads its scores."""
    scores = Scores(said["scores"]["output_name"], said["scores"]["kind"], said["scores"]["classes"], reading)
    return Compiled(
        serving, scores, said["batch"], tuple(signature_from(one) for one in said["inputs"]), tuple(said["outputs"]),
        method, labels, frozenset(said["one_sample"]), said["activation_bytes"],
        tuple(said["warnings"]), said["sample_axes"], said["channels"],
    )  # fmt: skip


def variant_to(variant: Variant) -> dict[str, Any]:
    """Return what is known of a variant beside its session as JSON."""
    return {
        "batch": variant.batch, "ledger": list(variant.ledger), "balance": [list(pair) for pair in variant.balance],
        "unreached": list(variant.unreached), "reasons": dict(variant.reasons), "method": variant.method,
    }  # fmt: skip


def variant_from(said: Mapping[str, Any], session: Session, key: VariantKey) -> Variant:
    """Return the variant that JSON tells, read from the cache."""
    balance = tuple((node, op) for node, op in said["balance"])
    return Variant(
        session,
        key,
        said["batch"],
        tuple(said["ledger"]),
        balance,
        tuple(said["unreached"]),
        said["reasons"],
        said["method"],
        cached=True,
    )
