"""What a command imports: no more than it needs, so that it starts at once."""

import subprocess
import sys

import click
import pytest

from rsp_onnx.attribution.catalogue import METHODS, find_method, load_method
from rsp_onnx.cli.main import main
from rsp_onnx.cli.on_demand import COMMANDS

HEAVY = {"onnx_ir", "networkx", "onnxscript", "sympy", "onnx", "onnxruntime", "PIL", "matplotlib"}
LIGHT = [["--version"], ["--help"], ["methods"], ["methods", "--json"], *([name, "--help"] for name in COMMANDS)]


def imported(*arguments):
    """Run a command in a process of its own; return the packages it imported."""
    code = (
        "import sys\nfrom rsp_onnx.cli.main import main\ntry:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n    print('imported', *sys.modules, file=sys.stderr)\n    sys.exit(end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.partition("imported ")[2].split())


def packages(*arguments):
    return {name.partition(".")[0] for name in imported(*arguments)}


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_what_runs_no_model_imports_nothing_that_models_need(arguments):
    assert packages(*arguments) & HEAVY == set()


def test_the_version_and_the_help_do_not_even_need_numpy():
    assert "numpy" not in packages("--version") | packages("--help")


def test_a_first_explanation_executes_neither_sympy_nor_the_rarer_picture_formats(repo, tmp_path):
    scene, model = repo / "models/scenes/scene_0.png", repo / "models/digits_pytorch.onnx"
    found = imported("explain", str(model), str(scene), "-o", str(tmp_path), "--no-cache", "--device", "cpu")
    assert {name for name in found if name.startswith("sympy.")} == set()
    assert "PIL.PngImagePlugin" in found and "PIL.TiffImagePlugin" not in found


def test_sympy_is_there_when_a_symbolic_size_is_reckoned_with():
    code = (
        "import sys\nfrom rsp_onnx.cli.late_imports import import_late\nimport_late()\nimport_late()\n"
        "import onnx_ir as ir\nn = ir.SymbolicDim('N')\nbefore = 'sympy.core' in sys.modules\n"
        "print(before, (n * 2).value, len([f for f in sys.meta_path if type(f).__name__ == '_Late']))\n"
        "import sympy\nprint(sympy.Integer(6) / 4)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "2*N", "1", "3/2"]


def test_drawing_is_made_ready_while_the_session_is_built(repo, tmp_path):
    """Sooner it would take turns with the compiler."""
    code = (
        "import sys, threading\nfrom rsp_onnx import Explainer, explain_files\n"
        "import rsp_onnx.explain.explain_files as ours, rsp_onnx.model.session as session\n"
        "create, ready, drawing = session._create, ours._get_ready_to_draw, threading.Event()\n"
        "def told(*given):\n    print('session', drawing.wait(9))\n    return create(*given)\n"
        "def ready_and_told():\n    print('drawing')\n    drawing.set()\n    ready()\n"
        "session._create, ours._get_ready_to_draw = told, ready_and_told\n"
        "explainer = Explainer(sys.argv[1], device='cpu', cache=False)\nprint('compiling')\n"
        "for _ in range(2):\n    explain_files(explainer, [sys.argv[2]], sys.argv[3])\n    print('written')\n"
    )
    asked = [repo / "models/digits_pytorch.onnx", repo / "models/scenes/scene_0.png", tmp_path]
    done = subprocess.run([sys.executable, "-c", code, *map(str, asked)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[:3] == ["compiling", "drawing", "session True"] and said[-2:] == ["written", "written"]
    assert said.count("drawing") == 1


def test_the_list_of_commands_says_what_each_says_of_itself():
    for name, command in main.commands.items():
        assert command.name == name
        assert COMMANDS[name][1] == command.get_short_help_str(limit=200), name


@pytest.mark.parametrize("width", [60, 80, 110])
def test_the_help_is_what_click_writes_when_all_commands_are_imported(width):
    ctx = click.Context(main, info_name="rsp-onnx", terminal_width=width, max_content_width=110)
    ours, clicks = ctx.make_formatter(), ctx.make_formatter()
    main.format_commands(ctx, ours)
    click.Group.format_commands(main, ctx, clicks)
    assert ours.getvalue() == clicks.getvalue() and "explain" in ours.getvalue()


def test_a_command_that_does_not_exist_is_said():
    assert main.get_command(click.Context(main), "explian") is None


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_catalogue_is_emitted_as_it_says(name):
    facts, method = find_method(name), load_method(name)
    assert (method.name, dict(method.parameters)) == (name, dict(facts.parameters))
    assert (method.conserves, method.is_black_box) == (facts.conserves, facts.is_black_box)


def test_every_method_that_is_emitted_stands_in_the_catalogue():
    families = {facts.family for facts in METHODS.values()}
    modules = [__import__(f"rsp_onnx.attribution.{family}", fromlist=["METHODS"]) for family in families]
    assert sorted(one.name for module in modules for one in module.METHODS) == sorted(METHODS)


def test_parameters_given_reach_what_is_emitted():
    assert dict(load_method("lrp-gamma:gamma=0.5").parameters) == {"gamma": 0.5}
