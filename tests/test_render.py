"""Colours mean what they say; pictures of every shape, with any text, come out whole and the same."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.render import colour_limit, contact_sheet, figure, heatmap_rgb, overlay, smooth
from rsp_onnx.render.canvas import Page
from rsp_onnx.render.charts.series import series
from rsp_onnx.render.frame import Body, Heading, framed
from rsp_onnx.render.side_by_side import side_by_side
from rsp_onnx.render.text import Words, draw_words, drawable, text_width, wrap

RNG = np.random.default_rng(0)
PYPLOT_BEFORE = "matplotlib.pyplot" in sys.modules
GREY = Image.new("RGB", (40, 30), (128, 128, 128))


def series_figure(relevance, tensor=None, *, title, label="x"):
    return framed(series(relevance, tensor), Heading(title, ends=("against", f"for {label}"))).image()


def luminance(rgb):
    linear = (np.asarray(rgb, float) / 255) ** 2.2
    return linear @ [0.2126, 0.7152, 0.0722]


def test_red_speaks_for_and_blue_against_and_nothing_is_white():
    red, white, blue = heatmap_rgb(np.array([[1.0, 0.0, -1.0]]))[0].astype(int)
    assert white.tolist() == [255, 255, 255]
    assert red[0] > red[1] + 100 and red[0] > red[2] + 100
    assert blue[2] > blue[0] + 100 and blue[2] > blue[1] + 100


def test_stronger_is_darker_on_both_sides_alike():
    ramp = luminance(heatmap_rgb(np.linspace(-1, 1, 101)[None], 1.0)[0])
    assert np.all(np.diff(ramp[:51]) > 0) and np.all(np.diff(ramp[50:]) < 0)
    assert np.abs(ramp - ramp[::-1]).max() < 0.06  # of 1: the sides weigh about the same


def test_the_limit_ends_the_scale():
    values = np.array([[0.5, 2.0, 7.0]])
    painted = heatmap_rgb(values, 2.0)[0]
    assert np.array_equal(painted[1], painted[2]) and not np.array_equal(painted[0], painted[1])
    assert np.array_equal(heatmap_rgb(values * 3, 6.0)[0], painted)


def test_colour_limit():
    assert colour_limit(np.zeros((3, 3))) == 1.0
    assert colour_limit(np.linspace(-100, 0, 1001)[None]) == pytest.approx(99.5)
    assert colour_limit(np.array([[-4.0, 1.0]]), 100) == 4.0
    sparse = np.zeros((100, 100))
    sparse[3, 3] = -5
    assert colour_limit(sparse) == 5.0  # the percentile is 0, but something is there


@pytest.mark.parametrize("draw", [heatmap_rgb, colour_limit, lambda h: smooth(h, 1), lambda h: overlay(GREY, h)])
@pytest.mark.parametrize("bad", [np.full((30, 40), np.nan), np.full((30, 40), np.inf), np.zeros(3), np.zeros((0, 4))])
def test_maps_that_cannot_be_drawn_are_refused(draw, bad):
    with pytest.raises(BadInput):
        draw(bad)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_limits_that_are_none_are_refused(limit):
    with pytest.raises(BadInput, match="limit"):
        heatmap_rgb(np.eye(3), limit)


def test_smoothing_is_a_gaussian_that_keeps_the_sum():
    dot = np.zeros((41, 51))
    dot[20, 25] = 1.0
    y, x = np.mgrid[:41, :51]
    want = np.exp(-((y - 20) ** 2 + (x - 25) ** 2) / (2 * 2.0**2))
    np.testing.assert_allclose(smooth(dot, 2.0), want / want.sum(), atol=1e-5)  # the tails beyond 4 sigma
    noise = RNG.standard_normal((7, 9))
    assert smooth(noise, 5.0).sum() == pytest.approx(noise.sum(), abs=1e-9)  # kernel wider than the picture
    np.testing.assert_allclose(smooth(np.ones((6, 8)), 3.0), 1.0, atol=1e-12)
    assert np.array_equal(smooth(noise, 0.0), noise)


def test_the_overlay_shows_the_sign_and_the_photo():
    heatmap = np.zeros((30, 40))
    heatmap[5:12, 5:12], heatmap[20:27, 28:35] = 1.0, -1.0
    picture = np.asarray(overlay(GREY, heatmap)).astype(int)
    assert picture.shape == (30, 40, 3)
    assert picture[8, 8, 0] > picture[8, 8, 2] + 60 and picture[23, 31, 2] > picture[23, 31, 0] + 60
    assert np.ptp(picture[28, 2]) == 0  # silent places stay grey
    striped = np.zeros((30, 40, 3), np.uint8)
    striped[:, ::2] = 255
    with_photo = np.asarray(overlay(Image.fromarray(striped), np.ones((30, 40)))).astype(int)
    assert np.abs(np.diff(with_photo[10].sum(axis=1))).min() > 50  # below the strongest colour, still visible


def test_overlays_with_one_limit_can_be_compared():
    heatmap = RNG.standard_normal((30, 40))
    own = np.asarray(overlay(GREY, heatmap, colour_limit(heatmap)))
    assert np.array_equal(own, np.asarray(overlay(GREY, heatmap)))
    assert np.array_equal(own, np.asarray(overlay(GREY, heatmap * 8, 8 * colour_limit(heatmap))))
    weak = np.asarray(overlay(GREY, heatmap, 10 * colour_limit(heatmap))).astype(int)
    assert np.ptp(weak, axis=2).max() < np.ptp(own.astype(int), axis=2).max() / 2


def test_an_overlay_of_another_size_is_refused():
    with pytest.raises(BadInput, match="30×40"):
        overlay(GREY, np.zeros((40, 30)))
    with pytest.raises(BadInput, match="lay the map"):
        figure(GREY, np.zeros((40, 30)), title="x")


def colours(picture):
    pixels = np.asarray(picture).astype(int)
    return (pixels[..., 0] - pixels[..., 2] > 100).sum(), (pixels[..., 2] - pixels[..., 0] > 100).sum()


@pytest.mark.parametrize(("width", "height"), [(8, 8), (1, 1), (224, 224), (900, 60), (60, 900), (1, 300), (1500, 900)])
def test_figures_of_every_shape(width, height):
    photo = Image.new("RGB", (width, height), "gray")
    heatmap = np.ones((height, width))
    heatmap[:, width // 2 :] = -1.0
    picture = figure(photo, heatmap, title="boxer 0.93", lines=["hostile: tiger cat"], label="boxer")
    assert picture.mode == "RGB" and 640 <= picture.width <= 1800 and 60 <= picture.height <= 1000
    red, blue = colours(picture)
    assert blue > 400 and (red > 400)  # the bar alone has more than that on each side
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[:4].reshape(-1, 3), pixels[:, :4].reshape(-1, 3), pixels[:, -4:].reshape(-1, 3)])
    assert np.all(edge == 255)  # nothing runs off the page


def test_the_relevance_panel_shows_the_true_values():
    heatmap = RNG.standard_normal((70, 70))
    picture = np.asarray(figure(Image.new("RGB", (70, 70)), heatmap, title="x"))
    enlarged = heatmap_rgb(heatmap).repeat(8, axis=0).repeat(8, axis=1)
    # the black photo is the first panel, 20 pixels from the left; the map is 12 pixels right of it
    rows = [r for r in range(picture.shape[0]) if np.all(picture[r, 20 : 20 + 560] == 0)]
    assert np.array_equal(picture[rows[0] : rows[0] + 560, 20 + 572 : 20 + 572 + 560], enlarged)


TEXTS = ["$x_1$ costs $5", r"$\frac{$", "$", r"\frac{", "猫 кот γάτα", "😀\x07\x00 \u200d", "\ud800 half",
         "ﬁ" * 900, "", "a\nb\tc",
         "W" * 500, " ".join(["word"] * 300), "חתול قط", "\ue000\U0010ffff"]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_is_drawn_without_a_warning(text):
    picture = figure(GREY, np.eye(30, 40), title=text, lines=[text] * 20, label=text)
    pixels = np.asarray(picture)
    assert np.all(pixels[:, :4] == 255) and np.all(pixels[:, -4:] == 255)
    assert picture.height < 1000


def test_a_long_label_does_not_run_into_the_other_end_of_the_bar():
    body = Body(Page(600, 10), 1.0)
    heading = Heading("", rivals=("tiger " * 60, "cat " * 60), ends=("", "tabby " * 60))
    words = np.asarray(framed(body, heading).image())[-60:].astype(int)
    blue, red = words[:, :, 2] - words[:, :, 0] > 60, words[:, :, 0] - words[:, :, 2] > 60
    assert np.flatnonzero(blue.any(axis=0)).max() < np.flatnonzero(red.any(axis=0)).min()


def test_overlays_of_large_photos_keep_their_scale():
    heatmap = np.kron(RNG.standard_normal((12, 16)), np.ones((100, 100)))
    photo = Image.new("RGB", (1600, 1200), "gray")
    limit = colour_limit(heatmap)
    shrunk = np.asarray(overlay(photo, heatmap).resize((560, 420), Image.Resampling.BICUBIC)).astype(int)
    page = np.asarray(figure(photo, heatmap, title="", limit=limit)).astype(int)
    left, top = (page.shape[1] - 20 - 560, next(y for y in range(page.shape[0]) if np.all(page[y, 20:580] == 128)))
    shown = page[top : top + 420, left : left + 560]
    assert np.abs(shown - shrunk).mean() < 2  # of 255 levels: drawn large and shrunk, or shrunk and drawn


def test_dollar_signs_are_no_mathematics():
    assert text_width("$x$", 20) > text_width("x", 20) * 2


def test_wrapping():
    assert wrap("short", 500, 20) == ["short"]
    assert wrap("", 500, 20) == [""]
    assert wrap("a  b\n c", 500, 20) == ["a b c"]
    lines = wrap("one two three four five six seven eight", 120, 20, lines=2)
    assert len(lines) == 2 and lines[1].endswith("…") and lines[0] == "one two"
    for text in ("W" * 100, "i" * 300, "a long title " * 20):
        for line in wrap(text, 200, 20, lines=3, bold=True):
            assert text_width(line, 20, True) <= 200


def test_the_same_bytes_every_time_and_in_threads():
    heatmap = RNG.standard_normal((30, 40))

    def draw(_):
        return figure(GREY, heatmap, title="tiger cat", lines=["$"]).tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(draw, range(8)))) == 1
    assert PYPLOT_BEFORE or "matplotlib.pyplot" not in sys.modules


def test_a_contact_sheet():
    tiles = [Image.new("RGB", (40, 20), colour) for colour in ("red", "lime", "blue")]
    sheet = contact_sheet(tiles, 2, gap=10)
    assert sheet.size == (10 + 2 * 50, 10 + 2 * 30)
    assert [sheet.getpixel(p) for p in [(11, 11), (61, 11), (11, 41), (61, 41)]] == [
        (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255),
    ]  # fmt: skip
    small = contact_sheet(tiles, 9, captions=["a", "long " * 20, "$"], cell=(20, 20))
    assert small.size == (10 + 3 * 30, 10 + 30 + 22)
    assert tiles[0].size == (40, 20)
    assert small.getpixel((20, 20)) == (255, 0, 0) and small.getpixel((20, 12)) == (255, 255, 255)


@pytest.mark.parametrize(("n", "columns", "captions"), [(0, 1, ()), (2, 0, ()), (2, 1, ("a",))])
def test_contact_sheets_that_make_no_sense(n, columns, captions):
    with pytest.raises(BadInput):
        contact_sheet([GREY] * n, columns, captions=captions)


def test_a_photo_that_is_nearly_black_is_shown_brightened():
    """As 12-bit values in 16 bits are: 0 to 15 of 255."""
    dark = np.arange(64, dtype=np.uint8).reshape(8, 8) // 4
    shown, plain = (
        np.asarray(figure(Image.fromarray(dark * f), np.eye(8), title="x"))[:, 20:580]
        for f in (np.uint8(1), np.uint8(17))
    )
    differ = np.flatnonzero((shown != plain).any(axis=(1, 2)))
    assert shown.max() == 255 and 0 < len(differ) < 30 and differ.max() < len(shown) - 560  # the caption alone


# ---- what is no photograph ----


def test_a_map_without_a_photo_has_no_panel_for_one():
    heatmap = RNG.standard_normal((70, 70))
    picture = np.asarray(figure(None, heatmap, title="x"))
    enlarged = heatmap_rgb(heatmap).repeat(8, axis=0).repeat(8, axis=1)
    found = [r for r in range(picture.shape[0] - 560) if np.array_equal(picture[r : r + 560, 40 : 40 + 560], enlarged)]
    assert picture.shape[1] == 640 and len(found) == 1  # in the middle of the least page, and nothing beside it


def test_a_thin_map_without_a_photo_can_be_seen():
    picture = np.asarray(figure(None, np.ones((2, 300)), title="x")).astype(int)
    red = (picture[..., 0] - picture[..., 2] > 100).sum(axis=1)
    assert (red > 1000).sum() >= 60


def bars_of(picture, count):
    """By bar of a table: (coloured pixels left of zero, right of zero), and whether it is red."""
    pixels = np.asarray(picture).astype(int)
    spread = np.ptp(pixels, axis=2) > 30
    rows = np.flatnonzero(spread[:-90].any(axis=1))  # the colour bar below is none of them
    starts = [int(r) for i, r in enumerate(rows) if i == 0 or rows[i - 1] < r - 1]
    assert len(starts) == count
    line = [pixels[start + 5] for start in starts]
    return [((np.ptp(p, axis=1) > 30).sum(), int((p[:, 0] - p[:, 2]).sum()) > 0) for p in line]


def test_a_table_is_a_bar_per_column_as_long_as_its_relevance():
    values = np.array([1.0, -2.0, 0.5, 4.0])
    bars = bars_of(series_figure(values, np.arange(4.0), title="x"), 4)
    assert [red for _, red in bars] == [True, False, True, True]
    lengths = np.array([length for length, _ in bars])
    np.testing.assert_allclose(lengths / lengths[3], np.abs(values) / 4, atol=0.01)  # a pixel or two of 500


def test_many_entries_stand_upright_in_their_order():
    values = np.zeros(300)
    values[40], values[200] = 1.0, -1.0
    pixels = np.asarray(series_figure(values, title="x"))[:-100].astype(int)
    red, blue = ((pixels[..., a] - pixels[..., b] > 50).any(axis=0) for a, b in ((0, 2), (2, 0)))
    places = [np.flatnonzero(side).mean() for side in (red, blue)]
    left, width = 20 + 74, 820 - 74 - 4  # where the chart's axes lie on the page
    np.testing.assert_allclose((np.array(places) - left) / width * 300 - 0.5, [40, 200], atol=1.0)


def test_a_signal_is_red_where_it_speaks_for_the_class_and_blue_where_against():
    r = np.zeros((2, 100))
    r[0, :50], r[1, 50:] = 1.0, -1.0
    pixels = np.asarray(series_figure(r, RNG.standard_normal((2, 100)), title="x"))[:-100].astype(int)
    red, blue = (pixels[..., 0] - pixels[..., 2] > 60), (pixels[..., 2] - pixels[..., 0] > 60)
    (above, before), (below, after) = (np.argwhere(side).mean(axis=0) for side in (red, blue))
    assert above < below and before < 480 < after  # the first channel stands above, its first half left


@pytest.mark.parametrize("shape", [(1,), (40,), (41,), (5000,), (1, 1), (1, 2), (12, 300), (3, 20000)])
def test_series_of_every_length(shape):
    picture = series_figure(RNG.standard_normal(shape), RNG.standard_normal(shape), title="W" * 90, label="W" * 90)
    assert picture.mode == "RGB" and picture.width == 860 and 150 < picture.height < 1200
    pixels = np.asarray(picture)
    assert np.all(pixels[:, :4] == 255) and np.all(pixels[:, -4:] == 255)


def test_values_of_the_input_of_any_kind():
    for tensor in (np.arange(5), np.array([True, False, True, True, False]), np.zeros(5), np.zeros((9, 9)), None):
        assert series_figure(np.arange(5.0), tensor, title="x").width == 860
    assert series_figure(np.ones((1, 9)), np.zeros((1, 9)), title="x").width == 860  # a line that is flat


@pytest.mark.parametrize("bad", [np.zeros(0), np.zeros((2, 3, 4)), np.full(3, np.nan), np.zeros((13, 9))])
def test_series_that_cannot_be_drawn_are_refused(bad):
    with pytest.raises(BadInput):
        series_figure(bad, title="x")


def test_a_recorded_map_of_a_signal_can_be_seen():
    picture = np.asarray(side_by_side(np.ones(300), -np.ones(300))).astype(int)
    for a, b in ((0, 2), (2, 0)):
        assert ((picture[..., a] - picture[..., b] > 100).sum(axis=1) > 200).sum() == 40


def on_a_figure(width, height, words):
    """Draw text as matplotlib documents it: a Figure with a canvas of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.transforms import IdentityTransform

    page = Figure(figsize=((width + 0.5) / 72, (height + 0.5) / 72), dpi=72, facecolor="white")
    canvas = FigureCanvasAgg(page)
    for line in words:
        text, font = drawable(line.text, line.size, line.bold)
        page.text(
            line.x, height - line.y, text, fontproperties=font, color=line.colour, ha=line.anchor, va="center",
            transform=IdentityTransform(), parse_math=False, usetex=False,
        )  # fmt: skip
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def test_text_is_drawn_as_on_a_figure_to_the_pixel():
    pytest.importorskip("matplotlib", minversion="3.11", reason="older versions of matplotlib place a line otherwise")
    rng = np.random.default_rng(0)
    texts = (
        "tiger cat · logit 18.96, softmax 0.483",
        "−12",
        "$x^2$ \\frac",
        "Ärger_Ö",
        "日本語",
        "g",
        "…",
        "",
        "a" * 90,
    )
    for _ in range(20):
        width, height = int(rng.integers(50, 900)), int(rng.integers(20, 300))
        words = [
            Words(
                str(rng.choice(texts)), float(rng.uniform(0, width)), float(rng.uniform(0, height)),
                float(rng.choice([13, 14, 22])), str(rng.choice(["left", "center", "right"])), bool(rng.integers(2)),
                str(rng.choice(["#222222", "#1f49c0"])),
            )
            for _ in range(5)
        ]  # fmt: skip
        assert np.array_equal(np.asarray(draw_words(width, height, words)), on_a_figure(width, height, words))


def test_drawing_text_needs_no_figure():
    code = "import sys; from rsp_onnx.render.text import *; get_ready(); draw_words(9, 9, [Words('g', 4, 4, 9)])"
    done = subprocess.run([sys.executable, "-c", f"{code}; print(*sys.modules)"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "matplotlib.text" in done.stdout.split() and "matplotlib.figure" not in done.stdout.split()
