"""The order of a picture's axes, where nothing but its sizes tells it."""

from __future__ import annotations

from collections.abc import Sequence

_COLOUR_COUNTS = (1, 3, 4)  # gray, RGB, RGBA: the channel counts a photograph can fill

NO_CHANNELS = 0  # the batch's own axis, for an input whose axes are all places


def channels_last(sizes: Sequence[int | None]) -> bool:
    """Tell whether a picture of these sizes [N, ...], batch in front, has its channels behind its places (NHWC).

    Guessed from 1, 3 or 4 channels, of four axes only.
    """
    return len(sizes) == 4 and sizes[-1] in _COLOUR_COUNTS and sizes[1] not in _COLOUR_COUNTS
