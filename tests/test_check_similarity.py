"""How alike maps are, against scipy and scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsp_onnx.checks.spec.places import Place, dilated
from rsp_onnx.checks.subject import similarity as s

MAPS = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(-5, 6, (2, 9, 11)) / 4)


@settings(deadline=None)  # the libraries it is compared with take seconds to import
@given(MAPS)
def test_against_scipy_and_scikit_image(maps):
    stats, metrics = pytest.importorskip("scipy.stats"), pytest.importorskip("skimage.metrics")
    a, b = maps
    assert s.spearman(a, b) == pytest.approx(stats.spearmanr(a.ravel(), b.ravel()).statistic)
    assert s.pearson(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    x, y = a / abs(a).max(), b / abs(b).max()
    assert s.ssim(a, b) == pytest.approx(metrics.structural_similarity(x, y, data_range=2.0, win_size=7))


@given(MAPS)
def test_a_map_is_like_itself_and_like_nothing_turned_round(maps):
    a, _ = maps
    assert all(value == pytest.approx(1) for value in s.similarities(a, a).values())
    assert s.sign_agreement(-a, a) == 0
    assert s.top_overlap(-a, a) == 0


def test_signs_weigh_what_the_golden_map_has_there():
    assert s.sign_agreement(np.array([[5.0, 1.0, 1.0]]), np.array([[3.0, -1.0, 0.0]])) == 0.75


def test_empty_constant_and_tiny_maps():
    zero, one = np.zeros((4, 4)), np.ones((4, 4))
    for a, b in ((zero, zero), (zero, one), (np.ones((1, 1)), np.ones((1, 1))), (np.ones((1, 7)), np.ones((1, 7)))):
        assert all(np.isfinite(v) for v in s.similarities(a, b).values())
    assert s.top_overlap(zero, one) == 0


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 12))
def test_coarse_keeps_the_mean(rows, columns, most):
    values = np.random.default_rng(0).standard_normal((rows, columns))
    small = s.coarse(values, most)
    assert small.shape == (min(rows, most), min(columns, most))
    assert small.mean() == pytest.approx(values.mean())


def test_coarse_of_whole_blocks_is_their_mean():
    values = np.arange(24.0).reshape(4, 6)
    assert np.allclose(s.coarse(values, 2), [[values[:2, :3].mean(), values[:2, 3:].mean()],
                                             [values[2:, :3].mean(), values[2:, 3:].mean()]])  # fmt: skip
    assert s.coarse(np.ones(5), 3).shape == (1, 3)
    assert s.coarse(np.ones((2, 3, 4)), 20).shape == (2, 12)


def test_inside_margin_and_background():
    inside = np.zeros((100, 100), bool)
    inside[40:60, 40:60] = True
    place = Place(inside)
    assert place.margin == 3
    assert dilated(inside, 3).sum() == 26 * 26
    heatmap = np.zeros((100, 100))
    heatmap[50, 50], heatmap[50, 62], heatmap[0, 0], heatmap[9, 9] = 2, 1, 1, -7
    assert place.share_inside(heatmap) == 0.5
    assert place.leakage(heatmap) == 0.25  # what lies just outside counts neither way
    assert place.leakage(-np.abs(heatmap)) == 0
