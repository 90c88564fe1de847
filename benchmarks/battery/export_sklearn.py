"""Export scikit-learn classifiers by skl2onnx: dense nets, linear models, and some that have no gradient.

python benchmarks/battery/export_sklearn.py FOLDER
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from shelf import shelf_of
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

SMALL = ("mlp_relu", "mlp_scaled", "logistic", "forest")


def mlp(activation: str = "relu") -> MLPClassifier:
    """Make a net of two hidden layers."""
    return MLPClassifier((16, 8), activation=activation, max_iter=30, random_state=0)


# name: (classifier, kind, opset, whether the probabilities come as a sequence of maps)
CLASSIFIERS: dict[str, tuple[Callable[[], Any], str, int, bool]] = {
    "mlp_relu": (mlp, "tabular", 15, False),
    "mlp_relu_zipmap": (mlp, "tabular", 15, True),
    "mlp_tanh": (lambda: mlp("tanh"), "tabular", 12, False),
    "mlp_logistic": (lambda: mlp("logistic"), "tabular", 18, False),
    "mlp_scaled": (lambda: make_pipeline(StandardScaler(), mlp()), "tabular", 17, False),
    "mlp_minmax_zipmap": (lambda: make_pipeline(MinMaxScaler(), mlp()), "tabular", 13, True),
    "mlp_pca": (lambda: make_pipeline(StandardScaler(), PCA(6), mlp()), "tabular", 15, False),
    "logistic": (lambda: LogisticRegression(max_iter=200), "tabular", 15, False),
    "logistic_zipmap": (lambda: make_pipeline(StandardScaler(), LogisticRegression()), "tabular", 11, True),
    "lda": (LinearDiscriminantAnalysis, "tabular", 15, False),
    "sgd": (lambda: SGDClassifier(loss="log_loss", random_state=0), "tabular", 15, False),
    "naive_bayes": (GaussianNB, "not differentiable", 15, False),
    "calibrated": (lambda: CalibratedClassifierCV(LogisticRegression(), cv=2), "not differentiable", 15, False),
    "forest": (lambda: RandomForestClassifier(8, max_depth=4, random_state=0), "not differentiable", 15, False),
    "boosting": (lambda: GradientBoostingClassifier(n_estimators=4, random_state=0), "not differentiable", 15, False),
    "tree": (lambda: DecisionTreeClassifier(max_depth=4, random_state=0), "not differentiable", 15, True),
    "svc_rbf": (lambda: SVC(random_state=0), "not differentiable", 15, False),
    "knn": (lambda: KNeighborsClassifier(3), "not differentiable", 15, False),
}


def export(name: str, path: Path) -> None:
    """Fit one classifier to three shifted clouds of points and write it."""
    make, _, opset, maps = CLASSIFIERS[name]
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 150)
    points = (rng.normal(size=(150, 8)) + labels[:, None] * rng.normal(size=8)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # thirty iterations are few
        model = make().fit(points, labels)
    options = {"zipmap": maps}
    onnx.save(to_onnx(model, points[:1], target_opset={"": opset, "ai.onnx.ml": 3}, options=options), path)


def main() -> int:
    """Export all classifiers."""
    shelf = shelf_of(__doc__)
    for name, (_, kind, opset, _) in CLASSIFIERS.items():
        title = f"sklearn__{name}__skl2onnx-op{opset}"
        shelf.put(title, kind, lambda path, n=name: export(n, path), small=name in SMALL)
    return shelf.close()


if __name__ == "__main__":
    sys.exit(main())
