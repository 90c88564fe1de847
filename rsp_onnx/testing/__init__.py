"""The kit for rule authors: an op's gradient or relevance as a small model, and what must hold of it."""

from .checks import check_adjoint, check_batch, check_conservation, sample_inputs
from .models import rule_model, vjp_model
from .reference import runner

__all__ = ["check_adjoint", "check_batch", "check_conservation", "rule_model", "runner", "sample_inputs", "vjp_model"]
