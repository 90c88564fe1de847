"""Writing the folder, whole or not at all."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rsp_onnx.attribution.catalogue import find_method
from rsp_onnx.errors import BadInput, BadOutput
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.files import make_folder, save_bytes, save_json
from rsp_onnx.inputs.presets import PRESETS
from rsp_onnx.inputs.tensors import image_signature
from rsp_onnx.types import Progress
from rsp_onnx.version import __version__
from rsp_onnx.web import built
from rsp_onnx.web.facts import method_facts, model_facts, trial_item
from rsp_onnx.web.samples import sample_photos

from .explainers import input_shape, wanted, write_explainers
from .samples import write_samples

_FACTS = "page.json"  # by which a folder that this wrote is known


def write_page(
    models: Sequence[str | Path], folder: str | Path, *, labels: Sequence[str | Path] = (),
    methods: Sequence[str] = ("rsp",), images: str | Path | None = None, layers: bool = True,
    progress: Progress | None = None, options: Mapping[str, Any] | None = None,
    preprocess: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write a folder with the page, the compiled explainers and all they need, for any web space.

    A folder that this wrote before is replaced; another that is not empty is refused.

    Parameters
    ----------
    models : sequence of path
        Classifiers of photographs.
    labels : sequence of path
        One for all models, or one for each.
    methods : sequence of str
        Those the page offers, each with files of its own.
    images : path, optional
        A folder whose photographs, the first 24 by name, become samples.
    layers : bool
        Write the files that return every layer's map too.
    progress : callable, optional
        Called with (files done, files in all).
    options : mapping, optional
        ``output``, ``section``, ``region``, ``class_axis``, ``class_rows`` of ``save_explainer``.
    preprocess : mapping, optional
        ``preprocess`` and its single values, as of ``Explainer``.

    Returns
    -------
    dict
        ``folder``, ``bytes``, ``models`` (name, methods, bytes, warnings each), ``samples``.

    Raises
    ------
    BadInput
        There is no model, one is no classifier of photographs, labels do not fit, or the page is not built.
    BadModel, UnsupportedOp
        A model cannot be explained.
    BadOutput
        The folder cannot be written, or holds something else.
    """
    first, target = built.index_html("browser", built.BUILT), Path(folder)
    _check(models, labels, target)
    samples = sample_photos(images) if images is not None else []
    for method in methods:
        find_method(method)
    make_folder(target.absolute().parent)
    with _scratch(target) as scratch:
        place = scratch / "page"
        shutil.copytree(built.BUILT, place)
        save_bytes(place / "index.html", first.encode())
        told = []
        for number, model in enumerate(models):
            own = labels[number if len(labels) > 1 else 0] if labels else None
            explainer = Explainer(model, labels=own, method=methods[0], **(options or {}), **(preprocess or {}))
            told.append(_Model(Path(model), number, explainer, methods, layers, dict(options or {})).write(place, own))
            if progress is not None:
                progress(number + 1, len(models))
        found = write_samples(samples, place / "samples")
        presets = {name: preset.to_dict() for name, preset in PRESETS.items()}
        pages = [{key: value for key, value in one.items() if key != "warnings"} for one in told]
        save_json(place / _FACTS, {"version": __version__, "presets": presets, "models": pages, "samples": found})
        _put(place, target, scratch)
    return _summary(target, told, len(found))


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """Give a folder beside the target, and remove it; what the disk refuses is one sentence."""
    scratch: Path | None = None
    try:
        scratch = Path(tempfile.mkdtemp(dir=target.absolute().parent, prefix=".rsp-onnx-page-"))
        yield scratch
    except OSError as error:
        raise BadOutput(f"The folder {target} cannot be written: {error.strerror or error}.") from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


class _Model:
    """One model of the page."""

    def __init__(
        self, path: Path, number: int, explainer: Explainer, methods: Sequence[str], layers: bool,
        options: dict[str, Any],
    ) -> None:  # fmt: skip
        self.path, self.explainer, self.methods, self.layers, self.options = path, explainer, methods, layers, options
        self.id = f"{number}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', path.stem)[:40]}"

    def write(self, place: Path, labels: str | Path | None) -> dict[str, Any]:
        """Write its files; return ``PageModel`` of web/src/engine/browser.ts, and the warnings."""
        source = None if labels is None else Path(labels).name
        facts = model_facts(self.explainer, id=self.id, name=self.path.name, labels_source=source)
        if facts["kind"] != "photo":
            raise BadInput(
                f"{self.path.name} takes no photographs ({facts['kind']}), and a page without Python reads nothing "
                "else yet: use rsp-onnx serve."
            )
        signature = image_signature(self.explainer.signatures)
        want = wanted(signature, self.explainer.preprocess)
        folder = make_folder(place / "models" / self.id)
        names = [layer["tensor"] for layer in facts["layers"]] if self.layers else []
        analysis = self.explainer.analyse(trial_item(self.explainer))
        shapes = {signature.name: input_shape(want)}
        files = {
            method: write_explainers(
                self.path, folder, method, analysis, names, input_shapes=shapes, **self.options
            )
            for method in self.methods
        }  # fmt: skip
        warnings = [*facts["warnings"], *dict.fromkeys(w for one in files.values() for w in one.pop("warnings"))]
        facts["methods"] = [method_facts(find_method(method)) | {"name": method} for method in self.methods]
        return {
            "facts": facts, "input": signature.name, "wanted": want, "scores": analysis.output_name,
            "files": {method: {k: _address(self.id, v) for k, v in one.items()} for method, one in files.items()},
            "warnings": warnings,
        }  # fmt: skip


def _address(id: str, name: str | None) -> str | None:
    return None if name is None else f"models/{id}/{name}"


def _check(models: Sequence[str | Path], labels: Sequence[str | Path], target: Path) -> None:
    """Refuse before any work what cannot end well."""
    if not models:
        raise BadInput("There is no model to write a page for; give at least one.")
    if len(labels) not in (0, 1, len(models)):
        raise BadInput(f"There are {len(labels)} label files for {len(models)} models: give one for all, or one each.")
    if target.is_file():
        raise BadOutput(f"{target} is a file: give a folder.")
    if target.is_dir() and any(target.iterdir()) and not (target / _FACTS).is_file():
        raise BadOutput(f"The folder {target} holds something else than a page: give an empty or a new one.")


def _put(place: Path, target: Path, scratch: Path) -> None:
    """Move the folder to its place; what stood there is gone only when the new one is there."""
    before = scratch / "before"
    place.chmod(0o755)
    if target.exists():
        target.rename(before)
    try:
        place.rename(target)
    except OSError:
        if before.exists():
            before.rename(target)
        raise


def _summary(target: Path, told: Sequence[dict[str, Any]], samples: int) -> dict[str, Any]:
    models = [
        {
            "name": one["facts"]["name"], "methods": list(one["files"]), "warnings": one["warnings"],
            "bytes": sum(p.stat().st_size for p in (target / "models" / one["facts"]["id"]).iterdir()),
        }
        for one in told
    ]  # fmt: skip
    size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file())
    return {"folder": str(target), "bytes": size, "models": models, "samples": samples}
