"""RSP a second time: a slow, obvious float64 transcription of the method, sharing no code with the library.

W.-J. Nam, J. Choi, S.-W. Lee, "Interpreting Deep Neural Networks with Relative Sectional Propagation by
Analyzing Comparative Gradients and Hostile Activations", AAAI 2021, arXiv 2012.03434.

`ops` computes forward values, `net` knows who reads whom, `start` is the initial relevance, `rules` holds one
function per formula, `walk` picks the rule of a node and adds relevances up.
"""

from .walk import naive_rsp

__all__ = ["naive_rsp"]
