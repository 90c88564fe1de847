"""Plant faults, one at a time, and see whether a test notices: what the tests are worth.

    python benchmarks/mutants.py                        # all of them, two at a time
    python benchmarks/mutants.py --only rules/ --jobs 4 # those whose name or file has this word
    python benchmarks/mutants.py --list

The faults stand in ``mutants.toml`` beside this file: the file they are in, its text and what it becomes, and the tests
that should notice. Each worker plants them in a copy of the checkout. Exit 1 where fewer than 95 % are caught, a text
does not occur exactly once any more, or the tests fail without any fault.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
ROOT = Path(__file__).resolve().parent.parent
TABLE = Path(__file__).with_suffix(".toml")
LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info")
LEAST = 0.95  # of the faults must be caught
LIMIT = 600  # seconds for the tests of one fault
CAUGHT, SURVIVED, UNFIT, TOO_SLOW = "caught", "survived", "does not apply", "took too long"
ENDS = {0: SURVIVED, 1: CAUGHT, 2: CAUGHT, 3: CAUGHT}  # what pytest returns; 2: the fault broke an import


@dataclass(frozen=True)
class Mutant:
    """A fault: what is replaced where, and the tests that should see it (arguments of pytest)."""

    name: str
    file: str
    old: str
    new: str
    tests: str


@dataclass(frozen=True)
class Outcome:
    """What became of a fault."""

    mutant: Mutant
    end: str
    seconds: float


def read_mutants(word: str) -> list[Mutant]:
    """Return the faults of the table whose name or file has this word."""
    table = [Mutant(**entry) for entry in _toml.loads(TABLE.read_text(encoding="utf-8"))["mutant"]]
    return [m for m in table if word in m.name or word in m.file]


def run_tests(checkout: Path, tests: Sequence[str], limit: float | None = None) -> str:
    """Run tests in a checkout and say how they ended; limit: seconds."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return TOO_SLOW
    return ENDS.get(done.returncode, UNFIT)


def try_mutant(checkout: Path, mutant: Mutant) -> Outcome:
    """Plant a fault in a checkout, run its tests, and take it out again."""
    start, file = time.monotonic(), checkout / mutant.file
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    if text.count(mutant.old) != 1 or mutant.old == mutant.new:
        return Outcome(mutant, UNFIT, 0.0)
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        end = run_tests(checkout, mutant.tests.split(), LIMIT)
    finally:
        shutil.copy2(ROOT / mutant.file, file)  # its time too, so that its compiled form is not taken for the fault's
    return Outcome(mutant, end, time.monotonic() - start)


@contextmanager
def copies(count: int) -> Iterator[SimpleQueue[Path]]:
    """Give a queue of copies of the checkout, with the shared data beside each where there is some."""
    free: SimpleQueue[Path] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        for number in range(count):
            checkout = Path(scratch) / str(number) / ROOT.name
            shutil.copytree(ROOT, checkout, ignore=LEFT_OUT)
            if (ROOT.parent / "shared").is_dir():
                (checkout.parent / "shared").symlink_to(ROOT.parent / "shared")
            free.put(checkout)
        yield free


def try_all(mutants: Sequence[Mutant], jobs: int) -> list[Outcome]:
    """Try the faults, so many at a time."""

    def one(mutant: Mutant) -> Outcome:
        checkout = free.get()
        try:
            outcome = try_mutant(checkout, mutant)
        finally:
            free.put(checkout)
        print(f"{outcome.end:15} {outcome.seconds:4.0f} s  {mutant.name}", file=sys.stderr, flush=True)
        return outcome

    with copies(jobs) as free, ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, mutants))


def print_table(outcomes: Sequence[Outcome]) -> bool:
    """Print what became of the faults as Markdown; return whether enough were caught and all apply."""
    print("| fault | file | end | seconds |\n|---|---|---|---|")
    for o in outcomes:
        print(f"| {o.mutant.name} | {o.mutant.file} | {o.end} | {o.seconds:.0f} |")
    caught = sum(o.end == CAUGHT for o in outcomes)
    print(f"\n{caught} of {len(outcomes)} caught ({caught / len(outcomes):.0%}).")
    return caught >= LEAST * len(outcomes) and all(o.end != UNFIT for o in outcomes)


def main() -> None:
    """Print the table of all faults, or what they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="only faults whose name or file has this word")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="how many at a time (default: 2)")
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests without any fault first")
    parser.add_argument("--list", action="store_true", help="say what the faults are, and run nothing")
    arguments = parser.parse_args()
    mutants = read_mutants(arguments.only)
    if not mutants:
        sys.exit(f"No fault has {arguments.only!r} in its name or file.")
    tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests.split())
    if arguments.list:
        print("\n".join(f"{m.file}: {m.name}\n    - {m.old}\n    + {m.new}" for m in mutants))
        return
    if not arguments.no_baseline and run_tests(ROOT, ["-n", str(arguments.jobs), *tests]) != SURVIVED:
        sys.exit("The tests fail without any fault: run them by themselves first.")
    sys.exit(not print_table(try_all(mutants, arguments.jobs)))


if __name__ == "__main__":
    main()
