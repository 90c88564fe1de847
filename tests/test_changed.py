"""Which SPEC files a change concerns, and the real pre-commit at work on it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner

from rsp_onnx.checks import concerned_specs, record
from rsp_onnx.cli.main import main

from .checking import saved, with_random_layer

SPEC = """model = "net/model.onnx"
labels = "labels.txt"
preprocess = "prepare.toml"

[[image]]
path = "scene_0.png"
mask = "scene_0.mask.png"

[folder]
data = "photos/boxes.csv"
format = "csv"
mapping = "mapping.json"

[expect]
sanity = false
stability = false
"""
NAMED = ["net/model.onnx", "net/model.preprocess.toml", "labels.txt", "prepare.toml", "scene_0.png", "scene_0.mask.png",
         "photos/boxes.csv", "photos/more/a.jpg", "mapping.json", "spec.goldens.npz", "spec.rsp.toml"]  # fmt: skip


def written(folder, text=SPEC, name="spec.rsp.toml"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


# ---- what is concerned ----


@pytest.mark.parametrize("name", NAMED)
def test_a_spec_is_concerned_by_itself_and_every_file_it_names(tmp_path, name):
    spec = written(tmp_path / "a b")
    assert concerned_specs([tmp_path / "a b" / name], tmp_path) == [spec]
    assert concerned_specs([tmp_path / name], tmp_path) == []


def test_paths_are_those_of_the_folder_one_stands_in(tmp_path, monkeypatch):
    written(tmp_path / "models", SPEC.replace("net/model.onnx", "../shared/model.onnx"))
    monkeypatch.chdir(tmp_path)
    assert concerned_specs(["shared/model.onnx"]) == [Path("models/spec.rsp.toml")]
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert concerned_specs(["../shared/model.onnx"]) == []
    assert concerned_specs(["../shared/model.onnx"], "..") == [Path("../models/spec.rsp.toml")]


def test_a_changed_link_and_what_it_leads_to_concern(tmp_path):
    spec = written(tmp_path)
    (tmp_path / "net").mkdir()
    (tmp_path / "net/of_march.onnx").write_bytes(b"")
    (tmp_path / "net/model.onnx").symlink_to("of_march.onnx")
    for name in ("net/model.onnx", "net/of_march.onnx"):
        assert concerned_specs([tmp_path / name], tmp_path) == [spec]


def test_goldens_of_another_name_and_a_folder_of_photos(tmp_path):
    text = 'goldens = "g.npz"\n' + SPEC.replace("photos/boxes.csv", "photos")
    spec = written(tmp_path, text)
    (tmp_path / "photos/four").mkdir(parents=True)
    assert concerned_specs([tmp_path / "photos/four/x.png"], tmp_path) == [spec]
    assert concerned_specs([tmp_path / "g.npz"], tmp_path) == [spec]
    assert concerned_specs([tmp_path / "spec.goldens.npz", tmp_path / "photos.txt"], tmp_path) == []


def test_external_data_concerns_as_its_model_does(tmp_path, repo):
    spec = written(tmp_path)
    (tmp_path / "net").mkdir()
    model = onnx.load(repo / "models/digits_pytorch.onnx")
    onnx.save(model, tmp_path / "net/model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert concerned_specs([tmp_path / "net/weights.bin"], tmp_path) == [spec]
    assert concerned_specs([tmp_path / "net/other.bin"], tmp_path) == []
    (tmp_path / "net/model.onnx").write_bytes(b"no model")
    assert concerned_specs([tmp_path / "net/weights.bin"], tmp_path) == []


def test_all_specs_below_are_looked_at_but_in_hidden_folders_and_environments(tmp_path):
    found = [written(tmp_path / name, 'model = "/m.onnx"') for name in ("b", "a", "a/deep")]
    written(tmp_path / ".hidden", 'model = "/m.onnx"')
    written(tmp_path / "env/lib", 'model = "/m.onnx"')
    (tmp_path / "env/pyvenv.cfg").touch()
    assert concerned_specs(["/m.onnx"], tmp_path) == [found[1], found[2], found[0]]


def test_a_spec_that_cannot_be_read_is_concerned_by_everything(tmp_path):
    spec = written(tmp_path, "model = ")
    assert concerned_specs([tmp_path / "README.md"], tmp_path) == [spec]


@pytest.mark.parametrize(
    "text", ["model = 3\nimage = 4\nfolder = 5", "[model]\n[[folder]]", "image = [1]", "# nothing"]
)
def test_what_does_not_fit_in_a_spec_is_no_name(tmp_path, text):
    spec = written(tmp_path, text)
    assert concerned_specs([tmp_path / "README.md"], tmp_path) == []
    assert concerned_specs([spec], tmp_path) == [spec]


# ---- with git ----


def git(folder, *words, **settings):
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *own, *words], cwd=folder, capture_output=True, text=True, **settings)


def committed(folder, message="all"):
    git(folder, "init", "--quiet", check=True)
    git(folder, "add", "--all", check=True)
    git(folder, "commit", "--quiet", "--no-verify", "-m", message, check=True)
    return git(folder, "rev-parse", "HEAD", check=True).stdout.strip()


def test_a_file_that_git_had_and_that_is_gone_concerns(tmp_path, monkeypatch):
    specs = [written(tmp_path / "a"), written(tmp_path / "b")]
    for name in NAMED[:5]:
        (tmp_path / "a" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_text(name)
    before = committed(tmp_path)
    assert concerned_specs([], tmp_path) == []  # git never had the others
    shutil.rmtree(tmp_path / "a/net")
    assert concerned_specs([], tmp_path) == specs[:1]
    monkeypatch.setenv("GIT_DIR", ".git")  # as git hands it to its hooks
    assert concerned_specs([], tmp_path) == specs[:1]
    monkeypatch.delenv("GIT_DIR")
    committed(tmp_path, "gone")
    assert concerned_specs([], tmp_path) == []
    monkeypatch.setenv("PRE_COMMIT_FROM_REF", before)
    assert concerned_specs([], tmp_path) == specs[:1]
    monkeypatch.setenv("PATH", "")  # no git
    assert concerned_specs([], tmp_path) == []


# ---- the command ----


def check(*words):
    return CliRunner().invoke(main, ["check", *map(str, words)])


def test_where_nothing_is_concerned_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for files in ([], ["README.md", "no such file"]):
        done = check("--changed", "--sarif", "c.sarif", "--junit", "c.xml", "--report", "c.html", *files)
        assert done.exit_code == 0
        assert done.output == "No SPEC (*.rsp.toml) here and below names a changed file: nothing to check.\n"
        assert '"results": []' in Path("c.sarif").read_text(encoding="utf-8")
        assert 'tests="0"' in Path("c.xml").read_text(encoding="utf-8")
        assert "<html" in Path("c.html").read_text(encoding="utf-8")
    done = check("--changed", "--json", "README.md")
    assert done.exit_code == 0 and '"specs": []' in done.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "Missing argument 'SPEC...'."),
        (["--changed", "--record", "a"], "leave out --record"),
        (["--changed", "--update"], "leave out --record"),
        (["--changed", "--model", "m.onnx", "a"], "leave out --record"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path, monkeypatch, words, says):
    monkeypatch.chdir(tmp_path)
    done = check(*words)
    assert done.exit_code == 2 and says in done.output


# ---- the real pre-commit, and the pages' examples ----


@pytest.fixture
def project(repo, tmp_path):
    """Return a checkout with the digits model and its goldens, a command ``rsp-onnx``, and the environment for both."""
    folder = tmp_path / "project"
    text = re.sub(r"(labels|preprocess) = .*\n|mask = .*\n|\[folder\][^[]*", "", SPEC)
    spec = written(folder, text)
    (folder / "net").mkdir()
    shutil.copy(repo / "models/digits_pytorch.onnx", folder / "net/model.onnx")
    shutil.copy(repo / "models/scenes/scene_0.png", folder)
    (folder / "README.md").write_text("A model.\n")
    record(spec, costs=False)
    command = tmp_path / "bin/rsp-onnx"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rsp_onnx.cli "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(sys.path),
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"), "GIT_CONFIG_NOSYSTEM": "1",
    }  # fmt: skip
    return folder, environment


def with_another_model(folder):
    saved(with_random_layer(folder / "net/model.onnx", 3), folder / "net/model.onnx")


@pytest.fixture
def hooked(repo, tmp_path, project):
    """Return the checkout with our hook installed, from a repository that holds nothing else: nothing is downloaded."""
    pytest.importorskip("pre_commit", reason="pre-commit is not installed: pip install pre-commit")
    folder, environment = project
    (tmp_path / "hooks").mkdir()
    shutil.copy(repo / ".pre-commit-hooks.yaml", tmp_path / "hooks")
    revision = committed(tmp_path / "hooks")
    (folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n- repo: {(tmp_path / 'hooks').as_posix()}\n  rev: {revision}\n  hooks:\n  - id: rsp-onnx-check\n"
        "    language: system\n    verbose: true\n"  # the command above instead of one from an index
    )
    committed(folder)
    subprocess.run([sys.executable, "-m", "pre_commit", "install"], cwd=folder, env=environment, check=True)
    return folder, environment


def commit(folder, environment):
    git(folder, "add", "--all", check=True)
    return git(folder, "commit", "-m", "next", env=environment)


@pytest.mark.slow
def test_pre_commit_checks_a_changed_model_and_skips_an_unrelated_change(hooked):
    folder, environment = hooked
    (folder / "README.md").write_text("The model.\n")
    done = commit(folder, environment)
    assert done.returncode == 0 and "names a changed file: nothing to check." in done.stderr, done.stderr
    with_another_model(folder)
    done = commit(folder, environment)
    assert done.returncode == 1 and "✗ scores" in done.stderr, done.stderr
    git(folder, "reset", "--hard", check=True)
    os.utime(folder / "scene_0.png")
    (folder / "spec.rsp.toml").write_text("# The same.\n" + (folder / "spec.rsp.toml").read_text())
    done = commit(folder, environment)
    assert done.returncode == 0 and "hold" in done.stderr, done.stderr


@pytest.mark.slow
def test_pre_commit_sees_a_file_that_was_deleted(hooked):
    folder, environment = hooked
    (folder / "scene_0.png").unlink()
    done = commit(folder, environment)
    assert done.returncode == 1 and "there is no image scene_0.png" in done.stderr, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "base"), [("GitHub Actions", "GITHUB_BASE_REF"), ("GitLab CI", "CI_MERGE_REQUEST_DIFF_BASE_SHA")]
)
def test_the_examples_of_the_page_check_what_a_branch_changed(repo, project, place, base):
    folder, environment = project
    start = committed(folder)
    git(folder, "update-ref", "refs/remotes/origin/main", start, check=True)
    environment |= {base: "main" if base == "GITHUB_BASE_REF" else start, "GITHUB_STEP_SUMMARY": str(folder / "s.md")}
    section = (repo / "docs/checks.md").read_text(encoding="utf-8").partition(f"### {place}")[2]
    script = re.search(r"git diff .*\n.*", section).group()
    for change, code in (
        (lambda: (folder / "README.md").write_text("New.\n"), 0),
        (lambda: with_another_model(folder), 123),
    ):
        change()
        committed(folder, "change")
        done = subprocess.run(["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        assert ("nothing to check" if code == 0 else "✗ scores") in done.stdout
