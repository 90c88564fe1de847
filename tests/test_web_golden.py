"""What the page's own tests compare with is what Python makes today."""

from .web_golden import FILE, as_text


def test_the_page_is_tested_against_what_python_makes():
    assert FILE.read_text(encoding="utf-8") == as_text(), "run: python tests/web_golden.py"
