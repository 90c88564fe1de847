"""Einsum."""

from typing import Any

from .row import Row, weights

UNSEEN = "where no weight is positive nothing takes the relevance"


def _einsum(label: str, equation: str, *operands: Any, **more: Any) -> Row:
    return Row("Einsum", label, operands, {"equation": equation}, **more)


ROWS = [
    _einsum("constant right", "nti,io->nto", (4, 5), weights(5, 3), hidden=True),
    _einsum("constant left", "ts,nsd->ntd", weights(4, 5, low=-0.2), (5, 3)),
    _einsum("heads", "bqd,dhe->bhqe", (4, 6), weights(6, 2, 3)),
    _einsum("features summed", "nchw,c->nhw", (3, 4, 5), weights(3, low=-0.2)),
    _einsum("scaled", "nchw,c->nchw", (3, 4, 5), weights(3, low=0.2)),
    _einsum("queries and keys", "bhqd,bhkd->bhqk", (2, 4, 5), (2, 3, 5)),
    _einsum("attention", "bhqk,bhkd->bqhd", (2, 4, 3), (2, 3, 5)),
    _einsum("implicit", "bij,bjk", (4, 5), (5, 3), mixes="the batch is summed over"),
    _einsum("ellipsis", "...ij, ...jk -> ...ik", (2, 4, 5), (2, 5, 3)),
    _einsum("ellipsis on one side", "...i,io->...o", (2, 4, 5), weights(5, 3)),
    _einsum("outer product", "ni,nj->nij", (4,), (3,)),
    _einsum("one operand permuted", "nchw->nhwc", (3, 4, 5)),
    _einsum("one operand summed", "nchw->nc", (3, 4, 5)),
    _einsum("summed in one operand alone", "nij,nk->nk", (3, 4), (5,)),
]
