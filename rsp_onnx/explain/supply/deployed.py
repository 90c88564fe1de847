"""The model of an explainer: what its file tells at once, its graph when somebody asks for it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsp_onnx.cache.entry import BrokenEntryError, Entry
from rsp_onnx.errors import BadModel
from rsp_onnx.files import hash_file
from rsp_onnx.inputs.layout import InputSignature

from .as_json import signature_from, signature_to
from .shelf import Shelf

if TYPE_CHECKING:
    import onnx

    from rsp_onnx.model.load import Model, ModelSource


@dataclass(frozen=True)
class ModelFacts:
    """What a model's file tells about itself, without its graph.

    Attributes
    ----------
    sha256 : str
        Of the file, followed by its external data files in the order of their names.
    path : Path or None
        The file it came from.
    signatures : tuple of InputSignature
        What it wants at its inputs.
    """

    sha256: str
    path: Path | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    producer: str = ""
    signatures: tuple[InputSignature, ...] = ()


class Deployed:
    """A model whose graph is read when it is needed. Safe to use from several threads.

    Parameters
    ----------
    source : path, bytes or onnx.ModelProto
    shelf : Shelf
        Tells what is known of a file that was read before.

    Raises
    ------
    BadModel
        As of ``load_model``.
    """

    def __init__(self, source: ModelSource, shelf: Shelf) -> None:
        self.shelf = shelf
        self._lock = threading.Lock()
        self._model: Model | None = None
        self._source = source if isinstance(source, (str, Path, bytes)) else _serialised(source)
        self._facts: ModelFacts | None = None
        digest = _digest(self._source)
        if digest is not None:
            self._facts = shelf.read(_parts(digest.hexdigest()), lambda entry: self._known(entry, digest))
        self.facts = self._facts or self._read()

    def load(self) -> Model:
        """Return the model in memory.

        Raises
        ------
        BadModel
            The file is another one by now.
        """
        from rsp_onnx.model.load import load_model

        with self._lock:
            if self._model is None:
                model = load_model(self._source)
                if self._facts is not None and model.sha256 != self._facts.sha256:
                    raise BadModel(f"{model.title} was changed while it was in use; make a new Explainer.")
                self._model, self._source = model, b""
            return self._model

    def _known(self, entry: Entry, digest: hashlib._Hash) -> ModelFacts:
        """Return what the cache knows of these very bytes; BrokenEntryError where its external data is another."""
        said, whole = entry.facts, digest.copy()
        path = None if isinstance(self._source, bytes) else Path(self._source)
        _add_external(whole, path, said["external"])
        if whole.hexdigest() != said["sha256"]:
            raise BrokenEntryError("the external data was changed")
        signatures = tuple(signature_from(one) for one in said["signatures"])
        return ModelFacts(said["sha256"], path, said["metadata"], said["producer"], signatures)

    def _read(self) -> ModelFacts:
        from rsp_onnx.inputs.tensors import signatures_of

        model = self.load()
        facts = ModelFacts(model.sha256, model.path, model.metadata, model.producer, signatures_of(model.ir))
        with self.shelf.write(_parts(model.file_sha256), about(facts, "the model's inputs")) as draft:
            if draft is not None:
                signatures = [signature_to(one) for one in facts.signatures]
                draft.finish({
                    "sha256": facts.sha256, "external": list(model.external), "metadata": facts.metadata,
                    "producer": facts.producer, "signatures": signatures,
                })  # fmt: skip
        return facts


def about(facts: ModelFacts, what: str, method: str = "") -> dict[str, str]:
    """Return what a list of the cache says of an entry."""
    return {"model": str(facts.path) if facts.path else "in memory", "method": method, "what": what}


def _serialised(proto: onnx.ModelProto) -> bytes:
    """Return the model as it is now: the caller may go on to change it."""
    from rsp_onnx.model.file.read import serialised

    return serialised(proto)


def _digest(source: str | Path | bytes) -> hashlib._Hash | None:
    """Return the sha256 so far of a file; None where it cannot be read, which is told when it is loaded."""
    if isinstance(source, bytes):
        return hashlib.sha256(source)
    digest = hashlib.sha256()
    try:
        hash_file(digest, source)
    except OSError:
        return None
    return digest


def _parts(sha256: str) -> dict[str, Any]:
    return {"what": "model", "file": sha256}


def _add_external(digest: hashlib._Hash, path: Path | None, names: Sequence[str]) -> None:
    for name in names:
        if path is None:
            raise BrokenEntryError("bytes have no external data")
        hash_file(digest, path.parent / name)
