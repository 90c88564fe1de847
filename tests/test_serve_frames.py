"""Frames, written by the server and read by a reader that knows web/README.md alone."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rsp_onnx.web.frames import Arrays, frame

from .page_client import filled, read_frames

KEYS = st.text().filter(lambda key: key != "arrays")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8,
)  # fmt: skip
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
ARRAYS = st.dictionaries(st.text(max_size=5), hnp.arrays(st.sampled_from([np.float32, np.uint8]), SHAPES), max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.dictionaries(KEYS, PLAIN, max_size=3), ARRAYS), max_size=3))
def test_what_is_written_is_read_again(several):
    read = read_frames(b"".join(frame(said, arrays) for said, arrays in several))
    assert len(read) == len(several)
    for (said, arrays), (header, found) in zip(several, read, strict=True):
        assert {key: value for key, value in header.items() if key != "arrays"} == said
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype and found[name].shape == array.shape
            assert found[name].tobytes() == array.tobytes()  # NaN too, bit for bit


def test_a_frame_without_arrays_says_nothing_of_them():
    assert frame({"progress": {"says": "…", "share": None}})[8:] == '{"progress":{"says":"…","share":null}}'.encode()


def test_arrays_are_written_little_endian_in_order_and_padded_whatever_their_memory():
    strided = np.arange(12, dtype=">f4").reshape(3, 4)[:, ::2].T
    data = frame({}, {"a": np.array([1, 2, 3], np.uint8), "b": strided})
    header = int.from_bytes(data[:4], "little")
    facts = json.loads(data[8 : 8 + header])["arrays"]
    assert facts == [{"name": "a", "dtype": "uint8", "shape": [3]}, {"name": "b", "dtype": "float32", "shape": [2, 3]}]
    payload = data[8 + header :]
    assert int.from_bytes(data[4:8], "little") == len(payload) == 4 + 24
    assert payload[:4] == b"\1\2\3\0" and np.array_equal(np.frombuffer(payload[4:], "<f4"), [0, 4, 8, 2, 6, 10])


def test_arrays_stand_in_their_places_as_float32():
    arrays = Arrays()
    said = {"scores": arrays.put(np.array([1, 2], np.int64)), "map": arrays.shaped(np.ones((2, 3), np.float64))}
    ((header, read),) = read_frames(frame(said, arrays.held))
    assert all(x.dtype == np.float32 for x in read.values())
    found = filled({key: value for key, value in header.items() if key != "arrays"}, read)
    assert found["scores"].tolist() == [1, 2] and found["map"].shape == (2, 3)


def test_what_no_page_can_read_is_not_written():
    with pytest.raises(TypeError, match="float64"):
        frame({}, {"a": np.zeros(2)})
    with pytest.raises(ValueError, match="not JSON compliant"):
        frame({"a": float("nan")})
