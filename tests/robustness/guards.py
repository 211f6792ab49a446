"""Notes and refuses what no command may do: connect or listen to others, unpickle anything."""

from __future__ import annotations

import inspect
import pickle  # noqa: TID251 - to refuse it
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

__all__ = ["no_network_no_pickle"]

_CONNECTS = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.sendmsg")
_WATCHED = (*_CONNECTS, "socket.bind", "pickle.find_class")
_LOOPBACK = ("127.0.0.1", "::1")
# Numba keeps its own compiled code in pickled files; what the user gives never gets there. The
# tests themselves have commands forked by a process of this machine.
_OWN = ("numba", "multiprocessing.forkserver")

_notes: list[list[str]] = []


@contextmanager
def no_network_no_pickle() -> Iterator[list[str]]:
    """Refuse connections and pickles meanwhile; gives a list of those that were tried.

    Who swallows the refusal is found in the list.
    """
    seen: list[str] = []
    _notes.append(seen)
    try:
        with mock.patch.multiple(
            pickle, load=_refusing(pickle.load), loads=_refusing(pickle.loads)
        ):
            yield seen
    finally:
        _notes.remove(seen)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    """See it whoever calls; a hook cannot be taken away again."""
    if not _notes or event not in _WATCHED or _is_own():
        return
    reaches_out = event in _CONNECTS and not _is_own_address(event, arguments)
    listens = event == "socket.bind" and arguments[1][0] not in _LOOPBACK
    if reaches_out or listens or event == "pickle.find_class":
        _refuse(f"{event} {arguments}")


def _is_own_address(event: str, arguments: tuple[Any, ...]) -> bool:
    """Return whether an address of this machine is taken apart, which asks nobody."""
    return event == "socket.getaddrinfo" and arguments[0] in _LOOPBACK


def _refusing(real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        if not _is_own():
            _refuse(f"pickle.{real.__name__}")
        return real(*args, **kwargs)

    return call


def _refuse(what: str) -> None:
    _notes[-1].append(what)
    raise PermissionError(f"not in these tests: {what}")


def _is_own() -> bool:
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if any(f"{name}.".startswith(f"{own}.") for own in _OWN):
            return True
        frame = frame.f_back
    return False


sys.addaudithook(_audit)
