"""Explain every graph of a folder by every method, each graph in a process of its own, and say what came of it.

python benchmarks/battery/methods.py FOLDER [--half small] [--only PART] [--jobs 2] [--seconds 600] [--out table.md]

Methods of many steps take few. Exits with 1 where a method crashes, runs out of time, gives what is not finite, or
emits what ONNX Runtime does not load or run; a refusal must be an error of the library's own, in a sentence. The table
counts, by method, the graphs that are explained, zero and refused; every refusal's reason is listed below.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from explain_one import free_sizes, place_of, random_input, verdict_of
from run import PRELOADED
from shelf import read

FEW = {
    "rise": ":masks=12", "occlusion": ":window=0.5,stride=0.5", "smooth-grad": ":samples=2",
    "integrated-gradients": ":steps=2",
}  # fmt: skip
BAD = ("crashed", "timed out", "not finite")
Rows = dict[str, tuple[str, str]]  # by method: the verdict, and why


def explained(path: Path) -> Rows:
    """Explain one graph by all methods; what analyses share is done once."""
    from rsp_onnx import methods
    from rsp_onnx.compiler.analysis import Needs, analyse
    from rsp_onnx.errors import RspError
    from rsp_onnx.explain.compile import needs_of
    from rsp_onnx.model.load import load_model

    loaded, analyses, rows = load_model(path), dict[Needs, Any](), Rows()
    for method in (m["name"] + FEW.get(m["name"], "") for m in methods()):
        name = method.partition(":")[0]
        try:
            needs = needs_of(method)
            if needs not in analyses:
                analyses[needs] = analyse(loaded, needs=needs, input_shapes=free_sizes(loaded.ir))
            rows[name] = verdict_of(relevances(analyses[needs], method)), ""
        except RspError as error:
            failed = "ONNX Runtime" in str(error)  # what we emitted does not load or run
            rows[name] = "crashed" if failed else "refused", f"{type(error).__name__}: {error}"
        except Exception as error:
            first = (str(error).strip().splitlines() or [""])[0][:200]
            rows[name] = "crashed", f"{type(error).__name__}: {first} ({place_of(error)})"
    return rows


def relevances(analysis: Any, method: str) -> list[np.ndarray]:
    """Return the relevance of all inputs for class 0."""
    from rsp_onnx.explain.compile import compile_ir
    from rsp_onnx.model.session import Session

    session = Session(compile_ir(analysis, method), "cpu", 1)
    own = {str(v.name): v for v in analysis.graph.model.graph.inputs}
    feeds = {n: random_input(own[n]) for n in session.inputs if n not in ("target", "hostile")}
    batch = analysis.graph.batch or next(len(x) for x in feeds.values() if x.ndim)
    feeds |= {"target": np.zeros((1, batch), np.int64), "hostile": np.zeros((1, batch, 0), np.int64)}
    results = session.run({n: feeds[n] for n in session.inputs})
    return [r for name, r in results.items() if name.startswith("relevance")]


def attempt(path: Path, seconds: float) -> Rows:
    """Run one graph in a process of its own; what ends the process or its time is a row, too."""
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, path))
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            return {"all methods": ("timed out", f"not done within {seconds:.0f} s")}
        rows: Rows = receiver.recv()
        return rows
    except EOFError:
        process.join()
        return {"all methods": ("crashed", f"the process ended with exit code {process.exitcode}")}
    finally:
        process.kill()
        process.join()


def _child(sender: Connection, path: Path) -> None:
    sender.send(explained(path))


def table(rows: dict[str, Rows]) -> str:
    """Lay the counts out by method, with the reasons of refusals and all that is bad below."""
    verdicts = ("explained", "zero", "refused", *BAD)
    names = dict.fromkeys(method for row in rows.values() for method in row)
    lines = ["| method | " + " | ".join(verdicts) + " |", "|---" + "|--:" * len(verdicts) + "|"]
    for method in names:
        counts = Counter(row[method][0] for row in rows.values() if method in row)
        lines.append(f"| {method} | " + " | ".join(str(counts[v] or "") for v in verdicts) + " |")
    total = Counter(verdict for row in rows.values() for verdict, _ in row.values())
    lines += ["", f"{len(rows)} graphs: " + ", ".join(f"{n} {word}" for word, n in total.most_common()) + ".", ""]
    for wanted in ("refused", *BAD):
        found = [(g, m, why) for g, row in rows.items() for m, (verdict, why) in row.items() if verdict == wanted]
        lines += [f"* {wanted}: {g}, {m}: {why}" for g, m, why in found]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="part of the names to run")
    parser.add_argument("--half", choices=("small", "full"), default="full")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--seconds", type=float, default=600.0, help="time limit of one graph")
    parser.add_argument("--out", type=Path, help="markdown file to write; default: standard output")
    a = parser.parse_args()
    sys.path.append(str(Path(__file__).resolve().parents[2]))  # behind an installed rsp_onnx and PYTHONPATH
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    known = read(a.folder)["graphs"] if (a.folder / "manifest.json").exists() else {}
    paths = [path for path in sorted(a.folder.glob("*.onnx")) if a.only in path.stem]
    if a.half == "small":
        paths = [path for path in paths if known.get(path.stem, {}).get("half") == "small"]

    def one(path: Path) -> tuple[str, Rows]:
        row = attempt(path, a.seconds)
        counts = Counter(verdict for verdict, _ in row.values())
        print(f"{path.stem}: " + ", ".join(f"{n} {v}" for v, n in counts.items()), file=sys.stderr, flush=True)
        return path.stem, row

    with ThreadPoolExecutor(a.jobs) as pool:
        rows = dict(pool.map(one, paths))
    text = table(rows)
    if a.out:
        a.out.write_text(text, encoding="utf-8")
    print(text if not a.out else text[text.rindex("graphs: ") - 4 :])
    return int(not rows or any(v in BAD for row in rows.values() for v, _ in row.values()))


if __name__ == "__main__":
    sys.exit(main())
