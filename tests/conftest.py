"""What all tests share: where the checkout is, and where the real models and photographs are."""

import os
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parent.parent
SHARED_DATA = REPO.parent / "shared" / "data"

# the threads of several torches wait for each other by spinning: four times slower
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# a plain `pytest` tests this checkout, as `python -m pytest` does, whatever is installed
sys.path.insert(0, str(REPO))


@pytest.fixture(scope="session")
def repo():
    """Return the root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def shared_data():
    """Return the folder of the real models and photographs; skip where there is none."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not here; this test needs the real models and photographs")
    return SHARED_DATA


def pytest_collection_modifyitems(items):
    """Mark every test of torch's newer exporter as slow: it takes seconds for the smallest network."""
    for item in items:
        if "dynamo" in item.name:
            item.add_marker(pytest.mark.slow)
