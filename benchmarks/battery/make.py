"""Export the battery: make the environments it needs, run the exporters in them, write variants and a manifest.

python benchmarks/battery/make.py --half small --out FOLDER

The small half needs the environment of torch alone; the full half adds Keras 3, Keras 2, JAX and PaddlePaddle. Each
environment is made once, from its requirements file, and kept under --venvs. One that cannot be made here (TensorFlow
2.15 needs Python 3.11 or older) is reported and left out. Then: python benchmarks/battery/run.py FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import venv
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
# In this order; the variants are made of what is there by then.
EXPORTERS: dict[str, tuple[str, ...]] = {
    "torch": ("export_torch.py", "export_sklearn.py"),
    "keras": ("export_keras.py",),
    "keras2": ("export_keras.py",),
    "jax": ("export_jax.py",),
    "paddle": ("export_paddle.py",),
}
SMALL = ("torch",)


def environment(name: str, folder: Path, python: str) -> Path:
    """Return the interpreter of an environment, made anew where its requirements have changed."""
    home, files = folder / name, sorted(HERE.glob(f"requirements-{name}*.txt"))
    files = [file for file in files if file.stem in (f"requirements-{name}", f"requirements-{name}-no-deps")]
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    stamp = home / "requirements.sha256"
    interpreter = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return interpreter
    print(f"Making the environment {name}; this takes minutes.", file=sys.stderr, flush=True)
    if python == sys.executable:
        venv.create(home, clear=True, with_pip=True)
    else:
        subprocess.run([python, "-m", "venv", "--clear", str(home)], check=True)
    for file in files:
        alone = ["--no-deps"] if file.stem.endswith("-no-deps") else []
        install = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *alone, "--requirement", str(file)], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return interpreter


def export(interpreter: Path, script: str, out: Path, half: str) -> bool:
    """Run one exporter; tell whether it wrote anything."""
    print(f"--- {script}", file=sys.stderr, flush=True)
    variables = os.environ | {"PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    variables.pop("PYTHONPATH", None)
    done = subprocess.run(
        [str(interpreter), str(HERE / script), str(out), "--half", half], check=False, env=variables, stdout=sys.stderr
    )
    return done.returncode == 0


def summary(out: Path) -> str:
    """Say how many graphs of which framework there are, and what failed."""
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    counts = Counter(record["framework"] for record in manifest["graphs"].values())
    lines = [f"{sum(counts.values())} graphs: " + ", ".join(f"{n} {name}" for name, n in counts.most_common())]
    lines += [f"failed: {name}: {reason}" for name, reason in manifest["failed"].items()]
    return "\n".join(lines)


def main() -> int:
    """Make everything; return 1 if an environment or an exporter failed as a whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the graphs and manifest.json")
    parser.add_argument("--half", choices=("small", "full"), default="small")
    parser.add_argument("--venvs", type=Path, help="folder that keeps the environments; default: OUT/venvs")
    parser.add_argument("--python", default=sys.executable, help="interpreter the environments are made with")
    parser.add_argument("--only", nargs="*", choices=tuple(EXPORTERS), help="environments to use; default: the half's")
    arguments = parser.parse_args()
    folder = (arguments.venvs or arguments.out / "venvs").resolve()
    failed = []
    for name in arguments.only or (SMALL if arguments.half == "small" else tuple(EXPORTERS)):
        try:
            interpreter = environment(name, folder, arguments.python)
        except (subprocess.CalledProcessError, OSError) as error:
            failed.append(f"the environment {name}: {error}")
            continue
        scripts = EXPORTERS[name]
        failed += [f"{s} ({name})" for s in scripts if not export(interpreter, s, arguments.out, arguments.half)]
    if (folder / "torch" / "requirements.sha256").exists():
        interpreter = environment("torch", folder, arguments.python)
        failed += [] if export(interpreter, "variants.py", arguments.out, arguments.half) else ["variants.py"]
    print("\n".join([summary(arguments.out), *(f"FAILED: {what}" for what in failed)]))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
