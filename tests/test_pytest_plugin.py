"""The pytest plugin, as a project that uses it would."""

import json
import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]
ARGS = ("-p", "no:rsp-onnx", "-p", "rsp_onnx.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:xdist")
HEAD = "from rsp_onnx.pytest_plugin import assert_explanations_close, assert_relevance_inside\nimport pytest\n"


@pytest.fixture
def project(pytester, repo, monkeypatch):
    """A project with a test of the digits model."""
    monkeypatch.setenv("PYTHONPATH", str(repo))
    pytester.makeini(f"[pytest]\nrsp_model = {repo / 'models/digits_pytorch.onnx'}\n")
    scene = repo / "models/scenes/scene_0.png"

    def write(body, **more):
        pytester.makepyfile(HEAD + body.replace("SCENE", f"r'{scene}'").replace("MODELS", f"r'{repo / 'models'}'"))
        return pytester

    return write


def run(project, *words):
    return project.runpytest_inprocess(*ARGS, *words)


def test_golden_missing_written_close_and_far(project):
    here = project("def test_four(explain):\n"
                   "    assert_explanations_close(explain(SCENE, target='four'), 'goldens/four.npz')\n")  # fmt: skip
    missing = run(here)
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*There is no golden map goldens*four.npz: write it with `pytest --rsp-update`*"])
    run(here, "--rsp-update").assert_outcomes(passed=1)
    golden = here.path / "goldens/four.npz"
    before = golden.read_bytes()
    run(here, "--rsp-update").assert_outcomes(passed=1)
    assert golden.read_bytes() == before
    run(here).assert_outcomes(passed=1)
    project("def test_four(explain):\n"
            "    assert_explanations_close(explain(SCENE, target='four', hostile='seven'), 'goldens/four.npz')\n"
            "def test_other(explain):\n"
            "    found = explain(SCENE, target='seven', hostile='four')\n"
            "    assert_explanations_close(found, explain(SCENE, target='four'))\n")  # fmt: skip
    run(here).assert_outcomes(failed=2)


def test_a_failure_names_the_figures_and_the_picture(project, repo):
    here = project("@pytest.mark.rsp_model(MODELS + '/digits_pytorch.onnx', preprocess='imagenet-torch')\n"
                   "def test_four(explain, tmp_path):\n"
                   "    from rsp_onnx import Explainer\n"
                   "    explainer = Explainer(MODELS + '/digits_pytorch.onnx', device='cpu')\n"
        "    golden = explainer.explain(SCENE, target='four')\n"
                   "    found = explain(SCENE, target='four', hostile=list(golden.hostile))\n"
                   "    assert_explanations_close(found, golden, scores=1.0, top_k=0.99)\n")  # fmt: skip
    result = run(here)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*explanation of 'four' is not the golden one: *top-k 0.* < 0.99*", "*Both maps: *.png"]
    )
    (picture,) = (here.path / ".rsp-failures").iterdir()
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_relevance_inside_of_boxes_and_masks(project, repo):
    here = project(
        "import numpy as np\n"
        "def test_box(explain):\n"
        "    found = explain(SCENE, target='four')\n"
        "    assert_relevance_inside(found, [2, 61, 22, 88], 0.6)\n"
        "    assert_relevance_inside(found, [[2, 61, 22, 88], [0, 0, 3, 3]])\n"
        "    mask = np.zeros((96, 96), bool)\n"
        "    mask[61:89, 2:23] = True\n"
        "    assert_relevance_inside(found, mask)\n"
        "    assert_relevance_inside(found, MODELS + '/scenes/scene_0.mask.png', 0.4)\n"
        "def test_elsewhere(explain):\n"
        "    assert_relevance_inside(explain(SCENE, target='four'), [60, 0, 95, 40])\n"
    )
    result = run(here)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*of the positive relevance of 'four' lies inside, less than 50.0%*", "*The map: *.png"]
    )


def test_the_command_line_goes_before_the_marker_and_the_ini(project, repo):
    here = project(
        "def test_ini(explainer):\n    assert explainer.model.path.name == 'digits_pytorch.onnx'\n"
        "@pytest.mark.rsp_model(MODELS + '/digits_keras.onnx', method='grad-cam')\n"
        "def test_marker(explainer):\n"
        "    assert explainer.model.path.name == 'digits_keras.onnx' and explainer.method == 'grad-cam'\n"
    )
    run(here).assert_outcomes(passed=2)
    given = run(here, "--rsp-model", str(repo / "models/digits_vit.onnx"))
    given.assert_outcomes(failed=2)
    given.stdout.fnmatch_lines(["*digits_vit.onnx*"])


def test_without_a_model_it_says_what_to_do(pytester, monkeypatch, repo):
    monkeypatch.setenv("PYTHONPATH", str(repo))
    pytester.makepyfile("def test_it(explain):\n    pass\n")
    result = pytester.runpytest_inprocess(*ARGS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*There is no model to explain: set rsp_model*--rsp-model*"])


def test_an_unknown_threshold_is_an_error(project):
    here = project("def test_it(explain):\n"
                   "    found = explain(SCENE)\n"
                   "    assert_explanations_close(found, found, speerman=0.3)\n")  # fmt: skip
    run(here).stdout.fnmatch_lines(["*There is no threshold 'speerman'*"])


def test_its_options_are_in_the_help_and_the_marker_is_registered(pytester):
    result = pytester.runpytest_inprocess(*ARGS, "--help")
    result.stdout.fnmatch_lines(["*--rsp-model=FILE*", "*--rsp-update*", "*rsp_model (string)*"])
    pytester.runpytest_inprocess(*ARGS, "--markers").stdout.fnmatch_lines(["*@pytest.mark.rsp_model(file*"])


def test_the_plugin_itself_imports_nothing_heavy(repo):
    code = (
        "import importlib.util, json, sys\n"
        "import pytest\n"
        "before = set(sys.modules)\n"
        f"spec = importlib.util.spec_from_file_location('plugin', {str(repo / 'rsp_onnx/pytest_plugin.py')!r})\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
