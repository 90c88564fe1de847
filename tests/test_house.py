"""The house: rooms of a bounded size, imports one way as docs/architecture.md has them, what is public in each room."""

import ast
import re
from functools import cache
from pathlib import Path

import networkx as nx
import onnx.defs
import pytest

from rsp_onnx.files import parse_toml
from rsp_onnx.graph import op_facts
from rsp_onnx.graph.rule_modules import load_all_rules
from rsp_onnx.rewrite.registry import expanded_ops
from rsp_onnx.rulekit import registry

REPO = Path(__file__).parent.parent
SHIPPED = ("rsp_onnx", "rules", "cli")
MOST_FILES, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 13, 250, 40
INNER = {  # rooms inside a room, each may import what stands before it
    "rsp_onnx.checks": ("spec", "subject", "catalogue", "reports"),
    "rsp_onnx.evaluate": ("datasets", "metrics", "runs", "report"),
}
NAMED_LATER = {("rsp_onnx.checks", "rsp_onnx.audit"), ("rsp_onnx.checks", "rsp_onnx.compare")}  # see __getattr__ there


@cache
def modules():
    """Return the shipped files by the name they are imported under."""
    return {module_of(path): path for top in SHIPPED for path in sorted((REPO / top).rglob("*.py"))}


def module_of(path):
    parts = list(path.relative_to(REPO).with_suffix("").parts)
    parts = parts if parts[0] == "rsp_onnx" else ["rsp_onnx", *parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module):
    return module if modules()[module].name == "__init__.py" else module.rpartition(".")[0]


@cache
def tree(module):
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def imports():
    """Return every import of ours by ours: (importer, imported module, name)."""
    found = []
    for module in modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ImportFrom):
                parents = package_of(module).split(".")[: len(package_of(module).split(".")) + 1 - node.level]
                source = ".".join(parents + ([node.module] if node.module else [])) if node.level else node.module
                for alias in node.names:
                    full = f"{source}.{alias.name}"
                    if full in modules():
                        found.append((module, full, ""))
                    elif source in modules():
                        found.append((module, source, alias.name))
    return found


# ---- sizes ----


def test_no_package_holds_too_many_files():
    folders = {}
    for path in modules().values():
        folders.setdefault(path.parent.relative_to(REPO).as_posix(), []).append(path.name)
    assert {folder: len(files) for folder, files in folders.items() if len(files) > MOST_FILES} == {}


def test_no_file_is_too_long():
    lengths = {m: len(p.read_text(encoding="utf-8").splitlines()) for m, p in modules().items()}
    assert {module: length for module, length in lengths.items() if length > MOST_LINES} == {}


def test_no_function_is_too_long():
    """Its docstring aside: a long list of parameters described is no long function."""
    long = {}
    for module in modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                said = ast.get_docstring(node, clean=False)
                length = node.end_lineno - node.lineno + 1 - (len(said.splitlines()) if said else 0)
                if length > MOST_LINES_OF_A_FUNCTION:
                    long[f"{module}:{node.name}"] = length
    assert long == {}


# ---- layers ----


@cache
def layers():
    """Return the layer of every room, as docs/architecture.md lists them."""
    text = (REPO / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `([\w]+)` \|", text, re.MULTILINE)
    return {f"rsp_onnx.{room}": int(number) for number, room in rows}


def room_of(module):
    """Return the room of the table a module lies in; of the modules of rsp_onnx/ itself, the ground floor."""
    room = ".".join(module.split(".")[:2])
    return room if room in layers() else "rsp_onnx"


def test_the_document_lists_the_rooms_on_disk():
    rooms = {".".join(m.split(".")[:2]) for m, p in modules().items() if p.name == "__init__.py"} - {"rsp_onnx"}
    assert set(layers()) == rooms


def test_imports_between_rooms_go_down():
    wrong = set()
    for importer, imported, _ in imports():
        above, below = room_of(importer), room_of(imported)
        if above == below or (above, below) in NAMED_LATER or importer in ("rsp_onnx", "rsp_onnx.pytest_plugin"):
            continue
        if layers().get(above, 0) <= layers().get(below, 0):
            wrong.add(f"{importer} → {imported}")
    assert wrong == set()


@pytest.mark.parametrize("outer", INNER)
def test_imports_between_inner_rooms_go_one_way(outer):
    order, wrong = INNER[outer], set()
    for importer, imported, _ in imports():
        one, other = (m.removeprefix(f"{outer}.").split(".")[0] for m in (importer, imported))
        if importer.startswith(outer) and imported.startswith(outer) and one in order and other in order:
            wrong |= {f"{importer} → {imported}"} if order.index(one) < order.index(other) else set()
    assert wrong == set()


def test_no_modules_import_each_other_in_a_circle():
    """Not even for types alone."""
    graph = nx.DiGraph((importer, imported) for importer, imported, _ in imports() if importer != "rsp_onnx")
    graph.remove_nodes_from(
        ["rsp_onnx", "rsp_onnx.checks", "rsp_onnx.evaluate"]
    )  # public names, imported when asked for
    assert [sorted(ring) for ring in nx.strongly_connected_components(graph) if len(ring) > 1] == []


# ---- what is public ----


def public_names(package):
    said = ast.get_docstring(tree(package)) or ""
    found = re.search(r"Public: (.*)\.$", said.replace("\n", " "))
    return set(re.split(r",\s+", found.group(1))) if found else None


def defined(package):
    """Return what the modules of a package define at their top."""
    names = set()
    for module in modules():
        if package_of(module) == package:
            for node in tree(module).body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    names.add(node.name)
                targets = getattr(node, "targets", [getattr(node, "target", None)])
                names |= {t.id for t in targets if isinstance(t, ast.Name)}
    return names


PACKAGES = sorted(m for m, p in modules().items() if p.name == "__init__.py" and public_names(m) is not None)


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_room_says_is_public_is_defined_there_and_all_that_others_import(package):
    assert public_names(package) - defined(package) == set()
    taken = {n for importer, m, n in imports() if n and package_of(m) == package and package_of(importer) != package}
    assert {n for n in taken if n in defined(package)} - public_names(package) == set()


def test_every_room_says_what_it_is():
    for module, path in modules().items():
        if path.name == "__init__.py":
            assert ast.get_docstring(tree(module)), module
    assert len(PACKAGES) >= 20


# ---- what an op is, in one place ----


def ruled():
    load_all_rules()
    return {*registry._VJPS, *registry._RULES}


def test_every_op_with_a_rule_has_its_facts():
    assert sorted(op for op in ruled() if op_facts.facts_of_op(op) is None) == []
    assert len(ruled()) > 140


def test_an_op_registered_without_facts_is_found(monkeypatch):
    monkeypatch.setitem(registry._RULES, "Mine", lambda ctx, node, r: [r])
    with pytest.raises(AssertionError, match="Mine"):
        test_every_op_with_a_rule_has_its_facts()


def test_the_facts_of_an_op_answer_every_question():
    for op in ruled():
        facts = op_facts.facts_of_op(op)
        assert isinstance(facts.data, op_facts.Data) and isinstance(facts.role, op_facts.Role), op
        assert isinstance(facts.layout, op_facts.Layout), op
        assert isinstance(facts.sign, op_facts.Sign) or callable(facts.sign), op
        assert not facts.stands_for or facts.stands_for in ruled(), op
        assert (facts.weight is not None) == (facts.role is op_facts.Role.LAYER), op
    with pytest.raises(TypeError, match="sign"):
        op_facts.op_facts("Mine", data=op_facts.Data.KEEPS, role=op_facts.Role.OTHER)
    with pytest.raises(ValueError, match="Relu are declared twice"):
        op_facts.op_facts("Relu", data=op_facts.Data.KEEPS, role=op_facts.Role.OTHER, sign=op_facts.Sign.ANY)


def op_lists(source):
    """Return the lists of more than two op names in a module: in a literal, or as the keys of a dict."""
    known = {schema.name for schema in onnx.defs.get_all_schemas()} | {op.split("::")[-1] for op in expanded_ops()}
    found = []
    for node in ast.walk(source):
        parts = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        words = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        names = [word for word in words if word.split("::")[-1] in known]
        if len(names) > 2:
            found.append((node.lineno, names))
    return found


def test_nobody_but_the_rules_keeps_a_list_of_ops():
    lists = {m: op_lists(tree(m)) for m in modules() if not m.startswith("rsp_onnx.rules")}
    assert {module: found for module, found in lists.items() if found} == {}


def test_the_reader_of_op_lists_sees_every_form():
    source = ast.parse("a = ('Relu', 'Add', 'Mul')\nb = {'Conv': 1, 'Gemm': 2, 'MatMul': 3}\nc = {'Relu', 'Add'}")
    assert [line for line, _ in op_lists(source)] == [1, 2]


def test_every_planted_fault_stands_in_the_code():
    """Else ``benchmarks/mutants.py`` would plant nothing there, and nobody would miss it."""
    faults = parse_toml((REPO / "benchmarks" / "mutants.toml").read_text(encoding="utf-8"))["mutant"]
    stale = [one["name"] for one in faults if one["old"] not in (REPO / one["file"]).read_text(encoding="utf-8")]
    assert len(faults) > 100 and stale == []
