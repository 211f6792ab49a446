#!/bin/sh
# One would guess: pyarrow imports pandas lazily, when a pandas object comes or is asked for; an
# array of a plain list or of a NumPy array has no use for it.
# What happens: the first pyarrow.array(...) of a list or NumPy array imports pandas if it is
# installed, for it asks whether what it was given is a Series. A command that writes one small
# Parquet file so takes some hundred modules more, half a second on a slow processor and 30 MB.
# Array.from_buffers with the very same content leaves pandas out.
# Versions: pyarrow 26.0.1, pandas 3.1.1, numpy 2.4.6, Python 3.11.
# Source: pandas-shim.pxi of pyarrow ("avoids importing pandas until it's actually needed"), and
# this script.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet pyarrow==26.0.1 pandas==3.1.1 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet

assert "pandas" not in sys.modules, "import pyarrow imports pandas: changed"
values = np.arange(3, dtype=np.int32)
plain = pa.Array.from_buffers(pa.int32(), 3, [None, pa.py_buffer(values)])
pa.table({"x": plain}).to_pydict()
print("after Array.from_buffers and a table: pandas imported:", "pandas" in sys.modules)
assert "pandas" not in sys.modules, "from_buffers imports pandas: changed"
before = len(sys.modules)
pa.array([1, 2, 3], type=pa.int32())
print("after pyarrow.array([1, 2, 3]): pandas imported:", "pandas" in sys.modules,
      "and", len(sys.modules) - before, "modules more")
assert "pandas" in sys.modules, "pyarrow.array leaves pandas out now: changed"
print("as found: pyarrow.array of a plain list imports pandas")
PYTHON
