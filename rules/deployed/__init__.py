"""What deployment makes of ops: fused, quantised, classical; and what has no rule. Importing it registers them."""

from . import classical, fused, fused_sums, quantised, without_rule

__all__ = ["classical", "fused", "fused_sums", "quantised", "without_rule"]
