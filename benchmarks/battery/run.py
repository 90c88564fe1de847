"""Explain every graph of a folder, each in a process of its own, and write a table of what came of it.

python benchmarks/battery/run.py FOLDER --out table.md --seconds 120 --gigabytes 8 --jobs 2

"conserves" is ΣR at the inputs over ΣR at the section, "gained" their difference as a share of Σ|R| at the section
(ΣR may be near zero there), "worst node" that of the one node that makes or loses most.

The folder's manifest.json (see shelf.py) says what each graph is. Exits with 1 if anything crashed or ran out of time,
or if a classifier that has positions, tokens or time steps is not explained with finite, non-zero relevance.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from shelf import EXPLAINABLE, read

COLUMNS = (
    "graph",
    "verdict",
    "finite",
    "section",
    "conserves",
    "gained",
    "worst node",
    "seconds",
    "peak MiB",
    "reason",
)
PRELOADED = ["explain_one", "rsp_onnx.explain.compile", "rsp_onnx.rules"]  # imported once, before the processes fork
NOTICED = 0.01  # of the relevance at the section: what a node may make or lose without being named
Row = dict[str, Any]


def attempt(path: Path, seconds: float, gigabytes: float) -> Row:
    """Explain one graph in a new process under limits; a crash or a time-out is a row like any other."""
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, path, gigabytes))
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            return {"verdict": "timed out", "reason": f"not done within {seconds:.0f} s", "seconds": seconds}
        row: Row = receiver.recv()
        return row
    except EOFError:
        process.join()
        return {"verdict": "crashed", "reason": f"the process ended with exit code {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def _child(sender: Connection, path: Path, gigabytes: float) -> None:
    from explain_one import limited

    sender.send(limited(path, gigabytes))


def run(folder: Path, only: str, half: str, jobs: int, seconds: float, gigabytes: float) -> dict[str, Row]:
    """Explain the graphs of a folder, some at a time; return the rows by name."""
    known = read(folder)["graphs"]
    paths = [path for path in sorted(folder.glob("*.onnx")) if only in path.stem]
    if half == "small":
        paths = [path for path in paths if known.get(path.stem, {}).get("half") == "small"]

    def one(path: Path) -> tuple[str, Row]:
        row = attempt(path, seconds, gigabytes) | {"kind": known.get(path.stem, {}).get("kind")}
        print(f"{path.stem}: {row['verdict']}. {row.get('reason', '')}", file=sys.stderr, flush=True)
        return path.stem, row

    with ThreadPoolExecutor(jobs) as pool:
        return dict(pool.map(one, paths))


def is_bad(row: Row) -> bool:
    """Tell whether a row makes the battery fail."""
    if row["verdict"] in ("crashed", "timed out"):
        return True
    if row.get("broken"):  # the exporter's fault
        return False
    if row.get("unexplained"):  # relevance lost where no rule says that it may be
        return True
    return row["kind"] in EXPLAINABLE and row["verdict"] != "explained"


def line(name: str, row: Row) -> str:
    """Lay one row out."""
    finite = {True: "yes", False: "no", None: ""}[row.get("finite")]
    reason = row.get("reason", "") if row["verdict"] != "explained" else ""
    reason += "".join(f" {node} loses relevance without a reason." for node in row.get("unexplained", []))
    reason += "" if row.get("scores finite", True) else " The model's own scores are not finite."
    reason += " ONNX Runtime cannot load the graph either." if row.get("broken") else ""
    sums = [f"{row[key]:.3f}" if key in row else "" for key in ("kept", "gained", "worst node")]
    if abs(row.get("worst node", 0)) > NOTICED:
        reason += f"{row['worst at']}"
    cells = [name, row["verdict"], finite, row.get("section", ""), *sums]
    cells += [f"{row['seconds']:.1f}" if "seconds" in row else "", row.get("MiB", ""), reason]
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def table(rows: dict[str, Row]) -> str:
    """Lay all rows out as a markdown table, with counts and what makes the battery fail below."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
    lines += [line(name, row) for name, row in rows.items()]
    counts = Counter(row["verdict"] for row in rows.values())
    lines += ["", f"{len(rows)} graphs: " + ", ".join(f"{n} {word}" for word, n in counts.most_common()) + ".", ""]
    lines += ["| framework | " + " | ".join(counts) + " |", "|---" * (len(counts) + 1) + "|"]
    by_framework: dict[str, Counter[str]] = defaultdict(Counter)
    for name, row in rows.items():
        by_framework[name.split("__")[0]][row["verdict"]] += 1
    lines += [f"| {f} | " + " | ".join(str(c[word]) for word in counts) + " |" for f, c in by_framework.items()]
    lines += ["", *kept(rows), ""]
    bad = [f"* {name}: {row['verdict']}. {row.get('reason', '')}" for name, row in rows.items() if is_bad(row)]
    return "\n".join([*lines, "", *(["Not as expected:", "", *bad] if bad else ["All as expected."])]) + "\n"


def kept(rows: dict[str, Row]) -> list[str]:
    """Say how many graphs keep relevance at every node within a thousandth of Σ|R|, and which ops do not."""
    known = [row for row in rows.values() if "losses" in row]
    graphs, nodes = Counter(op for row in known for op in row["losses"]), Counter[str]()
    for row in known:
        nodes.update(row["losses"])
    each = ", ".join(f"{op} ({n} nodes in {graphs[op]} graphs)" for op, n in nodes.most_common())
    whole = sum(not row["losses"] for row in known)
    said = f"{whole} of {len(known)} explained graphs keep relevance at every node within a thousandth of Σ|R|."
    return [said + (f" In the others it is not kept by {each}." if each else "")]


def main() -> int:
    """Run the battery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="markdown file to write; default: standard output")
    parser.add_argument("--json", type=Path, help="write the rows as JSON as well")
    parser.add_argument("--only", default="", help="part of the names to run")
    parser.add_argument("--half", choices=("small", "full"), default="full")
    parser.add_argument("--seconds", type=float, default=120.0, help="time limit of one graph")
    parser.add_argument("--gigabytes", type=float, default=8.0, help="address space of one process")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    a = parser.parse_args()
    sys.path.append(str(Path(__file__).resolve().parents[2]))  # behind an installed rsp_onnx and PYTHONPATH
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    rows = run(a.folder, a.only, a.half, a.jobs, a.seconds, a.gigabytes)
    text = table(rows)
    if a.json:
        a.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if a.out:
        a.out.write_text(text, encoding="utf-8")
    print(text if not a.out else text[text.rindex("graphs: ") - 4 :])
    return int(not rows or any(map(is_bad, rows.values())))


if __name__ == "__main__":
    sys.exit(main())
