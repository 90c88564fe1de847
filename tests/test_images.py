"""Photographs of every kind, preprocessing from every source, and the tensor that comes out."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.inputs.find_preprocess import METADATA_KEY, resolve_preprocess
from rsp_onnx.inputs.layout import InputSignature
from rsp_onnx.inputs.photos import read_photo
from rsp_onnx.inputs.prepare import prepare
from rsp_onnx.inputs.presets import PRESETS, Preprocess
from rsp_onnx.layout import channels_last

DATA = Path(__file__).parents[2] / "shared" / "data"
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def wants(*shape, dtype="float32"):
    return InputSignature("x", np.dtype(dtype), shape)


def pixels(image):
    assert image.mode == "RGB"
    return np.asarray(image)


# --- reading -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_files_keep_their_pixels(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(PIXELS).save(path, lossless=True) if suffix == "webp" else Image.fromarray(PIXELS).save(path)
    assert np.array_equal(pixels(read_photo(path)), PIXELS)
    assert np.array_equal(pixels(read_photo(str(path))), PIXELS)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, 1)),
        (7, lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_a_turned_camera_gives_an_upright_photo_once(tmp_path, orientation, undo, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    Image.fromarray(np.ascontiguousarray(undo(PIXELS))).save(path, exif=exif)
    photo = read_photo(path)
    assert np.array_equal(pixels(photo), PIXELS)
    assert np.array_equal(pixels(read_photo(photo)), PIXELS)  # the second reading turns nothing
    with Image.open(path) as opened:
        assert np.array_equal(pixels(read_photo(opened)), PIXELS)


def test_transparency_is_laid_over_white():
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (0, 255, 51)  # black: invisible, full, 20 %
    assert pixels(read_photo(rgba))[0, :, 0].tolist() == [255, 0, 204]
    gray = Image.fromarray(np.array([[[100, 255], [100, 0]]], np.uint8), mode=None)
    assert gray.mode == "LA"
    assert pixels(read_photo(gray))[0, :, 0].tolist() == [100, 255]


def test_palettes_with_and_without_a_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert pixels(read_photo(image)).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    image.save(tmp_path / "p.png", transparency=bytes([255, 0]))
    assert pixels(read_photo(tmp_path / "p.png")).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_sixteen_bit_gray_is_scaled_not_clipped(tmp_path):
    deep = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    for suffix in ("png", "tiff"):
        Image.fromarray(deep).save(tmp_path / f"deep.{suffix}")
        assert pixels(read_photo(tmp_path / f"deep.{suffix}"))[0, :, 0].tolist() == [0, 1, 128, 255]
    assert pixels(read_photo(Image.fromarray(deep.astype(np.int32))))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_tiffs_are_scaled_by_their_range(tmp_path, top):
    Image.fromarray(np.array([[0.0, top * 0.2, top]], np.float32)).save(tmp_path / "f.tiff")
    assert pixels(read_photo(tmp_path / "f.tiff"))[0, :, 0].tolist() == [0, 51, 255]


@pytest.mark.parametrize("values", [[-1.0, 3.0], [0.0, 1e9], [np.nan, 1.0]])
def test_float_pixels_out_of_any_range_are_refused(values):
    with pytest.raises(BadInput, match="scale it to 8 bits"):
        read_photo(Image.fromarray(np.array([values], np.float32)))


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr", "HSV", "RGBX", "PA"])
def test_other_modes_become_rgb(mode):
    photo = read_photo(Image.new("RGB", (4, 3), "white").convert("P" if mode == "PA" else mode).convert(mode))
    assert photo.mode == "RGB" and photo.size == (4, 3)
    assert np.asarray(photo).min() >= 250  # white stays white


def test_the_first_frame_of_an_animation_is_taken(tmp_path):
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert pixels(read_photo(tmp_path / "a.gif"))[0, 0].tolist() == [255, 0, 0]


def test_arrays_of_pixels(tmp_path):
    assert np.array_equal(pixels(read_photo(PIXELS[:, ::-1])), PIXELS[:, ::-1])
    gray = PIXELS[:, :, 0]
    for array in (gray, gray[:, :, None]):
        assert np.array_equal(pixels(read_photo(array))[:, :, 1], gray)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "not float32"),
        (np.zeros((4, 4), bool), "not bool"),
        (np.zeros((3, 4, 4, 3), np.uint8), "shape"),
        (np.zeros((3, 20, 20), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array, message):
    with pytest.raises(BadInput, match=message):
        read_photo(array)


def test_the_given_image_is_left_as_it_is():
    image = Image.fromarray(PIXELS)
    image.info["note"] = "mine"
    photo = read_photo(image)
    photo.putpixel((0, 0), (1, 2, 3))
    assert np.array_equal(np.asarray(image), PIXELS) and image.info == {"note": "mine"}


def test_every_bad_file_gets_one_clear_sentence(tmp_path):
    (tmp_path / "text.jpg").write_text("no image at all")
    (tmp_path / "empty.png").write_bytes(b"")
    np.save(tmp_path / "tensor.npy", np.zeros(3))
    Image.fromarray(np.tile(PIXELS, (20, 20, 1))).save(tmp_path / "whole.png")
    Image.fromarray(np.tile(PIXELS, (20, 20, 1))).save(tmp_path / "whole.jpg")
    for suffix in ("png", "jpg"):
        data = (tmp_path / f"whole.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) // 2])
    (tmp_path / "run.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    cases = {
        "nowhere.png": "There is no image file",
        ".": "is a folder",
        "text.jpg": "not an image that Pillow can read",
        "empty.png": "is empty",
        "tensor.npy": r"tensors: \.npy",
        "cut.png": "damaged or cut off",
        "cut.jpg": "damaged or cut off",
        "whole.png/below.png": "cannot be read",
        "run.eps": "not an image that Pillow can read",  # reading it would start Ghostscript
        "null\0byte.png": "cannot be read",
    }
    for name, message in cases.items():
        with pytest.raises(BadInput, match=message) as caught:
            read_photo(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="not int"):
        read_photo(3)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "locked.png")
    (tmp_path / "locked.png").chmod(0)
    with pytest.raises(BadInput, match="permissions"):
        read_photo(tmp_path / "locked.png")


@pytest.mark.parametrize("limit", [40, 10])  # Pillow warns above the limit (54 pixels) and refuses above twice
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch, limit):
    Image.fromarray(PIXELS).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    for action in ("error", "ignore"):
        with warnings.catch_warnings():
            warnings.simplefilter(action)
            with pytest.raises(BadInput, match="shrink it first"):
                read_photo(tmp_path / "bomb.png")


def test_real_photos():
    folder = DATA / "images" / "ilsvrc_val"
    if not folder.is_dir():
        pytest.skip("the shared photographs are not here")
    for path in sorted(folder.glob("*.JPEG"))[:10]:
        with Image.open(path) as image:
            assert np.array_equal(pixels(read_photo(path)), np.asarray(image.convert("RGB")))


# --- what the graph wants ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "layout", "sizes"),
    [
        ((1, 3, 224, 200), "NCHW", (3, 224, 200)),
        ((None, 224, 200, 3), "NHWC", (3, 224, 200)),
        ((None, None, None, 3), "NHWC", (3, None, None)),
        ((None, 3, None, None), "NCHW", (3, None, None)),
        ((1, 3, 4, 4), "NCHW", (3, 4, 4)),
        ((1, 28, 28, 1), "NHWC", (1, 28, 28)),
        ((1, 12, 8, 8), "NCHW", (12, 8, 8)),
        ((None, 28, 29), "NHW", (1, 28, 29)),
    ],
)
def test_the_layout_follows_from_the_sizes(shape, layout, sizes):
    signature = wants(*shape)
    assert signature.layout() == layout
    assert channels_last(shape) == (layout == "NHWC")
    assert (signature.channels, signature.height, signature.width) == sizes


@pytest.mark.parametrize("shape", [(1, 10), (None, 3, 8, 32, 32), (), (3, 224, 224), (224, 224, 3)])
def test_an_input_that_is_no_batch_of_images_is_refused(shape):
    with pytest.raises(BadInput, match=r"\.npy"):
        wants(*shape).layout()


# --- the tensor --------------------------------------------------------------------------------------------

PHOTO = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16])
def test_imagenet_torch_is_its_formula(dtype):
    prepared = prepare(PHOTO, wants(1, 3, 8, 8, dtype=dtype), PRESETS["imagenet-torch"])
    want = (PHOTO.transpose(2, 0, 1) / 255 - np.reshape([0.485, 0.456, 0.406], (3, 1, 1))) / np.reshape(
        [0.229, 0.224, 0.225], (3, 1, 1)
    )
    assert prepared.tensor.dtype == dtype and prepared.tensor.flags.c_contiguous
    # half a unit in the last place: the arithmetic itself is done in float64
    eps = float(ml_dtypes.finfo(dtype).eps)
    np.testing.assert_allclose(prepared.tensor[0].astype(np.float64), want, rtol=max(eps, 1e-14), atol=1e-12)


def test_imagenet_caffe_is_bgr_and_imagenet_tf_runs_from_minus_one_to_one():
    caffe = prepare(PHOTO, wants(1, 3, 8, 8), PRESETS["imagenet-caffe"]).tensor[0]
    assert np.array_equal(caffe[0], PHOTO[:, :, 2] - np.float32(104))
    assert np.array_equal(caffe[2], PHOTO[:, :, 0] - np.float32(123))
    tf = prepare(np.full((2, 2, 3), (0, 255, 51), np.uint8), wants(1, 2, 2, 3), PRESETS["imagenet-tf"]).tensor
    np.testing.assert_allclose(tf[0, 0, 0], [-1, 1, -0.6], atol=1e-7)


def test_raw_pixels_in_every_type():
    for dtype in ("uint8", "float32", "int32", "uint16"):
        tensor = prepare(PHOTO, wants(1, 8, 8, 3, dtype=dtype), PRESETS["raw"]).tensor
        assert tensor.dtype == dtype and np.array_equal(tensor[0], PHOTO)
    signed = prepare(PHOTO, wants(1, 8, 8, 3, dtype="int8"), PRESETS["raw"]).tensor
    assert np.array_equal(signed[0].astype(int) + 128, PHOTO)


def test_values_of_integer_inputs_are_rounded_to_the_nearest():
    found = prepare(PHOTO, wants(1, 8, 8, 3, dtype="uint8"), Preprocess(scale=0.7)).tensor[0]
    assert np.array_equal(found, np.rint(0.7 * PHOTO.astype(np.float64)))


@pytest.mark.parametrize("preset", ["imagenet-torch", "imagenet-tf", "imagenet-caffe", "unit"])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_float_values_in_an_integer_input_are_refused(preset, dtype):
    with pytest.raises(BadInput, match="--preprocess raw"):
        prepare(PHOTO, wants(1, 3, 8, 8, dtype=dtype), PRESETS[preset])


def test_gray_and_rgba_inputs():
    gray = np.asarray(Image.fromarray(PHOTO).convert("L"))
    assert np.array_equal(prepare(PHOTO, wants(1, 1, 8, 8), PRESETS["raw"]).tensor[0, 0], gray)
    assert np.array_equal(prepare(PHOTO, wants(1, 8, 8), PRESETS["raw"]).tensor[0], gray)
    rgba = prepare(PHOTO, wants(1, 8, 8, 4), PRESETS["raw"]).tensor[0]
    assert np.array_equal(rgba[:, :, :3], PHOTO) and np.all(rgba[:, :, 3] == 255)
    digit = gray.copy()
    assert np.array_equal(prepare(digit, wants(1, 1, 8, 8), PRESETS["raw"]).tensor[0, 0], digit)


def test_sizes():
    assert prepare(PHOTO, wants(None, 3, None, None), PRESETS["unit"]).tensor.shape == (1, 3, 224, 224)
    assert prepare(PHOTO, wants(None, None, None, 3), Preprocess(size=(20, 30))).tensor.shape == (1, 20, 30, 3)
    assert prepare(PHOTO, wants(1, 3, 20, 30), Preprocess(size=(20, 30))).tensor.shape == (1, 3, 20, 30)
    with pytest.raises(BadInput, match=r"20×30.*16×16"):
        prepare(PHOTO, wants(1, 3, 16, 16), Preprocess(size=(20, 30)))


@pytest.mark.parametrize("channels", [2, 5, 12])
def test_other_channel_counts_are_refused(channels):
    with pytest.raises(BadInput, match=rf"{channels} channels.*\.npy"):
        prepare(PHOTO, wants(1, channels, 8, 8), PRESETS["unit"])


def test_contradictions_between_model_and_preprocessing_are_refused():
    with pytest.raises(BadInput, match='channels = "L"'):
        prepare(PHOTO, wants(1, 1, 8, 8), PRESETS["imagenet-torch"])
    with pytest.raises(BadInput, match="3 values of mean"):
        prepare(PHOTO, wants(1, 1, 8, 8), Preprocess(mean=(0.1, 0.2, 0.3)))
    with pytest.raises(BadInput, match="not numbers"):
        prepare(PHOTO, wants(1, 3, 8, 8, dtype="bool"), PRESETS["unit"])


def test_a_letterbox_has_margins_of_the_pad_value():
    wide = np.full((4, 8, 3), 200, np.uint8)
    tensor = prepare(wide, wants(1, 8, 8, 3, dtype="uint8"), Preprocess(scale=1.0, resize="pad", pad_value=114)).tensor
    assert tensor[0, :, 0, 0].tolist() == [114, 114, 200, 200, 200, 200, 114, 114]


def test_preparing_changes_neither_photo_nor_result():
    photo = Image.fromarray(RNG.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    before = photo.tobytes()
    first, second = (prepare(photo, wants(1, 3, 32, 32), PRESETS["imagenet-torch"]) for _ in range(2))
    assert hashlib.sha256(first.tensor).digest() == hashlib.sha256(second.tensor).digest()
    assert photo.tobytes() == before and first.photo.size == (70, 50)


@pytest.mark.parametrize("filter_name", ["bilinear", "bicubic", "nearest", "lanczos", "box"])
def test_filters_are_pillows(filter_name):
    photo = Image.fromarray(RNG.integers(0, 256, (50, 70, 3), dtype=np.uint8))
    want = photo.resize((21, 33), Image.Resampling[filter_name.upper()])
    settings = Preprocess(scale=1.0, interpolation=filter_name)
    assert np.array_equal(prepare(photo, wants(1, 33, 21, 3, dtype="uint8"), settings).tensor[0], np.asarray(want))


def test_the_value_range_is_where_black_and_white_go():
    low, high = PRESETS["imagenet-torch"].value_range(3)
    black, white = (
        prepare(np.full((2, 2, 3), v, np.uint8), wants(1, 3, 2, 2, dtype="float64"), PRESETS["imagenet-torch"])
        for v in (0, 255)
    )
    np.testing.assert_allclose(low, black.tensor[0, :, 0, 0], atol=1e-12)
    np.testing.assert_allclose(high, white.tensor[0, :, 0, 0], atol=1e-12)


# --- where preprocessing comes from ------------------------------------------------------------------------

IMAGE = wants(1, 3, 8, 8)


def test_what_is_given_goes_first_then_the_file_then_metadata_then_a_guess(tmp_path):
    model = tmp_path / "net.v2.onnx"
    metadata = {METADATA_KEY: '{"preset": "imagenet-caffe", "scale": 0.5}'}
    guess = resolve_preprocess(None, signature=IMAGE, model_path=model)
    assert (guess.name, guess.source) == ("imagenet-torch", "guessed")
    preprocess = resolve_preprocess(None, signature=IMAGE, metadata=metadata, model_path=model)
    assert (preprocess.source, preprocess.scale, preprocess.channels, preprocess.mean) == (
        "metadata",
        0.5,
        "BGR",
        (104, 117, 123),
    )
    (tmp_path / "net.v2.preprocess.toml").write_text('preset = "unit"\nsize = [10, 20]\n')
    preprocess = resolve_preprocess(None, signature=IMAGE, metadata=metadata, model_path=model)
    assert (preprocess.source, preprocess.size, preprocess.scale) == ("file", (10, 20), 1 / 255)
    preprocess = resolve_preprocess("raw", signature=IMAGE, metadata=metadata, model_path=model)
    assert preprocess is PRESETS["raw"] and preprocess.source == "preset"
    own = Preprocess(mean=[0.5], std=[np.float32(0.5)])
    assert resolve_preprocess(own, signature=IMAGE, model_path=model) is own
    assert resolve_preprocess({"mean": [0.5]}, signature=IMAGE).mean == (0.5,)


@pytest.mark.parametrize(
    ("signature", "producer", "name"),
    [
        (wants(1, 224, 224, 3, dtype="uint8"), "caffe", "raw"),
        (wants(1, 224, 224, 3, dtype="int8"), "", "raw"),
        (wants(1, 3, 224, 224), "onnx-caffe2", "imagenet-caffe"),
        (wants(1, 224, 224, 3), "tf2onnx", "imagenet-tf"),
        (wants(None, 3, None, None), "pytorch", "imagenet-torch"),
        (wants(1, 1, 28, 28), "pytorch", "unit"),
        (wants(1, 28, 28, 1), "tf2onnx", "unit"),
        (wants(None, 28, 28), "", "unit"),
    ],
)
def test_the_guess(signature, producer, name):
    guess = resolve_preprocess(None, signature=signature, producer=producer)
    assert (guess.name, guess.source) == (name, "guessed")
    height, width = signature.height or 224, signature.width or 224
    assert prepare(PHOTO, signature, guess).tensor.size == height * width * signature.channels


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_survive_json(preset):
    text = json.dumps(PRESETS[preset].to_dict())
    again = resolve_preprocess(None, signature=IMAGE, metadata={METADATA_KEY: text})
    assert again.to_dict() == {**PRESETS[preset].to_dict(), "source": "metadata"}


def test_all_problems_of_a_file_are_told_at_once(tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(
        'preset = "none"\nmeen = [0.5]\nsize = [0, 224]\nscale = nan\nmean = [1, 2]\nstd = [0.0]\n'
        'channels = "GBR"\n'
        'resize = 3\ncrop_fraction = 1.5\npad_value = 1.0\ninterpolation = "cubic"\n'
    )
    with pytest.raises(BadInput) as caught:
        resolve_preprocess(path, signature=IMAGE)
    message = str(caught.value)
    for part in ("wrong.toml", "preset must", "'meen'", "size must", "scale must", "mean must", "std must"):
        assert part in message
    for part in ("channels must", "resize must", "crop_fraction must", "pad_value must", "interpolation must"):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "wrong",
    [
        {"std": (0,)},
        {"std": (-1.0,)},
        {"mean": 0.5},
        {"mean": (True,)},
        {"mean": (float("inf"),)},
        {"mean": ()},
        {"mean": "0.5"},
        {"scale": 0},
        {"scale": "1"},
        {"size": 224},
        {"size": (224, 1.5)},
        {"size": (True, True)},
        {"channels": ["RGB"]},
        {"name": ""},
        {"mean": (0, 0, 0), "std": (1, 1, 1, 1)},
        {"mean": (0, 0, 0), "channels": "L"},
    ],
)
def test_wrong_fields_are_refused_wherever_they_come_from(wrong):
    with pytest.raises(BadInput):
        Preprocess(**wrong)
    with pytest.raises(BadInput):
        resolve_preprocess(wrong, signature=IMAGE)


def test_files_that_are_no_preprocessing(tmp_path):
    (tmp_path / "bad.toml").write_text("mean = [")
    (tmp_path / "latin.toml").write_bytes(b"name = '\xe9'")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    cases = {"bad.toml": "not valid TOML", "latin.toml": "UTF-8", "bad.json": "JSON", "list.json": "table"}
    for name, message in {**cases, "nowhere.toml": "cannot be read", ".": "cannot be read"}.items():
        with pytest.raises(BadInput, match=message):
            resolve_preprocess(tmp_path / name, signature=IMAGE)
    with pytest.raises(BadInput, match=r"imagenet-torch, imagenet-caffe, imagenet-tf, unit, raw"):
        resolve_preprocess("imagenet", signature=IMAGE)
    with pytest.raises(BadInput, match=METADATA_KEY):
        resolve_preprocess(None, signature=IMAGE, metadata={METADATA_KEY: "{"})


def test_a_rarer_format_is_read_by_a_process_that_has_seen_none(tmp_path):
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "photo", "TIFF")  # no ending, by which Pillow might guess
    code = "import sys\nfrom rsp_onnx.inputs.photos import read_photo\nprint(read_photo(sys.argv[1]).getpixel((2, 1)))"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "photo")], capture_output=True, text=True)
    assert done.stdout == "(1, 2, 3)\n", done.stderr
