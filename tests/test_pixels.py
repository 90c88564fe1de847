"""What is lost or guessed when a picture is read, and that it is told."""

import dataclasses
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from rsp_onnx import Explainer
from rsp_onnx.inputs.photos import read
from rsp_onnx.inputs.prepare import prepare
from rsp_onnx.inputs.presets import PRESETS, Preprocess

from .little import gray_net
from .test_images import wants


def deep_png(values, colours):
    """A PNG of 16 bits per value [H, W, C] that Pillow cannot write; colours: PNG's colour type."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, colours, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.fixture
def twelve_bits(tmp_path):
    """A grey picture of 12-bit values in 16 bits, and its values."""
    values = np.random.default_rng(0).integers(0, 4096, (16, 20)).astype(np.uint16)
    values[0, 0] = 4095
    Image.fromarray(values).save(tmp_path / "x.png")
    return tmp_path / "x.png", values.astype(np.float64)


NEAREST = {"interpolation": "nearest"}  # one pixel of the photo for each of the tensor's


@pytest.mark.parametrize("channels", [1, 3])
def test_twelve_bits_in_sixteen_are_told_and_keep_their_fractions(twelve_bits, channels):
    path, values = twelve_bits
    found = prepare(path, wants(1, channels, 16, 20), Preprocess(**NEAREST))
    (remark,) = found.remarks
    assert remark.startswith(
        "its 16-bit pixels reach only 4095 and were read as 4095 of 65535; if they are 12-bit values"
    )
    np.testing.assert_allclose(found.tensor[0], np.stack([values / 65535] * channels), rtol=1e-6)
    scale = float(re.search(r"--scale ([\d.e-]+)", remark)[1])
    mended = prepare(path, wants(1, channels, 16, 20), Preprocess(scale=scale, **NEAREST))
    assert mended.remarks == ()
    np.testing.assert_allclose(mended.tensor[0], np.stack([values / 4095] * channels), rtol=1e-5)  # scale's six digits


@pytest.mark.parametrize("preset", ["imagenet-torch", "imagenet-caffe", "imagenet-tf", "unit", "raw"])
def test_the_scale_that_is_told_suits_every_preset(twelve_bits, preset):
    """The mended picture is what the preset makes of the same values as 8-bit pixels."""
    path, values = twelve_bits
    usual = dataclasses.replace(PRESETS[preset], **NEAREST)
    (remark,) = prepare(path, wants(1, 3, 16, 20), usual).remarks
    mended = dataclasses.replace(usual, scale=float(re.search(r"--scale ([\d.e-]+)", remark)[1]))
    found = prepare(path, wants(1, 3, 16, 20), mended)
    want = prepare(Image.fromarray(np.round(values / 4095 * 255).astype(np.uint8)), wants(1, 3, 16, 20), usual)
    step = 0.51 * usual.scale / min(usual.std)  # half an 8-bit level
    assert found.remarks == () and np.abs(found.tensor - want.tensor).max() <= step


def test_an_integer_model_takes_the_mended_picture(twelve_bits):
    path, values = twelve_bits
    found = prepare(path, wants(1, 1, 16, 20, dtype="uint8"), Preprocess(scale=65535 / 4095, **NEAREST))
    np.testing.assert_array_equal(found.tensor[0, 0], np.round(values / 4095 * 255))
    assert prepare(path, wants(1, 1, 16, 20, dtype="uint8"), PRESETS["raw"]).tensor.max() == 16


def test_sixteen_bits_in_full_are_not_told():
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    found = prepare(Image.fromarray(values), wants(1, 1, 8, 8), Preprocess(**NEAREST))
    assert found.remarks == ()
    np.testing.assert_allclose(found.tensor[0, 0], values / 65535, rtol=1e-6)


def test_fractions_are_resampled_as_8_bits_are():
    values = np.random.default_rng(1).integers(90, 166, (40, 60)).astype(np.uint16)  # no filter overshoots
    for how in ("bilinear", "bicubic", "lanczos", "box", "nearest"):
        fine, plain = (
            prepare(Image.fromarray(v), wants(1, 4, 24, 24), Preprocess(resize="crop", interpolation=how, pad_value=9))
            for v in (values * 257, values.astype(np.uint8))
        )
        assert np.abs(fine.tensor[:, :3] - plain.tensor[:, :3]).max() <= 1.01 / 255  # Pillow rounds after each axis
        assert np.array_equal(fine.tensor[:, 3], plain.tensor[:, 3])


@pytest.mark.parametrize(("top", "taken"), [(0.5, "0..1"), (1.0, "0..1"), (200.0, "0..255"), (60000.0, "0..65535")])
def test_what_float_pixels_were_taken_for_is_told(tmp_path, top, taken):
    Image.fromarray(np.array([[0.0, top]], np.float32)).save(tmp_path / "f.tiff")
    assert read(tmp_path / "f.tiff").remarks == (
        f"its float pixels reach from 0 to {top:.4g} and were taken for values of {taken}",
    )


@pytest.mark.parametrize(("colours", "channels"), [(2, 3), (6, 4), (4, 2)], ids=["RGB", "RGBA", "LA"])
def test_the_lost_half_of_16_bit_colours_is_told_where_it_is_most(tmp_path, colours, channels):
    values = np.full((4, 5, channels), 4095)
    (tmp_path / "x.png").write_bytes(deep_png(values, colours))
    told = read(tmp_path / "x.png").remarks[-1]
    if channels == 3:
        assert told.startswith(
            "its 16-bit colours reach only about 4095 of 65535 and were read with 8 bits, as 0..15 of"
        )
    else:
        assert "transparent" in told  # and white below: the colours reach 255
    (tmp_path / "full.png").write_bytes(deep_png(np.full((4, 5, channels), 65535), colours))
    assert read(tmp_path / "full.png").remarks == ()


def test_transparency_cmyk_and_further_frames_are_told(tmp_path):
    clear = np.full((4, 5, 4), 255, np.uint8)
    clear[:2, :, 3] = 0
    assert read(clear).remarks == ("50% of it is transparent and was laid over white",)
    clear[:, :, 3] = 255
    assert read(clear).remarks == ()
    Image.new("CMYK", (4, 5)).save(tmp_path / "c.jpg")
    assert read(tmp_path / "c.jpg").remarks == (
        "its CMYK colours were converted to RGB without their colour profile and may differ",
    )
    pages = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue", "lime")]
    pages[0].save(tmp_path / "p.tiff", save_all=True, append_images=pages[1:])
    assert read(tmp_path / "p.tiff").remarks == ("it holds 3 pictures, of which the first is explained",)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "YCbCr", "HSV", "RGBX"])
def test_nothing_is_told_where_nothing_is_lost(mode):
    assert read(Image.new("RGB", (4, 3), "white").convert(mode)).remarks == ()


def test_the_remarks_reach_the_explanation(twelve_bits):
    found = Explainer(gray_net(), device="cpu", preprocess="unit").explain(twelve_bits[0], 1)
    assert found.warnings[-1].startswith("its 16-bit pixels reach only 4095")
