"""What the page asks for, done: a model opened, a picture prepared, an explanation computed. Knows no HTTP."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.devices.device import resolve_device
from rsp_onnx.errors import BadInput, RspError
from rsp_onnx.explain.explanation import Explanation
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.inputs.prepare import prepare
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Array
from rsp_onnx.version import __version__
from rsp_onnx.web.facts import trial_item
from rsp_onnx.web.frames import frame

from .answers import answer_frame
from .asked import ExplainRequest
from .explainers import ReadyExplainer
from .images import Images, Samples, StoredImage, called
from .models import Models, ModelSettings, ServedModel
from .workers import GoneError, Told, in_background

ABILITIES = {"dropModel": True, "changePreprocess": True, "allLayers": True}
_MOST_PREPARED = 4  # pictures kept decoded, for the next class of the same one


class ServerEngine:
    """Everything behind the addresses below ``/api/``. Safe to use from several threads.

    Parameters
    ----------
    folder : Path
        For what is sent; whoever made it removes it.
    samples : path, optional
        A folder with pictures to begin with.
    warm : bool
        Compile what explains a model as soon as it is open, in the background.
    """

    def __init__(
        self, folder: Path, settings: ModelSettings | None = None, samples: str | Path | None = None, *,
        warm: bool = False,
    ) -> None:  # fmt: skip
        self.folder, self.models, self._warm = folder, Models(settings or ModelSettings()), warm
        self.images, self.samples = Images(), Samples(samples)
        self._lock = threading.Lock()
        self._prepared: OrderedDict[tuple[str, str, int], Feeds] = OrderedDict()

    def state(self) -> dict[str, Any]:
        """Return what the page begins with."""
        provider = resolve_device(str(self.models.settings.explainer.get("device") or "auto")).names[0]
        return {
            "version": __version__, "says": f"rsp-onnx {__version__} on this machine's server, {provider}",
            "models": [model.facts for model in self.models.all()], "samples": self.samples.listed(),
            "abilities": ABILITIES,
        }  # fmt: skip

    def add_model(self, path: Path, name: str, told: Told) -> bytes:
        """Open a model that was sent; the file becomes the server's own, and goes where the model is refused."""
        try:
            model = self.models.open(path, name, told)
        except BaseException:
            remove_alone(path)
            raise
        self.warm_up_later(model)
        return frame({"model": model.facts})

    def close_model(self, id: str) -> None:
        """Forget a model, and remove its file where it was sent."""
        model = self.models.close(id)
        with self._lock:
            for key in [key for key in self._prepared if key[1] == id]:
                del self._prepared[key]
        if model.path.is_relative_to(self.folder):
            remove_alone(model.path)

    def warm_up_later(self, model: ServedModel) -> None:
        """Compile what explains a model, in the background, where that is wanted."""
        if self._warm:
            in_background(lambda: self._warm_up(model))

    def _warm_up(self, model: ServedModel) -> None:
        """Compile before it is asked for, so that the first map is there at once."""
        method = self.models.settings.method
        if method not in [one["name"] for one in model.facts["methods"]]:
            return
        with contextlib.suppress(GoneError, RspError):  # told when somebody asks
            ready = self.models.explainer_of(model, method, Told())
            item = trial_item(ready.explainer)
            ready.get_ready(self.models.explainers.making, Told(), item)

    def explain(self, asked: ExplainRequest, told: Told) -> bytes:
        """Return the frame that answers a request to explain.

        Raises
        ------
        RspError
            As of ``Explainer``; RefusedError where the model or the image is not there.
        GoneError
            Nobody waits for it any more.
        """
        model, image = self.models.get(asked.model), self.images.get(asked.image)
        ready = self.models.explainer_of(model, asked.method, told)
        told.say("reading the image")
        with called(image.path, image.name), called(model.path, model.name):
            item = self._feeds(model, ready, image)
            self._get_ready(ready, item, asked, told)
            told.say("explaining")
            with told.holding(model.explaining):
                start = time.perf_counter()
                explained = self._explain(ready, item, asked)
                took = (time.perf_counter() - start) * 1000
                return _answer(ready, explained, asked, took)

    def _get_ready(self, ready: ReadyExplainer, item: Feeds, asked: ExplainRequest, told: Told) -> None:
        making, layers = self.models.explainers.making, bool(asked.tensors)
        ready.get_ready(
            making, told, item, layers=layers, targets=None if asked.targets is None else len(asked.targets)
        )
        if asked.ledger:
            ready.get_ready(making, told, item, layers=layers, targets=1, ledger=True)

    def _explain(self, ready: ReadyExplainer, item: Feeds, asked: ExplainRequest) -> list[Explanation]:
        """Explain; with layers, all that there are, so that the next one is there already."""
        targets = "auto" if asked.targets is None else list(asked.targets)
        tensors = (ready.reached or ()) if asked.tensors else ()
        return ready.explainer.explain_batch([item], targets, list(asked.hostile) or "none", tensors=tensors)[0]

    def preview(self, model_id: str, image_id: str) -> bytes:
        """Return the frame with a picture as the model gets it: uint8 [h, w, 4]."""
        model, image = self.models.get(model_id), self.images.get(image_id)
        ready = self.models.explainer_of(model, self.models.settings.method, Told())
        with called(image.path, image.name):
            item = self._feeds(model, ready, image)
            if item.geometry is None or model.preprocess is None:
                raise BadInput("There is no preview of tensors: the model gets them as they are.")
            size = item.geometry.tensor
            grey = ready.explainer.signatures[0].channels == 1
            order = "L" if grey else "RGB"
            wanted = InputSignature("preview", np.dtype(np.float32), (1, len(order), *size))
            plain = replace(
                model.preprocess, size=size, channels=order, scale=1.0, mean=(0.0,), std=(1.0,), name="preview"
            )
            seen = prepare(image.path, wanted, plain).tensor[0]
        return frame({}, {"pixels": _opaque(seen)})

    def _feeds(self, model: ServedModel, ready: ReadyExplainer, image: StoredImage) -> Feeds:
        """Return a picture as the model gets it, prepared once for several questions."""
        key = (str(image.facts["id"]), model.id, model.revision)
        with self._lock:
            found = self._prepared.get(key)
        if found is None:
            found = self.models.feeds(model, ready, image.path)
        with self._lock:
            self._prepared[key] = found
            self._prepared.move_to_end(key)
            while len(self._prepared) > _MOST_PREPARED:
                self._prepared.popitem(last=False)
        return found


def _answer(
    ready: ReadyExplainer, explained: list[Explanation], asked: ExplainRequest, milliseconds: float
) -> bytes:  # fmt: skip
    reached = set(ready.reached or ())
    return answer_frame(
        explained, layers=[name for name in asked.tensors if name in reached], channels=ready.channels,
        missing=[name for name in asked.tensors if name not in reached], ledger=asked.ledger, milliseconds=milliseconds,
    )  # fmt: skip


def _opaque(seen: Array) -> Array:
    """Return pixels [C, h, w] of 0..255 as RGBA [h, w, 4]."""
    pixels = np.clip(np.round(seen), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return np.dstack([colours, np.full(pixels.shape[:2], 255, np.uint8)])


def remove_alone(path: Path) -> None:
    """Remove a file that was sent, with the folder it has for itself."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
