"""Plans the measurements and runs each in a process of its own, one at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rsp_onnx.errors import RspError
from rsp_onnx.model.load import load_model

from .clock import Figure
from .job import MANY, Task
from .models import REPO, Found, batch_is_free, feeds_for

LIMIT = 1800  # seconds of one measurement


@dataclass(frozen=True)
class Plan:
    """What is measured: kinds by name (see ``KINDS`` of job.py), of every model by every method."""

    methods: Sequence[str]
    threads: Sequence[int] = (1, 2)
    runs: int = 15
    kinds: Sequence[str] = ("explain", "exported", "many", "memory", "beside")


@dataclass(frozen=True)
class Row:
    """One figure of one model by one method."""

    model: str
    method: str
    threads: int
    figure: Figure


@dataclass
class Results:
    """All figures, and what could not be measured and why."""

    rows: list[Row] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, task: Task, name: str) -> None:
        """Run one measurement and keep what it gives."""
        method = "-" if task.kind == "memory of forward" else task.method
        print(f"{name}, {method}, {task.threads} thread(s): {task.kind}", file=sys.stderr, flush=True)
        try:
            figures = alone(task)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            self.failed.append(f"{name}, {method}, {task.threads} thread(s), {task.kind}: {error}")
            return
        self.failed += [f"{name}, {f.name}" for f in figures if f.unit == "absent"]
        self.rows += [Row(name, method, task.threads, f) for f in figures if f.unit != "absent"]


def alone(task: Task) -> list[Figure]:
    """Run one measurement in a new process, with an empty cache of compiled explainers.

    Raises
    ------
    ValueError
        It fails; the message is its last line.
    subprocess.TimeoutExpired
        It takes longer than ``LIMIT``.
    """
    command = [sys.executable, "-m", "benchmarks.measure.job", json.dumps(asdict(task))]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "RSP_ONNX_CACHE": cache}
        done = subprocess.run(
            command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    return [Figure(**row) for row in json.loads(done.stdout.strip().splitlines()[-1])]


def measure(
    found: Sequence[Found], plan: Plan, work: Path, keep: Callable[[Results], None] = lambda results: None
) -> Results:
    """Measure all models; what is not there or fails is among ``failed``.

    work: a folder for inputs. keep: is given what there is after every model, so that a run that is stopped left that.
    """
    results = Results()
    for model in found:
        if model.path is None:
            results.failed.append(f"{model.title}: {model.why}")
            continue
        try:
            base = _task(model.path, work)
        except RspError as error:
            results.failed.append(f"{model.title}: {error}")
            continue
        for changes in tasks(plan):
            results.add(Task(**{**asdict(base), **changes}), model.name)
        keep(results)
    return results


def tasks(plan: Plan) -> Iterator[dict[str, Any]]:
    """Yield what each measurement of one model changes of a task; whatever is taken once, on one thread."""
    one = {"runs": plan.runs, "threads": plan.threads[0]}
    if "memory" in plan.kinds:
        yield {**one, "kind": "memory of forward"}
    for method in plan.methods:
        for threads in plan.threads if "explain" in plan.kinds else ():
            yield {**one, "kind": "explain", "method": method, "threads": threads}
        for kind in ("exported", "many", "beside"):
            if kind in plan.kinds:
                yield {**one, "kind": kind, "method": method}
        if "memory" in plan.kinds:
            yield {**one, "kind": "memory of explaining", "method": method}


def _task(path: Path, work: Path) -> Task:
    """Write made-up inputs for a model; return a task to be changed."""
    loaded, feeds, wide = load_model(path), work / f"{path.stem}.npz", ""
    np.savez(feeds, **feeds_for(loaded))  # type: ignore[arg-type]
    if batch_is_free(loaded):
        wide = str(work / f"{path.stem}.{MANY}.npz")
        np.savez(wide, **feeds_for(loaded, MANY))  # type: ignore[arg-type]
    return Task("explain", str(path.resolve()), str(feeds), wide=wide)
