"""One network in two files, exported by PyTorch (NCHW) and by Keras through tf2onnx (NHWC): one map."""

from functools import cache

import numpy as np
import pytest
from PIL import Image

from rsp_onnx import compile_explainer

from .conftest import REPO
from .running import asked, relative_l2, run, session

MODELS = REPO / "models"
SCENES = sorted(path for path in (MODELS / "scenes").glob("scene_?.png"))
# the two exporters fold BatchNormalization in another order, so the weights differ in their last bits
SAME = 1e-4


@cache
def opened(framework, **options):
    return session(compile_explainer(str(MODELS / f"digits_{framework}.onnx"), **options))


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32)[None] / 255


def maps(target, hostile, image, **options):
    """Relevance of both exports, NCHW, and the scores."""
    question = asked(target, hostile, len(image))
    nhwc = run(opened("keras", **options), {"image": image, **question})
    nchw = run(opened("pytorch", **options), {"image": image.transpose(0, 3, 1, 2), **question})
    return nchw["relevance"], nhwc["relevance"].transpose(0, 1, 4, 2, 3), nchw["present"], nhwc["present"]


@pytest.mark.slow
@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.stem)
def test_both_exports_give_one_map_of_every_class(path):
    for hostile in ((), (3,), (0, 7)):
        ours, theirs, scores, their_scores = maps(range(10), hostile, pixels(path))
        np.testing.assert_allclose(scores, their_scores, atol=1e-5)
        for target in set(range(10)) - set(hostile):
            assert ours[target].any()
            assert relative_l2(theirs[target], ours[target]) < SAME, (target, hostile)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"purge": True}, {"signed_inputs": "abs"}, {"form": "unfold"}, {"form": "gram"}], ids=str
)
def test_both_exports_give_one_map_with_every_option(options):
    batch = np.concatenate([pixels(path) for path in SCENES[:2]])
    ours, theirs, *_ = maps((1, 4), (8,), batch, **options)
    assert relative_l2(theirs, ours) < SAME


def test_the_two_forms_of_the_conv_rule_give_one_map():
    one, other = (maps((1, 4), (8,), pixels(SCENES[0]), form=form)[0] for form in ("unfold", "gram"))
    assert relative_l2(other, one) < 1e-5  # float32; 1e-15 in float64
