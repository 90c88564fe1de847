"""The facade: a model once, then explanation after explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.devices.device import resolve_device
from rsp_onnx.errors import BadInput
from rsp_onnx.inputs.batching import same_shapes, shapes_of
from rsp_onnx.inputs.classes import Choice, asks_for_several
from rsp_onnx.inputs.find_preprocess import overridden, resolve_preprocess
from rsp_onnx.inputs.items import split_items, whole_batches
from rsp_onnx.inputs.labels import read_labels
from rsp_onnx.inputs.presets import Preprocess
from rsp_onnx.inputs.tensors import Feeds, Picture, image_signature, make_feeds, sized
from rsp_onnx.model.blame import blaming
from rsp_onnx.types import Array

from .compiled import CompiledSizes
from .explanation import Explanation
from .pictures.explanations import named
from .pictures.names import ColumnSource, TokenSource, read_names
from .supply.deployed import Deployed
from .supply.scoring import Scorer
from .supply.settings import Settings
from .supply.shelf import Shelf
from .supply.supply import Supply
from .unpack import explain_items

if TYPE_CHECKING:
    from rsp_onnx.compiler.analysis import Analysis, Needs
    from rsp_onnx.model.load import Model, ModelSource


class Explainer:
    """Explains one model. Safe to use from several threads.

    Parameters
    ----------
    model : path, bytes or onnx.ModelProto
        Any exported classifier. External data is found beside the file.
    preprocess : str, path, Preprocess or mapping, optional
        A preset (``imagenet-torch``, ``imagenet-caffe``, ``imagenet-tf``, ``unit``, ``raw``), a TOML file, or values.
        Default: ``<model>.preprocess.toml`` beside the model, the model's metadata, else a guess from the graph
        (``explainer.preprocess.source`` says which).
    labels : path or sequence of str, optional
        Class names; default: the model's metadata.
    device : str
        ``auto`` (CUDA where it works), ``cpu``, ``cuda`` or ``cuda:1``; ``openvino``, ``directml``, ``coreml`` and
        ``tensorrt`` where the installed runtime has them, else the CPU, which the notes of a map say. Options of the
        execution provider follow: ``cuda,use_tf32=0``.
    method : str
        One of ``methods()``: ``rsp``, ``gradient``, ``grad-cam``, ..., with parameters as ``lrp-gamma:gamma=0.5``.
    output, section : str, optional
        The tensor to explain (an output or any other), and the one where head and features meet; found by default.
    region : str
        For models that score every position or box: ``mask`` (where the class wins), ``peak`` (its highest score),
        ``all``, an index, or X0,Y0,X1,Y1 in positions of the output; ``auto`` is ``mask`` for pictures and sequences
        (time in front), ``peak`` for boxes.
    class_axis : int, optional
        The axis of the output that holds the classes; found by default, see ``inspect``.
    class_rows : str
        Which of its rows are classes, as FIRST:END: ``4:`` where four coordinates of boxes stand in front.
    purge, split, signed_inputs
        Parameters of RSP, see ``Options``.
    threads : int, optional
        Threads ONNX Runtime uses within one op; default: one for files of many small nodes, else as many as cores,
        whichever is faster for this model (``explainer.threads`` says which).
    input_shapes : mapping, optional
        Sizes for what the model leaves free, by input name, the batch (None) in front. Tensors bring their own.
    ledger : bool
        Compute ``.ledger`` and ``.losses`` with every map; else they take one more run when they are first asked for.
    cache : bool
        Keep what is compiled on the disk, and read it from there the next time; see docs/cache.md.
    tokens, columns : path, sequence or mapping, optional
        What pictures call token ids and a table's entries, see ``read_names``.
    size, channels, scale, mean, std, resize, ...
        Single values of ``Preprocess`` that override the preset's or the file's.

    Raises
    ------
    BadModel, UnsupportedOp, BadInput, DeviceUnavailable
    """

    def __init__(
        self, model: ModelSource, *, preprocess: str | Path | Preprocess | Mapping[str, Any] | None = None,
        labels: str | Path | Sequence[str] | None = None, device: str = "auto", method: str = "rsp",
        output: str | None = None, section: str | None = None, region: str = "auto", class_axis: int | None = None,
        class_rows: str = "", purge: bool = False, split: float = 2.0, signed_inputs: str = "clamp",
        threads: int | None = None, input_shapes: Mapping[str, Sequence[int | None]] | None = None,
        ledger: bool = False, cache: bool = True, tokens: TokenSource = None, columns: ColumnSource = None,
        **preprocess_values: Any,
    ) -> None:  # fmt: skip
        find_method(method)
        resolve_device(device)
        self._deployed = Deployed(model, Shelf(cache))
        self.facts, self.method, self.device = self._deployed.facts, method, device
        self._given, self._values = preprocess, {k: v for k, v in preprocess_values.items() if v is not None}
        self._preprocess: Preprocess | None = None
        self.signatures = sized(self.facts.signatures, input_shapes or {})
        self.labels, self.names = read_labels(labels, self.facts.metadata), read_names(tokens, columns, self.signatures)
        settings = Settings(
            method, output, section, region, class_axis, class_rows, purge, split, signed_inputs, ledger,
            len(self.labels or ()) or None, device, threads,
        )  # fmt: skip
        self._supply = Supply(self._deployed, settings, lambda: self.labels)
        self._compiled, self._scorer = CompiledSizes(self._supply.compiled), Scorer(self._supply.scoring)
        if preprocess is not None or self._values:
            _ = self.preprocess  # a wrong preset or file is reported before any work

    @property
    def model(self) -> Model:
        """The model in memory, read from its file when it is first asked for; BadModel where that is another by now."""
        return self._deployed.load()

    @property
    def preprocess(self) -> Preprocess:
        """How photographs become tensors. BadInput where the model's input is not an image."""
        if self._preprocess is None:
            guessed = resolve_preprocess(
                self._given, signature=image_signature(self.signatures), metadata=self.facts.metadata,
                model_path=self.facts.path, producer=self.facts.producer,
            )  # fmt: skip
            self._preprocess = overridden(guessed, self._values, image_signature(self.signatures))
        return self._preprocess

    def feeds(self, image: Picture) -> dict[str, Array]:
        """Return the tensors the model would be given for an image, by input name."""
        return dict(self.prepare(image).tensors)

    def items(self, images: Picture) -> list[Picture]:
        """Return the items a tensor file, a mapping or a ready array holds, for ``explain_batch``; a photo is one."""
        return split_items(images, self.signatures)

    @overload
    def explain(
        self, image: Picture, target: int, hostile: Choice = "auto", *, tensors: Sequence[str] = ()
    ) -> Explanation: ...
    @overload
    def explain(
        self, image: Picture, target: list[int | str], hostile: Choice = "auto", *, tensors: Sequence[str] = ()
    ) -> list[Explanation]: ...
    @overload
    def explain(
        self, image: Picture, target: Choice = "auto", hostile: Choice = "auto", *, tensors: Sequence[str] = ()
    ) -> Any: ...

    def explain(
        self, image: Picture, target: Choice = "auto", hostile: Choice = "auto", *, tensors: Sequence[str] = ()
    ) -> Any:
        """Explain one image.

        Parameters
        ----------
        image : path, PIL image, H×W×3 uint8 array, ready tensor or mapping
            Photographs are preprocessed; a ``.npy``/``.npz`` file, a tensor of the model's own dtype and shape, or a
            mapping by input name passes as it is.
        target : str, int or sequence
            ``auto`` (highest score), an index, a label, ``topk:N``, or several.
        hostile : str, int or sequence
            ``auto`` (other present classes of a multi-label model, else none), ``none``, ``runners-up``, index, label.
        tensors : sequence of str
            Tensors whose relevance is wanted too, in ``.relevances``.

        Returns
        -------
        Explanation, or list of Explanation
            A list where several targets were asked for (a sequence or ``topk:N``).
        """
        results = self.explain_batch([image], target, hostile, tensors=tensors)[0]
        return results if asks_for_several(target) else results[0]

    def explain_batch(
        self, images: Sequence[Picture | Feeds], target: Choice = "auto", hostile: Choice = "auto", *,
        batch_size: int = 8, tensors: Sequence[str] = (),
    ) -> list[list[Explanation]]:  # fmt: skip
        """Explain several images, ``batch_size`` at a time, as one by one; per image one explanation per target."""
        if batch_size < 1:
            raise BadInput(f"The batch size must be 1 or more, not {batch_size}.")
        results: list[list[Explanation]] = []
        size = whole_batches(batch_size, self.signatures)
        for start in range(0, len(images), size):
            items = [self.prepare(image) for image in images[start : start + size]]
            for group in same_shapes(items):
                with blaming(self._deployed.load, group[0]):
                    compiled = self._compiled.get(shapes_of(group[0]), tuple(tensors))
                    results += explain_items(compiled, group, *compiled.choose(group, target, hostile, self._scorer))
        return named(results, self.names)

    def explain_each(
        self, items: Sequence[Picture | Feeds], targets: Sequence[Sequence[int]],
        hostile: Sequence[Sequence[Sequence[int]]],
    ) -> list[list[Explanation]]:  # fmt: skip
        """Explain items that have targets of their own, as one batch where their sizes agree.

        targets: class indices per item; hostile: per item and target. Items may be feeds (see ``prepare``).
        """
        ready = [self.prepare(item) for item in items]
        explained: list[list[Explanation]] = []
        for group in same_shapes(ready):
            part = slice(len(explained), len(explained) + len(group))
            with blaming(self._deployed.load, group[0]):
                compiled = self._compiled.get(shapes_of(group[0]))
                explained += explain_items(compiled, group, list(targets[part]), list(hostile[part]))
        return explained

    def prepare(self, image: Picture | Feeds) -> Feeds:
        """Read and preprocess one item, once for several calls."""
        return image if isinstance(image, Feeds) else make_feeds(image, self.signatures, lambda: self.preprocess)

    def get_ready(self, item: Feeds, tensors: Sequence[str] = (), **asked: Any) -> None:
        """Compile what explains items of this size, before it is needed. asked: as of ``Compiled.get_ready``."""
        self._compiled.get(shapes_of(item), tuple(tensors)).get_ready(**asked)

    def scores(self, image: Picture | Feeds) -> Array:
        """Return the model's own scores of one image, float32 [classes]."""
        return np.asarray(self.score_batch([self.prepare(image)])[0])

    def score_batch(self, items: Sequence[Feeds]) -> Array:
        """Return the model's own scores of items of one size, float32 [N, classes]."""
        with blaming(self._deployed.load, items[0]):
            compiled = self._compiled.get(shapes_of(items[0]))
            return self._scorer.run(items, compiled.scores, compiled.batch, compiled.serving.threads)

    def score_kind(self, item: Feeds) -> str:
        """Return what the model does at its end: ``softmax``, ``log-softmax``, ``sigmoid``, or ``logits`` (nothing)."""
        return self._compiled.get(shapes_of(item)).scores.kind

    def activation_bytes(self, item: Feeds) -> int:
        """Return how many bytes the model's own activations for one item take, a measure of what a map needs."""
        return self._compiled.get(shapes_of(item)).activation_bytes

    def analyse(self, item: Feeds, needs: Needs | None = None) -> Analysis:
        """Return what the model is for items of this size, before anything is compiled. needs: of a method."""
        return self._supply.analysed(shapes_of(item), needs)

    @property
    def threads(self) -> int | None:
        """Threads within one op, once something ran; None for as many as cores."""
        return self._compiled.threads

    @property
    def provider(self) -> str:
        """The execution provider in use, once something ran."""
        return self._compiled.provider
