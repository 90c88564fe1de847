"""The forms of RSP's conv rule, one module each, and the cost function that chooses between them (rsp.md §6).

Public: choose, layer_of_convolution, layer_of_rows, propagate, report, unfold.
"""
