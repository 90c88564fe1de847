"""The figures of a comparison of two models."""

from rsp_onnx.checks.subject.similarity import SIMILARITIES
from rsp_onnx.compare.run import summary_of


def test_the_median_is_no_mean():
    records = [
        {"image": value, "flip": False, "score_a": 0, "score_b": 0, **dict.fromkeys(SIMILARITIES, value)}
        for value in (0.1, 0.9, 1.0)
    ]
    for name in SIMILARITIES:
        assert summary_of(records)[name] == {"median": 0.9, "worst": 0.1, "worst_image": 0.1}
