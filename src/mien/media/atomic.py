"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mien.errors import MienError
from mien.media.addresses import is_address
from mien.media.faults import fault
from mien.media.names import to_text
from mien.media.outputs import check_outputs, put_in_place
from mien.media.remote import upload

__all__ = ["replacing", "write_text"]


@contextlib.contextmanager
def replacing(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; move it there when the block ends well.

    Whatever ends the block otherwise, the temporary file is removed and `path` is as it was.

    The temporary file of an address lies on this machine's disk, and is uploaded at the end.

    Args:
        path: the file to be written; of a link the file that it leads to.
        overwrite: whether a file that is there may be replaced.

    Raises:
        MienError: if `path` exists and may not be replaced, is no ordinary file, or cannot be
            written (no such folder, no permission, a full disk).
    """
    if is_address(path):
        check_outputs([path], overwrite=overwrite)
        with tempfile.TemporaryDirectory(prefix="mien-") as folder:
            place = Path(folder) / "unfinished"
            yield place
            check_outputs([path], overwrite=overwrite)  # another run may have written it
            upload(place, path)
        return
    (target,) = check_outputs([path], overwrite=overwrite)
    # The random part keeps two writers apart; the name may be near the file system's limit.
    unfinished = target.with_name(f".{secrets.token_hex(6)}.unfinished")
    try:
        yield unfinished
        put_in_place(unfinished, target, overwrite=overwrite)
    except OSError as error:
        raise MienError(f"cannot write {to_text(path)}: {fault(error)}") from error
    finally:
        with contextlib.suppress(OSError):  # a disk that has turned read-only
            unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, over one that is there; errors as of `replacing`."""
    with replacing(path, overwrite=True) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
