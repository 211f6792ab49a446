#!/usr/bin/env bash
# A web server that refuses every connection, seen through fsspec.
#
# One would guess: with nobody listening on the port, fsspec's HTTP file system raises
# ConnectionRefusedError (or another ConnectionError) from every call, as the client library under it
# does; FileNotFoundError is kept for a server that answers 404. A program that skips missing files
# and gives up on a lost network tells them apart by that.
#
# What happens: `info` and `size` raise FileNotFoundError, with the refused connection as its
# `__cause__`; `cat_file` raises the client's own error, an OSError that is no ConnectionError either;
# `exists` says False. So it depends on the first call whether a server that is down looks like one,
# or like files that are gone.
#
# Versions: fsspec 2026.9.0, aiohttp 3.14.5, Python 3.11. Source: fsspec/implementations/http.py,
# `_info`, which turns what its requests raise into FileNotFoundError.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet fsspec==2026.9.0 aiohttp==3.14.5
cat >"$work/try.py" <<'PY'
import socket

import fsspec

with socket.socket() as taken:  # a port that nobody listens on
    taken.bind(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{taken.getsockname()[1]}/face.jpg"
web = fsspec.filesystem("http")
seen = {}
for name in ("info", "size", "cat_file", "exists"):
    try:
        seen[name] = repr(getattr(web, name)(address))
    except OSError as error:
        cause = type(error.__cause__).__name__ if error.__cause__ else "none"
        refused = isinstance(error, ConnectionError)
        seen[name] = f"{type(error).__name__}, a ConnectionError: {refused}, cause: {cause}"
for name, what in seen.items():
    print(f"{name}: {what}")
assert seen["info"].startswith("FileNotFoundError, a ConnectionError: False"), seen
assert seen["size"].startswith("FileNotFoundError, a ConnectionError: False"), seen
assert "ClientConnectorError" in seen["info"], seen
assert seen["cat_file"].startswith("ClientConnectorError"), seen
assert seen["exists"] == "False", seen
print("as found")
PY
"$work/venv/bin/python" "$work/try.py"
