"""Results are written completely or not at all."""

from __future__ import annotations

import json
import os
import time

import numpy as np
import pytest
from PIL import Image

from rsp_onnx.errors import BadOutput
from rsp_onnx.files import make_folder, save_bytes, save_json, save_npz, save_png, write_atomically


def test_bytes_replace_what_was_there_and_leave_nothing_beside(tmp_path):
    path = tmp_path / "result.bin"
    save_bytes(path, b"old and longer")
    save_bytes(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["result.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "result.bin"
    save_bytes(path, b"old")

    def write(file):
        file.write(b"half")
        raise error("in the middle")

    with pytest.raises(error, match="in the middle"):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.bin"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "result.bin"

    def write(file):
        file.write(b"the outer")
        save_bytes(path, b"the inner")
        assert path.read_bytes() == b"the inner"

    write_atomically(path, write)
    assert path.read_bytes() == b"the outer"
    assert os.listdir(tmp_path) == ["result.bin"]


def test_a_full_disk_is_told_in_one_sentence(tmp_path):
    def write(file):
        raise OSError(28, "No space left on device")

    with pytest.raises(BadOutput, match=r"result\.bin cannot be written: No space left on device\.$"):
        write_atomically(tmp_path / "result.bin", write)
    assert os.listdir(tmp_path) == []


def test_places_that_cannot_be_written(tmp_path):
    save_bytes(tmp_path / "file", b"x")
    with pytest.raises(BadOutput, match="no folder"):
        save_bytes(tmp_path / "file" / "below", b"y")
    with pytest.raises(BadOutput, match="no folder"):
        save_bytes(tmp_path / "nowhere" / "file", b"y")
    with pytest.raises(BadOutput, match="is a folder"):
        save_bytes(tmp_path, b"y")
    with pytest.raises(BadOutput, match="cannot be written"):
        save_bytes(tmp_path / ("x" * 300), b"y")
    with pytest.raises(BadOutput, match="cannot be created"):
        make_folder(tmp_path / "file" / "folder")
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"x"


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither")
def test_devices_are_not_replaced_and_links_are_followed(tmp_path):
    with pytest.raises(BadOutput, match="regular"):
        save_bytes("/dev/null", b"x")
    save_bytes(tmp_path / "target", b"old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    save_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_files_get_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    save_bytes(tmp_path / "file", b"")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_make_folder(tmp_path):
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert make_folder(str(tmp_path / "a" / "b")).is_dir()


def test_npz_holds_the_arrays_and_the_same_bytes_every_time(tmp_path):
    arrays = {"relevance": np.arange(6.0).reshape(2, 3).T, "file": np.array(3), "path": np.array(["a", "é"])}
    save_npz(tmp_path / "one.npz", **arrays)
    time.sleep(2.1)  # zip archives tell times in steps of two seconds
    save_npz(tmp_path / "two.npz", **arrays)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as loaded:
        assert set(loaded) == set(arrays)
        for name, array in arrays.items():
            assert loaded[name].dtype == array.dtype and np.array_equal(loaded[name], array)


def test_python_objects_are_not_written(tmp_path):
    with pytest.raises(BadOutput, match="'bad' holds Python objects"):
        save_npz(tmp_path / "x.npz", good=1, bad=np.array([{}]))
    assert os.listdir(tmp_path) == []


def test_png_keeps_the_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    save_png(tmp_path / "x.png", Image.fromarray(pixels))
    with Image.open(tmp_path / "x.png") as image:
        assert image.format == "PNG" and np.array_equal(np.asarray(image), pixels)


def test_json_takes_numpy_and_paths_but_no_nan(tmp_path):
    path = tmp_path / "x.json"
    save_json(path, {"score": np.float32(0.5), "ids": np.arange(3), "from": tmp_path, "word": "ü"})
    assert json.loads(path.read_text("utf-8")) == {"score": 0.5, "ids": [0, 1, 2], "from": str(tmp_path), "word": "ü"}
    assert path.read_bytes().endswith(b"}\n")
    for wrong in (float("nan"), object(), {"bad": np.array([np.inf])}):
        with pytest.raises(BadOutput, match="JSON"):
            save_json(path, wrong)
    assert json.loads(path.read_text("utf-8"))["score"] == 0.5
