"""Print the lowest versions that pyproject.toml allows, as constraints for pip: python .ci/lowest.py [EXTRA...].

What stands there as ``numpy>=1.26`` is printed as ``numpy==1.26``; what those packages need themselves is left to pip.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"


def requirements(project: dict[str, Any], lines: list[str]) -> Iterator[Requirement]:
    """Yield direct requirements; the project's own extras are those they list."""
    for one in map(Requirement, lines):
        if one.name != project["name"]:
            yield one
        for extra in sorted(one.extras) if one.name == project["name"] else ():
            yield from requirements(project, project["optional-dependencies"][extra])


def lowest(one: Requirement) -> str:
    """Return a requirement with its lowest version alone."""
    bounds = [s.version for s in one.specifier if s.operator in (">=", "==")]
    if len(bounds) != 1:
        sys.exit(f"Error: {one} in pyproject.toml has no lowest version: write {one.name}>=VERSION.")
    return f"{one.name}=={bounds[0]}" + (f"; {one.marker}" if one.marker else "")


def main() -> None:
    """Print a line per requirement of the project and of the extras asked for."""
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = toml.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    asked = f"{project['name']}[{','.join(sys.argv[1:])}]"
    lines = [*project["dependencies"], asked]
    print("\n".join(dict.fromkeys(lowest(one) for one in requirements(project, lines))))


if __name__ == "__main__":
    main()
