"""Spectral clustering of small maps (SpRAy, Lapuschkin et al. 2019): what a class's images have in common."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from rsp_onnx.extras import need
from rsp_onnx.render import smooth
from rsp_onnx.types import Array

MOST = 8  # clusters of one class
_NEIGHBOUR = 7  # whose distance is a map's own scale (Zelnik-Manor and Perona 2004)
_BLUR = 1.0  # cells: what lies in the next cell is nearly the same place


@dataclass(frozen=True)
class Clusters:
    """How the maps of a class fall into groups.

    Attributes
    ----------
    of : ndarray
        int [maps], the largest cluster is 0.
    eigenvalues : ndarray
        Of the normalised Laplacian, ascending; the largest gap says how many clusters there are.
    distances : ndarray
        [maps, maps], from 0 (the same place) to 1 (nothing in common).
    """

    of: Array
    eigenvalues: Array
    distances: Array

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.of.max()) + 1 if self.of.size else 0

    def farness(self, cluster: int) -> float:
        """Return how far a cluster is from the nearest other one, in units of the class's own distances; 0 if alone.

        The mean distance to the nearest other cluster, less the mean distance within, over the former (the mean
        silhouette of the clusters' means): 0 not apart at all, 1 far apart and tight.
        """
        own = self.of == cluster
        if self.count < 2 or own.sum() < 2:
            return 0.0
        within = float(self.distances[np.ix_(own, own)].sum() / (own.sum() * (own.sum() - 1)))
        others = [float(self.distances[np.ix_(own, self.of == c)].mean()) for c in range(self.count) if c != cluster]
        nearest = min(others)
        return max(0.0, (nearest - within) / nearest) if nearest > 0 else 0.0

    def nearest_to_middle(self, cluster: int) -> list[int]:
        """Return a cluster's members, those first that are nearest to all its others."""
        members = np.flatnonzero(self.of == cluster)
        mean = self.distances[np.ix_(members, members)].mean(axis=1)
        return [int(i) for i in members[np.argsort(mean, kind="stable")]]


def distances(grids: Array) -> Array:
    """Return the Hellinger distances of grids [maps, cells, cells] (sums 1) after a slight blur; [maps, maps]."""
    roots = np.stack([np.sqrt(np.maximum(smooth(g, _BLUR), 0)).ravel() for g in grids])
    roots /= np.linalg.norm(roots, axis=1, keepdims=True)
    return np.asarray(np.sqrt(np.clip(1 - roots @ roots.T, 0, 1)))


def find_clusters(grids: Array, seed: int = 0, most: int = MOST) -> Clusters:
    """Group maps; the same for the same maps and seed.

    Parameters
    ----------
    grids : ndarray
        [maps, cells, cells], each with the sum 1.

    Raises
    ------
    BadInput
        scikit-learn is not installed.
    """
    between = distances(grids)
    affinity = affinities(between)
    values = laplacian_eigenvalues(affinity)
    count = by_eigengap(values, min(most, len(grids) // 4))
    if count < 2:
        return Clusters(np.zeros(len(grids), int), values, between)
    return Clusters(_by_size(_spectral(affinity, count, seed)), values, between)


def affinities(between: Array) -> Array:
    """Return how alike maps are, 0..1: exp(-d² / (s_i s_j)), where s is the distance to the seventh neighbour."""
    place = min(_NEIGHBOUR, len(between) - 1)
    scale = np.maximum(np.sort(between, axis=1)[:, place], 1e-3)
    affinity = np.exp(-(between**2) / np.outer(scale, scale))
    np.fill_diagonal(affinity, 0.0)
    return np.asarray(affinity)


def laplacian_eigenvalues(affinity: Array) -> Array:
    """Return the eigenvalues of the symmetric normalised Laplacian, ascending."""
    degree = np.maximum(affinity.sum(axis=1), 1e-12)
    normed = affinity / np.sqrt(np.outer(degree, degree))
    return np.asarray(np.linalg.eigvalsh(np.eye(len(affinity)) - normed))


def by_eigengap(values: Array, most: int) -> int:
    """Return the number of clusters, 2..most: where the ascending eigenvalues leap the farthest; 1 of few maps.

    The first leap, from the 0 that every graph has, does not count: pictures of one class always hang together, and a
    group that has something of its own would go unseen. A group too many is one more sheet to look at.
    """
    if most < 2 or len(values) < most + 1:
        return 1
    return int(np.argmax(np.diff(values[1 : most + 1]))) + 2


def _spectral(affinity: Array, count: int, seed: int) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says when clusters fall apart completely, which is what is looked for
        clusterer = need("sklearn.cluster", "The audit").SpectralClustering(
            count, affinity="precomputed", random_state=seed, assign_labels="cluster_qr"
        )
        return np.asarray(clusterer.fit_predict(affinity))


def _by_size(clusters: Array) -> Array:
    """Return the clusters numbered from the largest on; ties in the order of their first members."""
    order = sorted(set(clusters.tolist()), key=lambda c: (-int((clusters == c).sum()), int(np.argmax(clusters == c))))
    return np.asarray([order.index(c) for c in clusters.tolist()])
