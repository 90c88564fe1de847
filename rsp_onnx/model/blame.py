"""Whose fault it is: where explaining fails, the deployed model is first run alone on the same input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.inputs.tensors import Feeds

from .load import Model
from .sizes import why_not_run


@contextmanager
def blaming(model: Model, item: Feeds) -> Iterator[None]:
    """Let an error through as it is, but where the model itself does not run on the item say that instead.

    Raises
    ------
    BadModel
        The model fails by itself: where, and at which sizes it runs.
    """
    try:
        yield
    except (BadModel, BadInput) as error:
        if why := why_not_run(model.ir, item.tensors):
            raise BadModel(why) from error
        raise
