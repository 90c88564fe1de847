"""The folder of the cache: shared by processes, bounded, never in the way; and the commands around it."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from rsp_onnx import BadInput, CacheWarning, Explainer, cache_report, clear_cache
from rsp_onnx.cache import place, store
from rsp_onnx.cache.store import Store
from rsp_onnx.cli.main import main

from .little import conv_net

CPU = {"device": "cpu", "threads": 1}
X = np.random.default_rng(0).normal(size=(1, 3, 12, 12)).astype(np.float32)
HEAVY = {"onnx_ir", "networkx", "onnxscript", "sympy", "onnx"}
EXPLAIN = """
import sys
import numpy as np
from rsp_onnx import Explainer
model, x, out = sys.argv[1:]
found = Explainer(model, device="cpu", threads=1).explain({"x": np.load(x)})
np.savez(out, relevance=found.relevance, cached=found.cached)
"""
KILLED = """
import os, signal, sys
import numpy as np
from rsp_onnx import Explainer
from rsp_onnx.cache import store
store.describe = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
Explainer(sys.argv[1], device="cpu", threads=1).explain({"x": np.load(sys.argv[2])})
"""


@pytest.fixture
def folder(cache_switched_on):
    return cache_switched_on


@pytest.fixture
def saved(tmp_path):
    onnx.save(conv_net(end="Softmax<axis=1>"), tmp_path / "net.onnx")
    np.save(tmp_path / "x.npy", X)
    return tmp_path / "net.onnx"


def explained(model, **settings):
    return Explainer(model, **CPU, **settings).explain({"x": X})


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def started(code, *arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.PIPE, text=True, **options
    )


# ---- processes ----


def test_processes_at_once_share_the_folder(folder, saved, tmp_path):
    want = explained(saved, cache=False).relevance
    outs = [tmp_path / f"{number}.npz" for number in range(4)]
    for _ in range(2):
        running = [started(EXPLAIN, saved, tmp_path / "x.npy", out) for out in outs]
        for one in running:
            _, said = one.communicate()
            assert (one.returncode, said) == (0, "")
        for out in outs:
            with np.load(out) as found:
                assert found["relevance"].tobytes() == want.tobytes()
        assert len(listed(folder)) == 3 and all(len(name) == 64 for name in listed(folder))
    for out in outs:
        with np.load(out) as found:
            assert found["cached"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")
def test_a_process_killed_while_it_writes_leaves_nothing_that_is_read(folder, saved, tmp_path, monkeypatch):
    one = started(KILLED, saved, tmp_path / "x.npy")
    one.communicate()
    assert one.returncode == -signal.SIGKILL
    (left,) = listed(folder)
    assert left.startswith(".rsp-onnx-")
    assert not explained(saved).cached and explained(saved).cached
    assert left in listed(folder), "it may still be written"
    os.utime(folder / left, (time.time() - 7200,) * 2)
    explained(saved, method="gradient")
    assert left not in listed(folder)


def test_an_entry_that_vanishes_while_it_is_read_is_none(folder, saved, monkeypatch):
    want = explained(saved)
    opened = store.opened

    def vanishing(path):
        entry = opened(path)
        for file in path.iterdir():
            file.unlink()
        return entry

    monkeypatch.setattr(store, "opened", vanishing)
    again = explained(saved)
    assert not again.cached and again.relevance.tobytes() == want.relevance.tobytes()


def test_whoever_comes_second_keeps_what_the_first_wrote(folder):
    place_of = Store(folder, 1 << 20)
    with place_of.draft() as one, place_of.draft() as other:
        (one / "a").write_bytes(b"first")
        (other / "a").write_bytes(b"second")
        place_of.keep(one, "0" * 64, {}, {})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            place_of.keep(other, "0" * 64, {}, {})
    assert listed(folder) == ["0" * 64]
    assert place_of.get("0" * 64).read("a") == b"first"


# ---- bounds ----


def filled(place_of, name, size, used):
    key = name * 64
    with place_of.draft() as draft:
        (draft / "a").write_bytes(bytes(size))
        place_of.keep(draft, key, {}, {})
    if (place_of.folder / key).is_dir():
        os.utime(place_of.folder / key / "entry.json", (used, used))


def test_what_was_not_used_for_longest_goes_first(folder):
    place_of = Store(folder, 100_000)
    for number, name in enumerate("abcd"):
        filled(place_of, name, 20_000, number)
    assert place_of.get("a" * 64), "reading it makes it the one used last"
    filled(place_of, "e", 30_000, 9)
    assert listed(folder) == ["a" * 64, "c" * 64, "d" * 64, "e" * 64]
    filled(place_of, "f", 200_000, 10)
    assert listed(folder) == ["a" * 64, "c" * 64, "d" * 64, "e" * 64], "more than the limit is not kept"


def test_the_limit_is_the_environments(folder, saved, monkeypatch):
    monkeypatch.setenv("RSP_ONNX_CACHE_SIZE", "1K")
    explained(saved)
    assert not explained(saved).cached
    assert cache_report()["limit"] == 1024 >= cache_report()["bytes"]


@pytest.mark.parametrize(
    ("said", "size"), [("", 2 << 30), ("1000", 1000), ("500M", 500 << 20), ("1.5g", 3 << 29), ("2 GiB", 2 << 30)]
)
def test_sizes_as_people_write_them(monkeypatch, said, size):
    monkeypatch.setenv("RSP_ONNX_CACHE_SIZE", said)
    assert place.size_limit() == size


@pytest.mark.parametrize("said", ["much", "-1", "5X", "1,5G", "M"])
def test_a_size_that_is_none_is_one_sentence(folder, monkeypatch, said):
    monkeypatch.setenv("RSP_ONNX_CACHE_SIZE", said)
    with pytest.raises(BadInput, match="is no size; write a number of bytes, or one like 500M or 4G"):
        Explainer(conv_net())
    assert explained(conv_net(), cache=False).relevance.any()


# ---- where it is ----


def test_the_folder_of_each_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("RSP_ONNX_CACHE", raising=False)
    monkeypatch.setattr(place.Path, "home", lambda: tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(place.sys, "platform", "linux")
    assert place.cache_folder() == tmp_path / ".cache/rsp-onnx"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert place.cache_folder() == tmp_path / ".cache/rsp-onnx"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert place.cache_folder() == tmp_path / "xdg/rsp-onnx"
    monkeypatch.setattr(place.sys, "platform", "darwin")
    assert place.cache_folder() == tmp_path / "Library/Caches/rsp-onnx"
    monkeypatch.setattr(place.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert place.cache_folder() == tmp_path / "local/rsp-onnx"
    for off in ("off", "OFF"):
        monkeypatch.setenv("RSP_ONNX_CACHE", off)
        assert place.cache_folder() is None


def test_an_account_without_a_home_has_no_cache(monkeypatch):
    def unknown():
        raise RuntimeError("Could not determine home directory.")

    for name in ("RSP_ONNX_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(place.Path, "home", unknown)
    monkeypatch.setattr(place.sys, "platform", "linux")
    assert place.cache_folder() is None
    assert explained(conv_net()).relevance.any()


def test_without_a_cache_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("RSP_ONNX_CACHE", "off")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    explained(conv_net())
    assert listed(tmp_path) == []
    assert cache_report() == {"folder": None, "entries": [], "bytes": 0, "limit": 0}
    assert clear_cache() == 0


def test_a_folder_that_cannot_be_written_is_said_once(folder, saved):
    folder.write_text("a file is in the way")
    with pytest.warns(CacheWarning, match="cannot be written: .*; every explainer is compiled anew") as said:
        found = explained(saved)
        explained(saved, method="gradient")
    assert len(said) == 1 and str(folder) in str(said[0].message)
    assert found.relevance.tobytes() == explained(saved, cache=False).relevance.tobytes()


def test_a_disk_that_is_full_is_said_and_the_work_goes_on(folder, saved, monkeypatch):
    from rsp_onnx.model import session

    monkeypatch.setattr(session, "_keep", lambda options, path, large: setattr(
        options, "optimized_model_filepath", str(path.parent / "no such folder" / "model.onnx")))  # fmt: skip
    with pytest.warns(CacheWarning, match="ONNX Runtime cannot write a model there"):
        found = explained(saved)
    assert found.relevance.tobytes() == explained(saved, cache=False).relevance.tobytes()


# ---- the commands ----


def cli(*arguments):
    result = CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def command(*arguments):
    """Run a command in a process of its own; return its outputs, and the packages it imported."""
    code = (
        "import sys\nfrom rsp_onnx.cli.main import main\ntry:\n    main(sys.argv[1:])\n"
        "except SystemExit as end:\n    print('imported', *sys.modules)\n    sys.exit(end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, _, modules = done.stdout.partition("imported ")
    return said, done.stderr, {name.partition(".")[0] for name in modules.split()}


def test_a_command_from_the_cache_imports_nothing_that_compiles(folder, repo, tmp_path):
    asked = (
        "explain",
        repo / "models/digits_pytorch.onnx",
        repo / "models/scenes/scene_0.png",
        "--device",
        "cpu",
        "-o",
    )
    found = [command(*asked, tmp_path / "out", *more) for more in (("--no-cache",), (), ())]
    files = {}
    for number, (_, _, modules) in enumerate(found):
        assert (modules & HEAVY == set()) == (number == 2)
    assert found[0][:2] == found[1][:2] == found[2][:2], "the terminal says the same"
    for number, more in enumerate((("--no-cache",), ())):
        cli(*asked, tmp_path / f"out{number}", *more)
        files[number] = {path.name: path.read_bytes() for path in (tmp_path / f"out{number}").iterdir()}
        (record,) = json.loads(files[number].pop("explain.json"))
        assert record.pop("cached") is (number == 1)
        files[number]["record"] = record
    assert files[0] == files[1]


def test_no_cache_is_for_one_command(folder, saved):
    cli("explain", saved, saved.with_name("x.npy"), "-o", saved.with_name("out"), "--no-cache", "--device", "cpu")
    assert not folder.exists()
    assert os.environ["RSP_ONNX_CACHE"] == str(folder)


@pytest.mark.parametrize("name", ["explain", "evaluate", "check", "compare", "audit"])
def test_every_command_that_explains_takes_no_cache(name):
    assert "--no-cache" in cli(name, "--help").stdout


def test_the_cache_is_shown_and_emptied(folder, saved):
    shown = cli("cache").stdout
    assert shown == f"0 entries, 0.0 MiB of at most 2.0 GiB, in {folder}\n"
    explained(saved, method="lrp-gamma:gamma=0.5")
    own = folder / "mine.txt"
    own.write_text("what is not ours stays")
    lines = cli("cache").stdout.splitlines()
    assert lines[0].split() == ["model", "method", "what", "size", "last", "used"]
    assert sum(str(saved) in line and "lrp-gamma:gamma=0.5" in line for line in lines) == 2
    assert lines[-1].startswith("3 entries, ")
    report = json.loads(cli("cache", "--json").stdout)
    assert set(report) == {"folder", "entries", "bytes", "limit"}
    assert report["bytes"] == sum(one["bytes"] for one in report["entries"]) > 0
    assert {one["model"] for one in report["entries"]} == {str(saved)}
    assert all(abs(one["used"] - time.time()) < 600 for one in report["entries"])
    assert report["bytes"] == sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and p != own)
    assert cli("cache", "--clear").stdout == "Removed 3 entries.\n"
    assert listed(folder) == ["mine.txt"]
    assert json.loads(cli("cache", "--clear", "--json").stdout) == {"removed": 0}


def test_a_cache_that_is_off_is_said(monkeypatch):
    monkeypatch.setenv("RSP_ONNX_CACHE", "off")
    assert cli("cache").stdout == "There is no cache: RSP_ONNX_CACHE is off, or this account has no home folder.\n"


def test_a_folder_that_cannot_be_written_is_one_line_on_the_terminal(folder, saved):
    folder.write_text("a file is in the way")
    asked = ("explain", saved, saved.with_name("x.npy"), "--device", "cpu", "-o", saved.with_name("out"))
    _, said, _ = command(*asked)
    (line,) = [line for line in said.splitlines() if "cache" in line]
    assert line.startswith("Warning: The cache of compiled explainers, ") and line.endswith(", or to off.")


def test_the_list_of_a_damaged_cache_is_still_a_list(folder, saved):
    explained(saved)
    for name in listed(folder):
        (folder / name / "entry.json").write_text("{")
    assert {one["model"] for one in cache_report()["entries"]} == {"?"}
    assert Path(cache_report()["folder"]) == folder
