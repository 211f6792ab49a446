#!/bin/sh
# One would guess: HDBSCAN(cluster_selection_epsilon=...) of scikit-learn joins clusters that are
# nearer than epsilon, as its documentation says.
# What happens: with NumPy 2.4 it ends in a TypeError ("only 0-dimensional arrays can be converted
# to Python scalars") as soon as two clusters are to be joined, on any ordinary points; with epsilon
# 0 all is well. A one-element array is turned into a number in a way that NumPy 2.4 no longer
# allows.
# Versions: scikit-learn 1.9.1, NumPy 2.4.6, Python 3.11.
# Source: sklearn/cluster/_hdbscan/_tree.pyx, traverse_upwards, and this script.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import numpy as np
from sklearn.cluster import HDBSCAN

rng = np.random.default_rng(0)
points = np.concatenate([rng.normal(0, 0.3, (50, 2)), rng.normal(4, 0.3, (50, 2))])
plain = HDBSCAN(min_cluster_size=5, copy=True).fit_predict(points)
print("epsilon 0:", len(set(plain.tolist()) - {-1}), "clusters")
for method in ("eom", "leaf"):
    try:
        HDBSCAN(
            min_cluster_size=5, cluster_selection_epsilon=8.0, cluster_selection_method=method,
            copy=True,
        ).fit_predict(points)
    except TypeError as error:
        print(f"epsilon 8, {method}: TypeError: {error}")
    else:
        raise SystemExit(f"epsilon 8, {method}: works now: changed")
print("as found: clusters cannot be joined by epsilon")
PYTHON
