#!/bin/sh
# One would guess: ParquetFile.iter_batches is the way to go through a Parquet file that is larger
# than memory: a batch that is let go frees what it held.
# What happens: with buffering ahead (pre_buffer=True, as it is unless told) everything that was
# read stays allocated as long as the ParquetFile object lives, closed or not: after the last batch
# about as much as the whole column, though every batch was dropped. The same loop with pre_buffer=False holds little more than
# a row group at any time. batch_size changes nothing.
# Versions: pyarrow 26.0.1, numpy 2.4.6, Python 3.11.
# Source: this script; `pre_buffer` in ParquetFile's documentation speaks of latency alone.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet pyarrow==26.0.1 numpy==2.4.6
cat > "$place/try.py" <<'PYTHON'
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

path = f"{sys.argv[1]}/codes.parquet"
rng = np.random.default_rng(0)
ROWS, WIDTH, GROUPS = 8192, 128, 25
kind = pa.list_(pa.float32(), WIDTH)
with pq.ParquetWriter(path, pa.schema([("code", kind)]), compression="none") as writer:
    for _ in range(GROUPS):
        flat = pa.array(rng.random(ROWS * WIDTH, dtype=np.float32))
        column = pa.FixedSizeListArray.from_arrays(flat, type=kind)
        writer.write_table(pa.table({"code": column}), row_group_size=ROWS)
        del flat, column
whole = ROWS * WIDTH * 4 * GROUPS
print(f"column: {whole / 2**20:.0f} MiB in {GROUPS} row groups")
held = {}
for ahead in (True, False):
    before, most = pa.total_allocated_bytes(), 0
    with pq.ParquetFile(path, pre_buffer=ahead) as file:
        for batch in file.iter_batches(batch_size=1024):
            del batch
            most = max(most, pa.total_allocated_bytes() - before)
        left = pa.total_allocated_bytes() - before
    closed = pa.total_allocated_bytes() - before
    del file
    gone = pa.total_allocated_bytes() - before
    held[ahead] = left
    print(f"pre_buffer={ahead}: most {most / 2**20:.0f}, after the last batch {left / 2**20:.0f},"
          f" closed {closed / 2**20:.0f}, without the object {gone / 2**20:.0f} MiB")
assert held[True] > 0.8 * whole, "what was read is freed now: changed"
assert held[False] < 0.2 * whole, "it is kept without buffering ahead, too: changed"
print("as found: everything read stays as long as the ParquetFile lives")
PYTHON
"$place/venv/bin/python" "$place/try.py" "$place"
