"""What deployment makes of ops: fused, quantised, classical. Importing it registers them."""

from . import classical, fused, fused_sums, quantised

__all__ = ["classical", "fused", "fused_sums", "quantised"]
