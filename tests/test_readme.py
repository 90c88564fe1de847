"""What the README shows is what the commands print."""

import contextlib
import io
import re
import runpy
import shutil

import pytest

from .conftest import REPO

generator = runpy.run_path(str(REPO / "docs" / "generate.py"))


def blocks(repo, kind):
    text = (repo / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def checkout(repo, tmp_path, monkeypatch):
    """A folder as the README's reader stands in: models/ beside, nothing else."""
    shutil.copytree(repo / "models", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_console_blocks_show_what_the_commands_print(repo, checkout):
    text = (repo / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"```console\n\$ rsp-onnx ", text)) == len(blocks(repo, "console")) >= 3
    assert text == generator["with_outputs"](text), "README.md is stale; renew it: make docs"


def test_python_blocks_print_what_is_shown(repo, checkout):
    generator["run"]("rsp-onnx compile models/digits_pytorch.onnx -o explainer.onnx")
    shown, printed = blocks(repo, "text"), blocks(repo, "python")
    assert len(shown) == len(printed) >= 2
    for code, output in zip(printed, shown, strict=True):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, "README.md", "exec"), {})
        assert out.getvalue().strip() == output.strip()


def test_preprocessing_file_is_read(repo, checkout):
    (toml,) = blocks(repo, "toml")
    (checkout / "mine.toml").write_text(toml.replace("[224, 224]", "[96, 96]"), encoding="utf-8")
    command = "rsp-onnx explain models/digits_pytorch.onnx models/scenes/scene_0.png --preprocess mine.toml -o out"
    out = generator["run"](command)
    assert "(file)" in out


def test_pictures_it_shows_exist(repo):
    names = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (repo / "README.md").read_text(encoding="utf-8"))
    assert names
    assert all((repo / name).is_file() for name in names)
