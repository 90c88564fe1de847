"""The table of tests/test_rules_grid.py: one row per op and combination of attributes that matters."""

from .arithmetic import ROWS as ARITHMETIC
from .attention import ROWS as ATTENTION
from .einsum import ROWS as EINSUM
from .elementwise import ROWS as ELEMENTWISE
from .indexing import ROWS as INDEXING
from .linear import ROWS as LINEAR
from .lp import ROWS as LP
from .movement import ROWS as MOVEMENT
from .norms import ROWS as NORMS
from .pools import ROWS as POOLS
from .resampling import ROWS as RESAMPLING
from .row import Row
from .sampling import ROWS as SAMPLING
from .transforms import ROWS as TRANSFORMS
from .transposed import ROWS as TRANSPOSED

ROWS = (
    LINEAR
    + POOLS
    + ARITHMETIC
    + ELEMENTWISE
    + MOVEMENT
    + RESAMPLING
    + SAMPLING
    + TRANSPOSED
    + TRANSFORMS
    + INDEXING
    + EINSUM
    + LP
    + NORMS
    + ATTENTION
)

__all__ = ["ROWS", "Row"]
