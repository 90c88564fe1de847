"""The package list, the direction of imports, and what may stand in the repository."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rsp_onnx
import rsp_onnx.checks
import rsp_onnx.evaluate
from rsp_onnx.errors import BadInput
from rsp_onnx.extras import EXTRA_OF, need

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPO = Path(__file__).parent.parent
INSTALLED_AS = {"rsp_onnx": "rsp_onnx", "rules": "rsp_onnx.rules", "cli": "rsp_onnx.cli"}
OURS = {"rsp_onnx", "rules", "cli", "tests"}
FOR_RULES = ("errors", "rulekit", "graph.dag", "graph.emit", "graph.nodes", "graph.op_facts", "graph.signs")


def read(name):
    return (REPO / name).read_text(encoding="utf-8")


# ---- packages ----


def package_of(folder):
    first, *rest = folder.relative_to(REPO).parts
    return ".".join([INSTALLED_AS[first], *rest])


def test_the_package_list_is_the_folders_on_disk():
    setuptools = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]
    folders = {path.parent for top in INSTALLED_AS for path in (REPO / top).rglob("*.py")}
    assert sorted(setuptools["packages"]) == sorted(package_of(folder) for folder in folders)
    assert setuptools["package-dir"] == {package: folder for folder, package in INSTALLED_AS.items()}
    assert [folder.name for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_a_source_checkout_works_without_installing():
    code = "import rsp_onnx.rules as r, rsp_onnx.cli as c; print(r.__file__, c.__file__, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(REPO / folder / "__init__.py") for folder in ("rules", "cli")]
    # the import hook of an editable install would find them too; a checkout has only this
    assert str(REPO) in rsp_onnx.__path__


def test_every_dependency_has_a_reason():
    block = re.search(r"^dependencies = \[\n(.*?)^\]", read("pyproject.toml"), re.DOTALL | re.MULTILINE).group(1)
    without, above = [], False
    for line in map(str.strip, block.splitlines()):
        if "#" in line:
            above = line.startswith("#")  # a comment on a line of its own is for all lines below it
        elif not above:
            without.append(line)
    assert without == []


def test_the_lowest_versions_are_those_that_are_declared():
    def printed(*extras):
        script = [sys.executable, str(REPO / ".ci/lowest.py"), *extras]
        return subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()

    project = tomllib.loads(read("pyproject.toml"))["project"]
    declared = [line.replace(">=", "==", 1).replace("'", '"') for line in project["dependencies"]]
    assert printed() == declared and "numpy==" in " ".join(declared)
    of_tests = {line.replace(">=", "==", 1) for extra in ("eval", "ray", "audit", "web", "test")
                for line in project["optional-dependencies"][extra] if not line.startswith("rsp-onnx")}  # fmt: skip
    assert set(printed("test")) - set(declared) == of_tests and {"scipy", "ray"} <= {o.split("==")[0] for o in of_tests}


# ---- imports flow one way: cli → rsp_onnx ← rules ----


def imports(path, package=""):
    """Return what a file imports as (module, name), absolutely; the name is "" for ``import module``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            module = ".".join(parents + ([node.module] if node.module else []))
            yield from ((module, alias.name) for alias in node.names)


def imported(top, wanted):
    """Return what the files of a top folder import and ``wanted(module, name)`` says yes to."""
    return [
        f"{path.relative_to(REPO)}: {module} {name}".rstrip()
        for path in sorted((REPO / top).rglob("*.py"))
        for module, name in imports(path, package_of(path.parent) if top in INSTALLED_AS else "")
        if wanted(module, name)
    ]


def within(module, package):
    return f"{module}.".startswith(f"{package}.")


@pytest.mark.parametrize("top", ["rsp_onnx", "rules", "cli", "tests", "models", "benchmarks", "docs"])
def test_nobody_imports_rules_or_cli_under_a_second_name(top):
    assert imported(top, lambda module, _: within(module, "rules") or within(module, "cli")) == []


def test_the_library_imports_neither_rules_nor_cli():
    def forbidden(module, name):
        return any(within(f"{module}.{name}", f"rsp_onnx.{part}") for part in ("rules", "cli"))

    assert imported("rsp_onnx", forbidden) == []


def test_rules_import_only_what_is_made_for_them():
    def forbidden(module, name):
        if not within(module, "rsp_onnx") or within(module, "rsp_onnx.rules"):
            return False
        return not any(within(f"{module}.{name}", f"rsp_onnx.{room}") for room in FOR_RULES)

    assert imported("rules", forbidden) == []


def test_the_command_line_imports_only_public_names():
    public = {
        "rsp_onnx": {"", "errors", "__version__", *rsp_onnx.__all__},
        "rsp_onnx.evaluate": set(rsp_onnx.evaluate.__all__),
        "rsp_onnx.checks": set(rsp_onnx.checks.__all__),
    }

    def forbidden(module, name):
        if not within(module, "rsp_onnx") or within(module, "rsp_onnx.cli") or module == "rsp_onnx.errors":
            return False
        return name not in public.get(module, ())

    assert imported("cli", forbidden) == []


def test_what_only_an_evaluation_needs_is_imported_by_none_other():
    code = "import sys, rsp_onnx.checks, rsp_onnx.evaluate, rsp_onnx.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    extras = {"pyarrow", "scipy", "skimage", "pycocotools", "jinja2", "ray", "sklearn"}
    assert extras & set(done.stdout.split()) == set()


def test_a_missing_package_is_told_with_its_extra_and_what_needs_it(monkeypatch):
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    listed = {
        re.match(r"[\w-]+", line).group(): extra for extra in ("ray", "audit", "eval", "web") for line in extras[extra]
    }
    assert {package: extra for package, extra in listed.items() if package != "rsp-onnx"} == EXTRA_OF
    for module, says in {
        "skimage.filters": 'Otsu needs scikit-image, which is not installed: pip install "rsp-onnx[eval]".',
        "ray": 'Otsu needs ray, which is not installed: pip install "rsp-onnx[ray]".',
        "nothing_of_ours": "Otsu needs nothing_of_ours, which is not installed: pip install nothing_of_ours.",
    }.items():
        for name in (module, module.partition(".")[0]):  # another test may have imported either
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(BadInput) as error:
            need(module, "Otsu")
        assert str(error.value) == says


def test_scripts_of_the_models_import_nothing_of_ours():
    assert imported("models", lambda module, _: module.split(".")[0] in OURS) == []


def test_the_reader_of_imports_sees_every_form(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("import a.b, c\nfrom d import e\nfrom . import f\nfrom .g import h\nfrom ..i import k\n")
    want = [("a.b", ""), ("c", ""), ("d", "e"), ("p.q", "f"), ("p.q.g", "h"), ("p.i", "k")]
    assert list(imports(path, "p.q")) == want


# ---- the repository ----


@pytest.fixture(scope="module")
def tracked():
    """Return the files that are, or would be, committed."""

    def git(*words):
        return subprocess.run(["git", *words], cwd=REPO, capture_output=True, text=True, check=True).stdout

    try:
        root = Path(git("rev-parse", "--show-toplevel").strip())
        names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    if root != REPO.resolve():
        pytest.skip("not a git checkout of its own")
    return [REPO / name for name in names if name and (REPO / name).is_file()]


def test_no_file_names_a_machine_or_a_package_index(tracked):
    paths = ["/" + name + "/" for name in ("work", "root", "home")]
    hosts = [name + ".org" for name in ("pypi", "pythonhosted", "download.pytorch")]
    found = []
    for path in tracked:
        content = path.read_bytes()
        if b"\0" not in content:
            text = content.decode("utf-8")
            found += [f"{path.relative_to(REPO)}: {word}" for word in paths + hosts if word in text]
    assert found == []


def test_no_large_file_is_tracked(tracked):
    assert [str(path.relative_to(REPO)) for path in tracked if path.stat().st_size > 2 * 2**20] == []


def test_make_demo_runs_the_command_of_the_readme():
    command = re.search(r"^DEMO := (.*)$", read("Makefile"), re.MULTILINE).group(1)
    assert command in " ".join(read("README.md").replace("\\\n", " ").split())
