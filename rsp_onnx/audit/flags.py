"""What makes a cluster suspicious: relevance at one place of the picture, whatever the object does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rsp_onnx.types import Array, Record

from .grid import CORNERS, hottest, seat, shares

SMALL = 0.05  # of the cells: relevance of several pictures that half sits in so few is at one place
_USES = 0.4  # of a map's positive relevance: a map with so much in a place uses the place
_OFTEN, _TIMES = 0.15, 8.0  # of the class's maps use it, and so many times as many as of other classes' maps
_OTHERS = 20  # maps of other classes at least, before they are compared with
_CORNER, _BORDER = 0.5, 0.75  # of the positive relevance
_OUTSIDE = 0.5  # a cluster with a larger share of relevance in its objects has its reasons
_FAR = 0.5  # see ``Clusters.farness``
_LEAST, _LEAST_SHARE = 4, 0.04  # maps of a cluster, and its share of the class, below which nothing is said


def describe(grids: Array, inside: Sequence[float | None], text: Sequence[float]) -> Record:
    """Return where a cluster's relevance sits.

    Parameters
    ----------
    grids : ndarray
        [maps, cells, cells], sums 1.
    inside : sequence of float or None
        Per map the share of positive relevance in the objects' masks or boxes; None where these are not known.
    text : sequence of float
        Per map, how text-like the place is.
    """
    mean = grids.mean(axis=0)
    place = hottest(mean)
    known = [value for value in inside if value is not None]
    return {
        "sits": seat(shares(mean)),
        "shares": {name: round(value, 6) for name, value in shares(mean).items()},
        "place": float(place.mean()),
        "inside": float(np.median(known)) if known else None,
        "text_like": float(np.median(text)) if len(text) else 0.0,
    }


def users(grids: Array, place: Array) -> float:
    """Return the share of maps [maps, cells, cells] that have much of their relevance in a place (bool of cells)."""
    return float((grids[:, place].sum(axis=1) >= _USES).mean()) if len(grids) else 0.0


def reasons(cluster: Array, own: Array, others: Array, about: Record, farness: float, single: bool) -> list[str]:
    """Return why a cluster is suspicious, a sentence each; none where it is not.

    Parameters
    ----------
    cluster, own, others : ndarray
        Grids of the cluster, of all maps of its class, and of the other classes' maps; [maps, cells, cells].
    about : dict
        What ``describe`` says of the cluster.
    single : bool
        It is the class's only cluster.
    """
    if len(cluster) < max(_LEAST, _LEAST_SHARE * len(own)):
        return []
    if about["inside"] is not None and about["inside"] >= _OUTSIDE:
        return []
    sentences = [_same_place(cluster, own, others, about), _edge(about)]
    if not single and farness >= _FAR and about["inside"] is not None and about["place"] <= SMALL:
        sentences.append(f"It is far from the other clusters of its class ({farness:.2f} of 1).")
    return [sentence for sentence in sentences if sentence]


def _same_place(cluster: Array, own: Array, others: Array, about: Record) -> str:
    if about["place"] > SMALL:
        return ""
    place = hottest(cluster.mean(axis=0))
    mine, theirs = users(own, place), users(others, place)
    where = f"Half of the relevance sits in the same {about['place']:.0%} of the picture"
    objects = "" if about["inside"] is None else f"; only {about['inside']:.0%} of it lies in the class's objects"
    if len(others) < _OTHERS:
        return f"{where}{objects}." if about["inside"] is not None else ""
    if mine >= _OFTEN and mine >= _TIMES * max(theirs, 1 / len(others)):
        return f"{where}, which {mine:.0%} of the class's images use and {theirs:.1%} of the other classes'{objects}."
    return ""


def _edge(about: Record) -> str:
    corner = max(CORNERS, key=lambda name: about["shares"][name])
    if about["shares"][corner] >= _CORNER:
        return f"{about['shares'][corner]:.0%} of the relevance sits in the {corner} corner."
    if about["shares"]["border"] >= _BORDER:
        return f"{about['shares']['border']:.0%} of the relevance sits on the border."
    return ""
