"""The pages of docs/ that are generated are what the registries say."""

import re
import runpy
from pathlib import Path

import pytest

from rsp_onnx.checks import CHECKS

generator = runpy.run_path(str(Path(__file__).parent.parent / "docs" / "generate.py"))
PAGES = generator["pages"]()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_generated_page_is_up_to_date(path):
    assert path.read_text(encoding="utf-8") == PAGES[path], f"docs/{path.name} is stale; renew it: make docs"


def test_the_tables_have_a_row_for_every_check_and_format():
    checks, formats = generator["checks_table"](), generator["formats_table"]()
    assert [line.count(" | ") for line in checks.splitlines()] == [2] * (len(CHECKS) + 2)
    assert [line.count(" | ") for line in formats.splitlines()] == [2] * (len(generator["dataset_formats"]()) + 2)


def test_the_samples_of_contributing_are_the_code_itself(repo):
    shipped = [path.read_text("utf-8") for top in ("rsp_onnx", "rules") for path in (repo / top).rglob("*.py")]
    blocks = re.findall(r"```python\n(.*?)```", (repo / "CONTRIBUTING.md").read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    for sample in (part.strip("\n") for block in blocks for part in block.split("\n\n\n")):
        assert any(sample in text for text in shipped), sample
