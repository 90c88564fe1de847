"""What the README shows is what the commands print."""

import contextlib
import io
import re
import shlex
import shutil

import pytest
from click.testing import CliRunner

from rsp_onnx import cli  # noqa: F401  # the package's __path__ reaches cli/ in a checkout
from rsp_onnx.cli.main import main


def blocks(repo, kind):
    text = (repo / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture
def checkout(repo, tmp_path, monkeypatch):
    """A folder as the README's reader stands in: models/ beside, nothing else."""
    shutil.copytree(repo / "models", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command):
    words = shlex.split(command)
    assert words[0] == "rsp-onnx", command
    result = CliRunner().invoke(main, words[1:])
    assert result.exit_code == 0, result.output
    printed = result.stdout.replace("CUDAExecutionProvider", "CPUExecutionProvider")
    return re.sub(r"in \d+\.\d s", "in 3.2 s", printed)  # the clock's


@pytest.mark.slow
def test_console_blocks_show_what_the_commands_print(repo, checkout):
    shown = blocks(repo, "console")
    assert len(shown) >= 3
    for block in shown:
        command, _, output = block.partition("\n")
        assert command.startswith("$ "), block
        assert run(command[2:]).strip() == output.strip(), command


def test_python_blocks_print_what_is_shown(repo, checkout):
    run("rsp-onnx compile models/digits_pytorch.onnx -o explainer.onnx")
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
    out = run("rsp-onnx explain models/digits_pytorch.onnx models/scenes/scene_0.png --preprocess mine.toml -o out")
    assert "(file)" in out


def test_pictures_it_shows_exist(repo):
    names = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (repo / "README.md").read_text(encoding="utf-8"))
    assert names
    assert all((repo / name).is_file() for name in names)
