"""Running a compiled model: the provider found once and quietly, weights handed over without copies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from rsp_onnx.devices.device import CUDA, Resolved, resolve_device
from rsp_onnx.errors import BadInput, BadModel, OutOfMemory, UnsupportedOp
from rsp_onnx.model.custom_ops import custom_op_libraries

from .guard import LEVELS, safe_level
from .meanwhile import start_waiting
from .ready import Ready, hand_over

if TYPE_CHECKING:
    import onnx_ir as ir

# planning which tensors share memory takes the square of their number, 0.3 s for 1100 nodes; without the plan memory is
# still freed after its last reader
_MANY_NODES = 500
_PLACE = re.compile(r"^\S+\.(?:cc|h):\d+ \S.*\) (?=\S)")
# what the runtime's arena says where it cannot grow, with the size or without
_MEMORY = re.compile(
    r"(?:Failed to allocate memory for requested buffer of size (\d+)|out of memory|bad allocation)", re.I
)


class Session:
    """One ONNX Runtime session; safe to use from several threads.

    Parameters
    ----------
    model : onnx_ir.Model or Ready
        May be above 2 GiB: large weights are handed over in memory, not serialised.
    device : str
        ``auto`` (CUDA where it works, else CPU), ``cpu``, ``cuda:1,use_tf32=0``, ...: see ``Device.read``. ``note``
        tells why another one runs; empty where none does.
    threads : int, optional
        Threads within one op; default: as many as cores.
    spinning : bool
        Threads without work keep their core busy; without, they take longer to wake, but leave it to others.
    guarded : bool
        A process of its own loads the model first (see ``guard``); ``level`` then tells a lowered optimisation.
    keep : Path, optional
        Where ONNX Runtime writes the model as it optimised it, on the CPU; from a ``Ready`` of that file it is loaded
        again as it is.
    probing : bool
        For a run that only reads shapes: none is inferred, and tensors are freed as early as can be.

    Raises
    ------
    DeviceUnavailable
        ``cuda`` was asked for and does not work here.
    """

    def __init__(
        self, model: ir.Model | Ready, device: str = "auto", threads: int | None = None, *, guarded: bool = False,
        keep: Path | None = None, spinning: bool = True, probing: bool = False,
    ) -> None:  # fmt: skip
        self.threads, self.spinning = threads, spinning
        ready = model if isinstance(model, Ready) else _made_ready(model)
        data = ready.model
        if probing:
            ready = replace(ready, level=LEVELS[-1])
        self.level = safe_level(data) if guarded and isinstance(data, bytes) and not ready.weights else ready.level
        where = resolve_device(device)
        self.note = where.note
        options = _options(ready, threads, self.level)
        where.suit(options)
        if not spinning:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if probing:  # nodes that read a shape run as soon as they can
            options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        if keep is not None:
            _keep(options, keep, bool(ready.weights))
        start_waiting()
        self._session = _create(ready.model, options, where)
        self._weights = ready.weights  # the session reads them where they are, as long as it lives
        self._provider = str(self._session.get_providers()[0])
        self.inputs: tuple[str, ...] = tuple(v.name for v in self._session.get_inputs())
        self.outputs: tuple[str, ...] = tuple(v.name for v in self._session.get_outputs())

    @cached_property
    def _wanted(self) -> list[tuple[str, np.dtype[np.generic], tuple[object, ...]]]:
        """Name, dtype and shape of every input; asked of the runtime once."""
        return [(v.name, numpy_type(v.type), tuple(v.shape)) for v in self._session.get_inputs()]

    @property
    def provider(self) -> str:
        """The execution provider that runs it, by ONNX Runtime's name."""
        return self._provider

    def run(self, feeds: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Run once; results by output name.

        Raises
        ------
        BadInput
            A feed is missing, superfluous, or of the wrong shape or dtype.
        OutOfMemory
            The device has too little.
        """
        wanted = list(outputs) if outputs is not None else list(self.outputs)
        self._check(feeds)
        if not wanted:  # ONNX Runtime takes an empty list for all outputs
            return {}
        try:
            results = self._bound(wanted, feeds) if self.provider == CUDA else self._session.run(wanted, dict(feeds))
        except Exception as error:  # ONNX Runtime raises its own unrelated types
            wanting = _MEMORY.search(str(error))
            if wanting is not None:
                raise OutOfMemory(self.provider, int(wanting[1] or 0)) from error
            raise BadModel(f"ONNX Runtime could not run the model: {_first_line(error)}.") from error
        return {name: np.asarray(r) for name, r in zip(wanted, results, strict=True)}

    def _bound(self, wanted: Sequence[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Run with IO binding: one copy to the device, one back, nothing allocated on the host between."""
        binding = self._session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, np.ascontiguousarray(array))
        for name in wanted:
            binding.bind_output(name, "cpu")
        self._session.run_with_iobinding(binding)
        return list(binding.copy_outputs_to_cpu())

    def _check(self, feeds: Mapping[str, np.ndarray]) -> None:
        missing = [n for n in self.inputs if n not in feeds]
        extra = [n for n in feeds if n not in self.inputs]
        if missing or extra:
            what = f"no value for {missing[0]!r}" if missing else f"the model has no input {extra[0]!r}"
            raise BadInput(f"The inputs do not fit: {what}; it needs {', '.join(map(repr, self.inputs))}.")
        for name, wanted, shape in self._wanted:
            _check_feed(name, wanted, shape, feeds[name])


def _made_ready(model: ir.Model) -> Ready:
    from .serialise import made_ready  # onnx_ir takes a second to import, which a model from the cache does not need

    return made_ready(model)


def _options(ready: Ready, threads: int | None, level: str) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors reach the caller as exceptions
    for library in custom_op_libraries():
        options.register_custom_ops_library(library)
    options.add_session_config_entry("session.disable_prepacking", "1")  # halves the memory, no slower
    options.enable_mem_reuse = ready.nodes < _MANY_NODES
    if threads is not None:
        options.intra_op_num_threads = threads
    if ready.weights:
        hand_over(options, ready.weights)
    level = LEVELS[-1] if ready.optimised else level
    if level != LEVELS[0]:
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    return options


def _keep(options: ort.SessionOptions, path: Path, large: bool) -> None:
    options.optimized_model_filepath = str(path)
    if large:
        key = "session.optimized_model_external_initializers"
        options.add_session_config_entry(f"{key}_file_name", f"{path.name}.data")
        options.add_session_config_entry(f"{key}_min_size_in_bytes", "1024")


def _check_feed(name: str, wanted: np.dtype[np.generic], shape: Sequence[object], array: np.ndarray) -> None:
    if array.dtype != wanted:
        raise BadInput(f"The input {name!r} must be {wanted}, not {array.dtype}.")
    fits = len(shape) == array.ndim and all(
        not isinstance(d, int) or d == size for d, size in zip(shape, array.shape, strict=True)
    )
    if not fits:
        want = tuple(d if isinstance(d, int) else "any" for d in shape)
        raise BadInput(f"The input {name!r} must have the shape {want}, not {array.shape}.")


def numpy_type(name: str) -> np.dtype[np.generic]:
    """Return the numpy dtype of ONNX Runtime's type name, such as ``tensor(float16)``."""
    word = name.removeprefix("tensor(").removesuffix(")")
    found = _PLAIN_TYPES.get(word)
    if found is None:
        import onnx_ir as ir  # the small floats and half bytes

        found = ir.DataType[word.upper()].numpy()
    return np.dtype(found)


_PLAIN_TYPES: dict[str, Any] = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "bool": np.bool_, "string": np.object_,
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip


def _create(model: bytes | Path, options: ort.SessionOptions, where: Resolved) -> ort.InferenceSession:
    try:
        # without the fallback of ONNX Runtime's own, which prints and goes on with other providers
        return ort.InferenceSession(model, options, providers=list(where.providers), enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises its own unrelated types
        line = _first_line(error)
        if "is not a registered function/op" in line:
            hint = "load the library that has the op with --custom-ops"
            raise UnsupportedOp(f"ONNX Runtime cannot load the model: {line}; {hint}.") from error
        if where.asked.options:
            told = ", ".join(f"{key}={value}" for key, value in where.asked.options.items())
            raise BadInput(f"{where.names[0]} does not start with {told}: {line}.") from error
        raise BadModel(f"ONNX Runtime cannot load the model: {line}.") from error


def _first_line(error: Exception) -> str:
    """Return what an error says, without the place in ONNX Runtime's source that some begin with."""
    line = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
    return _PLACE.sub("", line)
