"""The command that measures: ratios of samples in turn, busy figures marked, what is absent said, files written."""

import csv
import importlib
import itertools
import subprocess
import sys

import numpy as np
import onnx
import pytest

from .little import conv_net, table_net


@pytest.fixture
def measure(repo, monkeypatch):
    """Import a module of benchmarks/measure by name."""
    monkeypatch.syspath_prepend(str(repo))
    return lambda name: importlib.import_module(f"benchmarks.measure.{name}")


def test_ratios_are_between_samples_of_one_round(measure, monkeypatch):
    """The machine gets twice as slow in every round; the one thing takes three times the other's time."""
    clock, now, pace = measure("clock"), [0.0], itertools.count()
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])

    def takes(seconds):
        def run():
            now[0] += seconds * 2 ** (max(0, next(pace) - 4) // 2)

        return run

    plain, slow = clock.in_turn({"plain": takes(1.0), "slow": takes(3.0)}, 5)
    assert (plain.median, plain.low, plain.high) == (4.0, 2.0, 8.0)
    assert (slow.median, slow.ratio, slow.ratio_low, slow.ratio_high) == (12.0, 3.0, 3.0, 3.0)


def test_everything_is_run_once_in_turn(measure):
    """So that each run finds the caches as another left them."""
    order = []
    figures = measure("clock").in_turn({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 5  # twice to warm up
    assert all(0 < figure.median < 1e-4 for figure in figures)


def test_figures_of_a_busy_machine_are_marked(measure):
    clock, report, runner = measure("clock"), measure("report"), measure("runner")
    rows = [
        runner.Row("digits", method, 1, clock.Figure(name, 0.01, 0.009, 0.011, 2.0, 1.9, 2.1, others))
        for method, others in (("rsp", 0.02), ("gradient", 0.5))
        for name in ("plain", "explain")
    ]
    text = report.markdown(runner.Results(rows, ["VGG-16: PyTorch is missing"]), "0.10 0.10 0.10")
    assert "| digits (96²) | rsp | 1 | 10.0 | 10.0 | 2.00 [1.90, 2.10] | 0.02 |" in text
    assert "| digits (96²) | gradient | 1 | 10.0\\* | 10.0\\* | 2.00 [1.90, 2.10] | 0.50 |" in text
    assert "* VGG-16: PyTorch is missing" in text
    assert "Load average before 0.10 0.10 0.10" in text


def test_a_model_that_is_not_there_is_said(measure, tmp_path):
    models = measure("models")
    assert "is not there; say where with --data" in models.find("mobilenet_v2", tmp_path, tmp_path).why
    assert "no such file" in models.find("nothing.onnx", tmp_path).why
    results = measure("runner").measure([models.find("squeezenet", tmp_path, tmp_path)], None, tmp_path)
    assert results.failed and "SqueezeNet 1.1: " in results.failed[0]


@pytest.mark.slow
def test_the_command_writes_its_files(repo, tmp_path):
    """Two small graphs and a broken one, measured in processes of their own."""
    folder, out = tmp_path / "graphs", tmp_path / "out"
    folder.mkdir()
    onnx.save(conv_net(), folder / "conv.onnx")
    onnx.save(table_net(), folder / "table.onnx")
    (folder / "broken.onnx").write_bytes(b"no model")
    said = run(repo, "--graphs", folder, "--out", out, "--runs", 3)
    assert "rsp, 1 thread(s): 2 graphs, explain / forward" in said
    assert "* broken: " in said
    said = run(repo, "--models", folder / "conv.onnx", "--methods", "rsp", "--threads", 1, "--runs", 3, "--out", out,
               "--kinds", "explain", "exported", "many", "memory")  # fmt: skip
    rows = list(csv.DictReader((out / "measured.csv").read_text(encoding="utf-8").splitlines()))
    figures = {row["figure"]: float(row["median"]) for row in rows}
    assert {"plain", "explain", "exported", "exported, N = K = 1", "explain, 8 samples", "memory, plain",
            "memory, explain", "first explanation"} <= figures.keys()  # fmt: skip
    assert all(value > 0 for value in figures.values())
    assert (out / "measured.png").read_bytes().startswith(b"\x89PNG")
    assert all(title in said for title in ("exported file", "Several at once", "Peak resident", "Before the first map"))


def run(repo, *arguments):
    command = [sys.executable, "-m", "benchmarks.measure", *map(str, arguments)]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- what costs are told by ----


def test_the_fit_finds_the_rates_that_made_the_figures(repo, monkeypatch):
    """Times and peaks made up from known rates, every model on a machine of another pace: ratios do not see that."""
    pytest.importorskip("scipy")
    monkeypatch.syspath_prepend(str(repo))
    fit, draw = importlib.import_module("benchmarks.calibrate"), np.random.default_rng(0)
    rates = {kind: (1e-6, 1e-11 * (i + 1) * (kind in fit.WITH_PRODUCTS), 1e-10) for i, kind in enumerate(fit.Kind)}
    rates[fit.Kind.NOTHING] = (1e-6, 0.0, 0.0)
    memory = (1.0, 1.5, 1.0, 1.2, 20_000.0, 4e6)

    def seconds(total):
        return sum(n * r for kind, row in total.by_kind.items() for n, r in zip(row, rates[kind], strict=True))

    def some(size):
        total = fit.Amounts()
        for kind in fit.Kind:
            products = int(draw.integers(1, 9) * size * 50) if kind in fit.WITH_PRODUCTS else 0
            total.by_kind[kind] = (int(draw.integers(1, 300)), products, int(draw.integers(1, 9) * size))
        return total

    runs = []
    for pace in draw.uniform(0.5, 2, 40):
        explain, forward = some(1e8), some(1e7)
        parts = tuple(int(n) for n in draw.integers(1, 100, 5) * np.array([1e6, 1e6, 1e6, 1e6, 50]))
        ratio = (seconds(explain) + 3e-5 + 5e-4) / (seconds(forward) + 3e-5)
        weights, copied, filters, live, nodes, least = (a * b for a, b in zip((*parts, 1), memory, strict=True))
        peak = weights + max(copied + nodes, filters + live) + least
        runs.append(fit.Run("m", explain, forward, parts, 0.0, 1, pace * seconds(forward) * ratio, ratio, peak))
    monkeypatch.setattr(fit, "ABSOLUTE", 0.001)  # the paces are in the times alone
    fitted = {**fit.fit_times(runs, 0.001), **fit.fit_memory(runs, 0.001)}
    names = ("WEIGHTS", "COPIED", "FILTERS", "LIVE", "NODE", "LEAST")
    written = {}
    text = fit.text_of(fitted, "a test").replace("from .amounts", "from rsp_onnx.cost.amounts")
    exec(compile(text, "rates", "exec"), written)
    assert written["MEASURED"] == "a test"
    for name in ("SECONDS", "RUN", "CALL", *names):
        monkeypatch.setattr(fit.rates, name, written[name])
    assert [r.told for r in runs] == pytest.approx([r.ratio for r in runs], rel=0.02)
    assert "Within 20%: 40 of 40 ratios, 40 of 40 peaks." in fit.table(runs)


@pytest.mark.slow
def test_starts_are_measured_in_turn(repo, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(repo))
    starts = importlib.import_module("benchmarks.starts")
    command = ["starts", repo / "models/digits_pytorch.onnx", repo / "models/scenes/scene_0.png", "--runs", "1"]
    monkeypatch.setattr("sys.argv", list(map(str, command)))
    starts.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| import onnx, onnxruntime", "| rsp-onnx --version", "| rsp-onnx explain, first (--no-cache)",
        "| rsp-onnx explain, from the cache",
    ]  # fmt: skip
