"""What all tests share: where the checkout is, and where the real models and photographs are."""

import os
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
SHARED_DATA = REPO.parent / "shared" / "data"
SHARED_CASES = REPO.parent / "shared" / "cases"

# the threads of several torches wait for each other by spinning: four times slower
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

os.environ["RSP_ONNX_CACHE"] = "off"  # but for the tests of the cache, which set a folder of their own

# a plain `pytest` tests this checkout, as `python -m pytest` does, whatever is installed
sys.path.insert(0, str(REPO))


@pytest.fixture(scope="session")
def repo():
    """Return the root of the checkout."""
    return REPO


@pytest.fixture
def cache_switched_on(tmp_path, monkeypatch):
    """Return the folder of a cache that is switched on, whatever rules other tests registered."""
    from rsp_onnx.cache import store
    from rsp_onnx.explain.supply import shelf

    monkeypatch.setenv("RSP_ONNX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RSP_ONNX_CACHE_SIZE", raising=False)
    monkeypatch.setattr(shelf, "others_rules", lambda: False)
    monkeypatch.setattr(store, "_said", set())
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of the real models and photographs; skip where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here; this test needs the real models and photographs")
    return SHARED_DATA


@pytest.fixture(scope="session")
def shared_cases():
    """Return the folder of small models that stand for situations people reported; skip where there is none."""
    if not SHARED_CASES.is_dir():
        pytest.skip("../shared/cases is not here; this test needs the reported cases")
    return SHARED_CASES


@pytest.fixture(scope="session")
def shared_graph():
    """Return a function from a name to the exported graph in ../shared/data/graphs; it skips where there is none."""

    def find(name):
        path = SHARED_DATA / "graphs" / f"{name}.onnx"
        if not path.is_file():
            pytest.skip(f"../shared/data/graphs/{name}.onnx is not here; this test needs that graph")
        return path

    return find


def pytest_collection_modifyitems(items):
    """Mark every test of torch's newer exporter as slow: it takes seconds for the smallest network."""
    for item in items:
        if "dynamo" in item.name:
            item.add_marker(pytest.mark.slow)
