"""Names of types that many modules use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, Any]"
Progress: TypeAlias = "Callable[[int, int], None]"  # called with (done, in all)
Record: TypeAlias = "dict[str, Any]"  # one row of a JSON file
