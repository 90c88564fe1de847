"""The table of tests/test_rules_grid.py: one row per op and combination of attributes that matters."""

from .arithmetic import ROWS as ARITHMETIC
from .elementwise import ROWS as ELEMENTWISE
from .linear import ROWS as LINEAR
from .movement import ROWS as MOVEMENT
from .pools import ROWS as POOLS
from .row import Row

ROWS = LINEAR + POOLS + ARITHMETIC + ELEMENTWISE + MOVEMENT

__all__ = ["ROWS", "Row"]
