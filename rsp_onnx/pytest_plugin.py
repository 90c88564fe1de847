"""The pytest plugin: explanations in a test suite.

    def test_it_looks_at_the_digit(explain):
        found = explain("scenes/scene_0.png", target="four")
        assert_explanations_close(found, "goldens/scene_0.npz")
        assert_relevance_inside(found, [2, 61, 22, 88], share=0.6)

The model comes from ``rsp_model`` in the ini file, ``@pytest.mark.rsp_model("model.onnx")`` or ``--rsp-model``.
``--rsp-update`` writes the goldens. Everything heavy is imported when a test needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rsp_onnx.explain.explainer import Explainer
    from rsp_onnx.explain.explanation import Explanation

__all__ = ["assert_explanations_close", "assert_relevance_inside", "explain", "explainer"]
_SETTINGS = ("preprocess", "labels", "method", "device")  # of the explainer, each an ini key rsp_<name>


class _State:
    """What the assertions need to know of the run; the defaults serve outside of pytest."""

    def __init__(self) -> None:
        self.update = False
        self.failures = Path(".rsp-failures")
        self.test = ""
        self.explainers: dict[tuple[Any, ...], Explainer] = {}


_state = _State()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the ini keys."""
    group = parser.getgroup("rsp-onnx", "explanations of ONNX models")
    group.addoption("--rsp-model", metavar="FILE", help="The model of the fixtures explainer and explain.")
    group.addoption("--rsp-update", action="store_true", help="Write the golden maps instead of comparing with them.")
    parser.addini("rsp_model", "The model of the fixtures explainer and explain, from the root folder.")
    for name in _SETTINGS:
        parser.addini(f"rsp_{name}", f"The explainer's {name}.")
    parser.addini("rsp_failures", "Folder for pictures of maps that differ.", default=".rsp-failures")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; note what the assertions need."""
    text = "rsp_model(file, **settings): the model of the fixtures explainer and explain, and Explainer's settings"
    config.addinivalue_line("markers", text)
    global _state
    _state = _State()
    _state.update = bool(config.getoption("--rsp-update"))
    _state.failures = config.rootpath / str(config.getini("rsp_failures"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note the test's name, which pictures are called by."""
    _state.test = item.nodeid


@pytest.fixture
def explainer(request: pytest.FixtureRequest) -> Explainer:
    """Return the explainer of the model that the ini file, the marker or --rsp-model names; made once per run."""
    model, settings = _model_of(request)
    key = (model, *sorted((name, str(value)) for name, value in settings.items()))
    if key not in _state.explainers:
        from rsp_onnx.explain.explainer import Explainer

        _state.explainers[key] = Explainer(model, **settings)
    return _state.explainers[key]


@pytest.fixture
def explain(explainer: Explainer) -> Callable[..., Any]:
    """Return ``explainer.explain``: explain(image, target="auto", hostile="auto")."""
    return explainer.explain


def _model_of(request: pytest.FixtureRequest) -> tuple[Path, dict[str, Any]]:
    """Return the model's path and the explainer's settings: the command line goes before the marker, then the ini."""
    config, root = request.config, request.config.rootpath
    ini = {name: str(config.getini(f"rsp_{name}")) for name in _SETTINGS}
    settings: dict[str, Any] = {"device": "cpu"} | {name: value for name, value in ini.items() if value}
    for name in ("preprocess", "labels"):  # a preset's name, or a file below the root folder
        if name in settings and (root / settings[name]).is_file():
            settings[name] = str(root / settings[name])
    marker = request.node.get_closest_marker("rsp_model")
    settings |= marker.kwargs if marker is not None else {}
    given = config.getoption("--rsp-model")
    if given:
        return Path(config.invocation_params.dir) / given, settings
    name = marker.args[0] if marker is not None and marker.args else config.getini("rsp_model")
    if not name:
        pytest.fail(
            "There is no model to explain: set rsp_model in the ini file, mark the test with "
            '@pytest.mark.rsp_model("model.onnx"), or give --rsp-model.',
            pytrace=False,
        )
    return root / str(name), settings


def assert_explanations_close(found: Explanation, golden: Explanation | str | Path, **limits: float) -> None:
    """Assert that an explanation is close to a golden one.

    Parameters
    ----------
    found : Explanation
    golden : Explanation or path
        An .npz file that ``pytest --rsp-update`` wrote.
    limits : float
        Thresholds: ``spearman``, ``pearson``, ``ssim``, ``top_k``, ``sign`` (at least), ``scores`` (at most, of
        probability); by default those of ``rsp-onnx check``.
    """
    __tracebackhide__ = True
    from rsp_onnx.checks import asserting
    from rsp_onnx.checks.subject.similarity import SIMILARITIES

    named = {name.replace("_", "-"): value for name, value in limits.items()}
    unknown = named.keys() - {*SIMILARITIES, "scores"}
    if unknown:
        raise TypeError(f"There is no threshold {sorted(unknown)[0]!r}; use {', '.join(SIMILARITIES)}, scores.")
    if isinstance(golden, (str, Path)):
        path = Path(golden)
        if _state.update:
            asserting.write_golden(path, found)
            return
        if not path.is_file():
            raise AssertionError(f"There is no golden map {path}: write it with `pytest --rsp-update`, and look at it.")
        before = asserting.read_golden(path)
        name = f"{_state.test}-{path.stem}"
    else:
        before, name = asserting.golden_of(golden), _state.test
    problems = asserting.differences(found, before, named)
    if problems:
        picture = asserting.draw_pair(_state.failures, name, found, before)
        again = "" if not isinstance(golden, (str, Path)) else "\nMeant to change: pytest --rsp-update."
        raise AssertionError(
            f"The explanation of {found.label!r} is not the golden one: {', '.join(problems)}.\n"
            f"Both maps: {picture}{again}"
        )


def assert_relevance_inside(found: Explanation, where: Any, share: float = 0.5) -> None:
    """Assert that at least a share of the positive relevance lies inside of a box or mask.

    Parameters
    ----------
    found : Explanation
    where : box, boxes, ndarray of bool or path
        [xmin, ymin, xmax, ymax] in pixels of the upright photo, both corners inside; several of them; a mask [H, W]; or
        a PNG whose pixels other than 0 are inside (called ``*.mask.png``: those of the value class index + 1).
    share : float
        0 to 1.
    """
    __tracebackhide__ = True
    from rsp_onnx.checks import asserting

    region = asserting.region_of(found, where)
    value = asserting.share_in(found, region)
    if value < share:
        picture = asserting.draw_region(_state.failures, f"{_state.test}-inside", found, region)
        raise AssertionError(
            f"{value:.1%} of the positive relevance of {found.label!r} lies inside, less than {share:.1%}.\n"
            f"The map: {picture}"
        )
