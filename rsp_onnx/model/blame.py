"""Whose fault it is: where explaining fails, the deployed model is first run alone on the same input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rsp_onnx.errors import BadInput, BadModel
from rsp_onnx.inputs.tensors import Feeds

if TYPE_CHECKING:
    from .load import Model


@contextmanager
def blaming(load: Callable[[], Model], item: Feeds) -> Iterator[None]:
    """Let an error through as it is, but where the model itself does not run on the item say that instead.

    load: returns the model, which is asked for where something fails alone.

    Raises
    ------
    BadModel
        The model fails by itself: where, and at which sizes it runs.
    """
    try:
        yield
    except (BadModel, BadInput) as error:
        from .sizes import why_not_run

        if why := why_not_run(load().ir, item.tensors):
            raise BadModel(why) from error
        raise
