"""The parts of a run on a Ray cluster: one worker per GPU, or per core; what a lost worker was doing is done again.

Every machine of the cluster must reach the model and the data under the same paths, and have this package installed.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from rsp_onnx.errors import BadInput, RspError
from rsp_onnx.evaluate.datasets.annotated import Dataset
from rsp_onnx.evaluate.metrics.protocol import Metric
from rsp_onnx.extras import need
from rsp_onnx.model.custom_ops import custom_op_libraries, register_custom_ops

from .local import LocalEngine
from .plan import Plan
from .settings import Settings
from .worker import Worker

_ATTEMPTS = 5  # of one part; a part that kills every worker must not go on for ever


class RemoteWorker:
    """What runs in an actor: a worker that returns the rows of a part."""

    def __init__(
        self, settings: Settings, dataset: Dataset, metrics: Sequence[tuple[str, Metric]], plan: Plan,
        schema: pa.Schema, libraries: Sequence[str],
    ) -> None:  # fmt: skip
        for library in libraries:
            register_custom_ops(library)
        self._engine = LocalEngine(Worker(settings, dataset, metrics), plan, schema)

    def ready(self) -> None:
        """Answer, which an actor can do only once it has been given its place."""

    def check(self) -> str:
        """Try every method; return the execution provider."""
        return self._engine.check()

    def part(self, number: int) -> pa.Table:
        """Return the rows of a part."""
        ((_, table),) = self._engine.run([number])
        return table


class RayEngine:
    """Does parts with actors of a Ray cluster; as many as it has GPUs, else cores."""

    def __init__(
        self, settings: Settings, dataset: Dataset, metrics: Sequence[tuple[str, Metric]], plan: Plan,
        schema: pa.Schema, address: str | None,
    ) -> None:  # fmt: skip
        self._ray = _connect(address)
        resources = self._ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if settings.explainer.get("device", "auto") != "cpu" else 0
        self._count = max(gpus or int(resources.get("CPU", 1)), 1)
        need = {"num_gpus": 1, "num_cpus": 0} if gpus else {"num_cpus": 1}
        self._actor = self._ray.remote(**need, max_restarts=0)(RemoteWorker)
        self._given = (_for_workers(settings, bool(gpus)), dataset, list(metrics), plan, schema, custom_op_libraries())

    def check(self) -> str:
        """Try every method in an actor; return the execution provider."""
        ray = self._ray
        for attempt in range(1, _ATTEMPTS + 1):
            actor = self._start()
            try:
                return str(ray.get(actor.check.remote(), timeout=None))
            except ray.exceptions.RayTaskError as error:
                raise _told(error) from error
            except ray.exceptions.RayActorError as error:
                if attempt == _ATTEMPTS:
                    raise BadInput(f"The Ray workers die before they begin: {_line(error)}.") from error
            finally:
                ray.kill(actor)
        raise AssertionError("unreachable")

    def run(self, parts: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
        """Yield (number, rows) of each part as it is done; a part whose worker is lost goes to another."""
        team = _Team(self._ray, self._start, min(self._count, len(parts)), parts)
        try:
            yield from team.results()
        finally:
            team.dismiss()

    def _start(self) -> Any:
        return self._actor.remote(*self._given)


class _Team:
    """Actors and what each of them is doing. A part is given only to an actor that has answered.

    After a machine is lost its actors' successors may wait for a place for ever; the others do their parts.
    """

    def __init__(self, ray: Any, start: Callable[[], Any], size: int, parts: Sequence[int]) -> None:
        self._ray, self._start = ray, start
        self._todo = list(reversed(parts))
        self._attempts = dict.fromkeys(parts, 0)
        self._false_starts = 0
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, int | None]] = {}  # by promise: actor and part; None while it starts
        for _ in range(size):
            self._hire()

    def results(self) -> Iterator[tuple[int, pa.Table]]:
        """Yield parts as they are done."""
        while self._todo or any(part is not None for _, part in self._busy.values()):
            while self._todo and self._idle:
                self._give(self._idle.pop())
            (promise,), _ = self._ray.wait(list(self._busy), num_returns=1)
            actor, part = self._busy.pop(promise)
            try:
                result = self._ray.get(promise)
            except self._ray.exceptions.RayTaskError as error:
                raise _told(error) from error
            except (self._ray.exceptions.RayActorError, self._ray.exceptions.ObjectLostError) as error:
                self._lost(part, error)
                continue
            self._idle.append(actor)
            if part is not None:
                yield part, result

    def dismiss(self) -> None:
        """End all actors."""
        for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
            self._ray.kill(actor)
        self._idle.clear()
        self._busy.clear()

    def _hire(self) -> None:
        actor = self._start()
        self._busy[actor.ready.remote()] = (actor, None)

    def _give(self, actor: Any) -> None:
        part = self._todo.pop()
        self._attempts[part] += 1
        self._busy[actor.part.remote(part)] = (actor, part)

    def _lost(self, part: int | None, error: Exception) -> None:
        """Have another actor do what a lost one was doing."""
        if part is None:
            self._false_starts += 1
        else:
            self._todo.append(part)
        if self._false_starts >= _ATTEMPTS:
            raise BadInput(f"The Ray workers die before they begin: {_line(error)}.") from error
        if part is not None and self._attempts[part] >= _ATTEMPTS:
            raise BadInput(
                f"Part {part} was given to {_ATTEMPTS} Ray workers and all were lost: {_line(error)}. It may need more "
                "memory than they have; try a smaller --batch-size."
            ) from error
        self._hire()


def _connect(address: str | None) -> Any:
    """Return ray, connected; BadInput where it is not installed or there is no cluster."""
    ray = need("ray", "--engine ray")
    if not ray.is_initialized():
        _knock(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise BadInput(f"There is no Ray cluster at {address!r}: {_line(error)}.") from error
    return ray


def _knock(address: str | None) -> None:
    """Raise BadInput where nobody listens at HOST:PORT; Ray itself would try for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:  # auto, local, ray://..., or one started here
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise BadInput(f"There is no Ray cluster at {address!r}: {_line(error)}; see `ray status`.") from error


def _for_workers(settings: Settings, gpu: bool) -> Settings:
    """Return settings whose workers use the one core they were promised, where the user did not say otherwise."""
    if gpu or settings.explainer.get("threads"):
        return settings
    return replace(settings, explainer={**settings.explainer, "threads": 1})


def _told(error: Any) -> Exception:
    """Return the library's own error where it was one that ended the task."""
    cause = error.cause
    if isinstance(cause, RspError):
        for kind in type(cause).__mro__:  # Ray makes a class of its own of it
            if kind.__module__ == RspError.__module__:
                own: Exception = kind(str(cause.args[0]) if cause.args else str(cause))
                return own
    return RuntimeError(str(error))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
