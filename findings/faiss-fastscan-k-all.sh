#!/bin/sh
# One would guess: asked for as many neighbours as an index holds, faiss gives all of them, and marks
# places with -1 only where it holds fewer.
# What happens: IndexPQFastScan, flat and exhaustive, leaves some out and fills up with -1 where
# vectors have one number; IndexPQ with the same settings gives all. Who takes -1 for "there
# are no more" loses neighbours without a word.
# Versions: faiss-cpu 1.15.1, numpy 2.4.6, Python 3.11, Linux, x86-64.
# Source: the docstring of faiss.Index.search, and this script.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet faiss-cpu==1.15.1 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import faiss
import numpy as np

faiss.omp_set_num_threads(1)
rng = np.random.default_rng(0)
lost = {}
for dim in (1, 2, 8):
    count = 64
    vectors = rng.standard_normal((count, dim)).astype(np.float32)
    for kind in (faiss.IndexPQ, faiss.IndexPQFastScan):
        index = kind(dim, dim, 4, faiss.METRIC_INNER_PRODUCT)
        index.train(np.repeat(vectors, 50, axis=0))
        index.add(vectors)
        _, found = index.search(vectors[:5], count)
        lost[kind.__name__, dim] = int((found < 0).sum())
        print(f"{kind.__name__}, {dim} numbers: {count} of {index.ntotal} asked for by 5 queries, "
              f"{lost[kind.__name__, dim]} answers are -1")
assert all(lost["IndexPQ", dim] == 0 for dim in (1, 2, 8)), "IndexPQ loses some: changed"
assert lost["IndexPQFastScan", 1] > 0, "the fast scan gives all: changed"
assert lost["IndexPQFastScan", 8] == 0, "the fast scan loses some of 8 numbers, too: changed"
print("as found: the fast scan leaves out some of those that it holds")
PYTHON
