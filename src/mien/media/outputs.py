"""Outputs are looked at together before anything is written, and written all or none.

An output that is a link is written through: the file that the link leads to is replaced, and the
link stays.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from mien.errors import MienError
from mien.media.addresses import is_address
from mien.media.faults import fault
from mien.media.names import to_text
from mien.media.remote import exists, refuse_web

__all__ = ["check_outputs", "put_in_place", "same_file", "written_together"]


def check_outputs(
    outputs: Sequence[str | Path],
    *,
    inputs: Iterable[str | Path] = (),
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Return where each output goes, links followed; refuse those that would destroy something.

    An output at an address is looked at, too, and left out of what is returned.

    Args:
        outputs: every file that is to be written, those that come with another (the texture of a
            mesh) too.
        inputs: files that are read. None of them may be written, whatever `overwrite` says, nor
            under another name of the same file.
        overwrite: whether files that are there may be replaced.

    Raises:
        MienError: an output is a folder, a device, a pipe or a socket, or an input; two are one
            file; or one exists and may not be overwritten.
    """
    inputs = _refuse_addresses(outputs, inputs, overwrite=overwrite)
    outputs = [output for output in outputs if not is_address(output)]
    found: list[Path] = []
    for output in outputs:
        path, shown = Path(os.path.realpath(output)), to_text(output)
        status = _status(path)
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise MienError(f"{shown} is a folder; give the name of a file")
        if status is not None and not stat.S_ISREG(status.st_mode):
            raise MienError(f"{shown} is no ordinary file; give the name of one")
        if path in found:
            raise MienError(f"{shown} would be written twice; give different names")
        found.append(path)
    # Whether an output is an input is worth knowing even where it may not be overwritten.
    there = {_identity(path): output for path, output in zip(found, outputs, strict=True)}
    there.pop(None, None)
    for given in inputs if there else ():
        output = there.get(_identity(Path(given)))
        if output is not None:
            raise _is_read(output)
    if not overwrite:
        for output in outputs:
            if os.path.lexists(output):
                raise _is_there(output)
    return tuple(found)


def _refuse_addresses(
    outputs: Sequence[str | Path], inputs: Iterable[str | Path], *, overwrite: bool
) -> Iterable[str | Path]:
    """Refuse addresses as `check_outputs` does; return the inputs."""
    addresses = [output for output in outputs if is_address(output)]
    if 0 < len(addresses) < len(outputs):
        inputs = list(inputs)  # both kinds of outputs are compared with them
    for address in addresses:
        refuse_web(address)
    for given in inputs if addresses else ():
        if given in addresses:
            raise _is_read(given)
    for address in addresses:
        if not overwrite and exists(address):
            raise _is_there(address)
    return inputs


def _is_read(output: str | Path) -> MienError:
    return MienError(f"{to_text(output)} is read and would be overwritten; give another name")


def _is_there(output: str | Path) -> MienError:
    return MienError(f"{to_text(output)} exists: name another file or give --overwrite")


def same_file(one: str | Path, other: str | Path) -> bool:
    """Return whether two names are of one file: through links, `./` and hard links."""
    identity = _identity(Path(one))
    if identity is None:
        return os.path.realpath(one) == os.path.realpath(other)
    return identity == _identity(Path(other))


@contextlib.contextmanager
def written_together(
    outputs: Sequence[str | Path],
    *,
    inputs: Iterable[str | Path] = (),
    overwrite: bool = False,
) -> Iterator[tuple[Path, ...]]:
    """Give a place to write each output at; when the block ends well, all are moved, or none.

    The places have the outputs' own names, in hidden folders beside them. Whatever ends the block
    otherwise, these are removed and all outputs are as they were.

    Args:
        outputs: as for `check_outputs`, in folders that exist.
        inputs: likewise.
        overwrite: likewise.

    Raises:
        MienError: as `check_outputs`; or an output cannot be written (no such folder, no
            permission, a full disk), or was not.
    """
    targets = check_outputs(outputs, inputs=inputs, overwrite=overwrite)
    folders: dict[Path, Path] = {}
    try:
        for target in targets:
            folder = target.with_name(f".{secrets.token_hex(6)}.unfinished")
            if target.parent not in folders:
                folder.mkdir()
                folders[target.parent] = folder
        places = tuple(folders[target.parent] / target.name for target in targets)
        yield places
        _move(places, targets, overwrite=overwrite)
    except OSError as error:
        names = ", ".join(to_text(output) for output in outputs)
        raise MienError(f"cannot write {names}: {fault(error)}") from error
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def put_in_place(place: Path, target: Path, *, overwrite: bool) -> None:
    """Give a finished file its name; what appeared under it meanwhile is not replaced unasked.

    Args:
        place: the file, on the same file system.
        target: its name; links are followed already.
        overwrite: whether a file that is there may be replaced.

    Raises:
        MienError: another run has written the file meanwhile, and it may not be replaced.
        OSError: the system refuses.
    """
    if overwrite:
        place.replace(target)
        return
    try:
        os.link(place, target)  # unlike a rename it never replaces
    except FileExistsError as error:
        raise MienError(
            f"{to_text(target)} exists by now, another run wrote it: name another file or give "
            "--overwrite"
        ) from error
    except OSError:  # a file system without hard links
        place.replace(target)
    else:
        place.unlink()


def _move(places: Sequence[Path], targets: Sequence[Path], *, overwrite: bool) -> None:
    """Move finished files to where they belong; on a fault put back what was there."""
    moved: list[tuple[Path, Path | None]] = []
    for place in places:
        place.stat()  # before anything is moved: all must have been written
    try:
        for place, target in zip(places, targets, strict=True):
            kept = None
            if overwrite and target.exists():
                kept = place.with_name(f"{len(moved)}.before")
                _keep(target, kept)
                moved.append((target, kept))
            put_in_place(place, target, overwrite=overwrite)
            if kept is None:
                moved.append((target, None))
    except BaseException:
        for target, kept in reversed(moved):
            if kept is None:
                target.unlink(missing_ok=True)
            else:
                kept.replace(target)
        raise


def _keep(target: Path, kept: Path) -> None:
    """Give a file a second name, so that its own is never without one."""
    try:
        os.link(target, kept)
    except OSError:  # a file system without hard links
        target.replace(kept)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _identity(path: Path) -> tuple[int, int] | None:
    status = _status(path)
    return None if status is None else (status.st_dev, status.st_ino)
