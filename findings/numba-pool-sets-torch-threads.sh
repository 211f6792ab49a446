#!/bin/sh
# One would guess: torch.set_num_threads(1) holds until torch is told otherwise; numba has a number
# of threads of its own (NUMBA_NUM_THREADS, numba.set_num_threads).
# What happens: numba's OpenMP pool and torch share one OpenMP, and when the pool starts, at the
# first call of a kernel compiled with parallel=True or the first numba.set_num_threads, it sets
# OpenMP's number of threads to NUMBA_NUM_THREADS. From then on torch uses so many, though one was
# asked for, whether by set_num_threads or by OMP_NUM_THREADS. numba.set_num_threads(1) does not
# help: it starts the pool itself. Setting torch's number again afterwards holds.
# Versions: torch 2.13.0 (CPU), numba 0.68.1, numpy 2.4.6, Python 3.11, Linux x86-64.
# Source: this script.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet torch==2.13.0 numba==0.68.1 numpy==2.4.6
cat > "$place/try.py" <<'PYTHON'
import sys

import numba
import numpy as np
import torch


@numba.njit(parallel=True)
def total(values):
    found = 0.0
    for i in numba.prange(values.size):
        found += values[i]
    return found


if sys.argv[1] == "told":
    torch.set_num_threads(1)
before = torch.get_num_threads()
if sys.argv[2] == "set":
    numba.set_num_threads(1)
else:
    total(np.ones(10))
after = torch.get_num_threads()
torch.set_num_threads(1)
total(np.ones(10))
again = torch.get_num_threads()
print(f"{sys.argv[1]}, {sys.argv[2]}: torch's threads {before}, after numba {after} "
      f"({numba.threading_layer()}), set once more and called again {again}")
assert numba.threading_layer() == "omp", "another pool: nothing is shown"
assert (before, after, again) == (1, 4, 1), "torch keeps its threads now: changed"
PYTHON
export NUMBA_NUM_THREADS=4
"$place/venv/bin/python" "$place/try.py" told call
"$place/venv/bin/python" "$place/try.py" told set
OMP_NUM_THREADS=1 "$place/venv/bin/python" "$place/try.py" asked call
echo "as found: numba's pool gives torch its own number of threads"
