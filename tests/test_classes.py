"""Which classes are explained and which are hostile, where scores are equal or many are probable."""

import numpy as np
import pytest
from onnx import numpy_helper

from rsp_onnx import Explainer

from .little import conv_net


def scoring(scores, end=""):
    """An explainer of a model whose scores are these, whatever the image."""
    model = conv_net(classes=len(scores), end=end)
    set_to = {"v": np.zeros((len(scores), 6), np.float32), "b": np.asarray(scores, np.float32)}
    for weight in model.graph.initializer:
        if weight.name in set_to:
            weight.CopyFrom(numpy_helper.from_array(set_to[weight.name], weight.name))
    return Explainer(model, preprocess="unit", device="cpu")


PHOTO = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)


def test_equal_scores_come_in_the_order_of_the_classes():
    explained = scoring([0, 1] * 20).explain(PHOTO, "topk:25")
    assert [one.target for one in explained] == [*range(1, 40, 2), 0, 2, 4, 6, 8]
    assert scoring([0, 1] * 20).explain(PHOTO).target == 1


def test_equal_rivals_come_in_the_order_of_the_classes():
    explained = scoring([-9, 9] * 20, "Sigmoid").explain(PHOTO, 3)
    assert explained.hostile == (1, *range(5, 40, 2))


@pytest.mark.parametrize(("classes", "rivals"), [(5, 4), (6, 5), (8, 5)])
def test_at_most_five_runners_up_are_hostile(classes, rivals):
    explained = scoring([0] * classes, "Softmax<axis=1>").explain(PHOTO, 1, "runners-up")
    assert explained.hostile == tuple(c for c in range(classes) if c != 1)[:rivals]


def test_a_runner_up_has_five_hundredths_of_the_probability():
    chances = np.array([0.8, 0.051, 0.049, 0.1])
    assert scoring(np.log(chances)).explain(PHOTO, 0, "runners-up").hostile == (3, 1)
