"""What goes wrong at an address: a file's own fault, or that of the way there.

Of one file: it is not there, may not be read, is too large; that is a `MienError`. Of the way
there: nobody answers, the credentials have run out; after some tries that is a `LostError`, which
ends a job that can be resumed, for the next file would fail, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mien.errors import MienError
from mien.media.addresses import shown, shown_text
from mien.media.names import to_text

__all__ = ["LostError", "tried"]

Result = TypeVar("Result")

_TRIES = 3
_WAIT_S = 1.0
"""Before the second try; each next one waits twice as long."""
_BROKEN_OFF = "ClientPayloadError"
_PASSING = (408, 425, 429)
_ENDED = ("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestTimeTooSkewed")


class LostError(MienError):
    """There is no way to where files lie: it is not for a file that it cannot be read."""


def tried(address: str, act: Callable[[], Result], *, doing: str = "read") -> Result:
    """Do something at an address, again where that may help.

    Raises:
        MienError: it is the file's fault; or `act` raises it.
        LostError: it is not.
    """
    wait = _WAIT_S
    for left in reversed(range(_TRIES)):
        try:
            return act()
        except MienError:
            raise
        except Exception as error:  # each package raises its own
            reason = _reason_of_file(_cause(error))
            if reason:
                raise MienError(f"cannot {doing} {to_text(shown(address))}: {reason}") from error
            if not left and type(error).__name__ == _BROKEN_OFF:
                raise MienError(
                    f"cannot {doing} {to_text(shown(address))}: the connection breaks off before "
                    "its end"
                ) from error
            if not left:
                raise _lost(address, doing, _cause(error)) from error
        time.sleep(wait)
        wait *= 2
    raise AssertionError("the last try returns or raises")


def _lost(address: str, doing: str, error: BaseException) -> LostError:
    code = _code(error)
    if isinstance(error, TimeoutError):
        reason = "no answer in time"
    elif code in _ENDED:
        reason = f"the credentials are no longer good ({code}); renew them"
    else:
        text = shown_text(" ".join(str(error).split()))[:200]
        reason = text or type(error).__name__
    return LostError(f"cannot {doing} {to_text(shown(address))}: {reason}")


def _reason_of_file(error: BaseException) -> str:
    """Return why one file cannot be read or written; "": it is not the file's fault."""
    status = getattr(error, "status", None)  # of the web
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return "there is no such file, folder or bucket"
    if isinstance(error, IsADirectoryError):
        return "it is a folder"
    if _code(error) in _ENDED:
        return ""
    if isinstance(error, PermissionError) or status in (401, 403):
        return "permission denied; see to the credentials and rights"
    if isinstance(status, int) and 400 <= status < 500 and status not in _PASSING:
        return f"the server answers {status}"
    return ""


def _cause(error: BaseException) -> BaseException:
    """Return what is behind a web address's FileNotFoundError: it is raised for any fault."""
    cause = error.__cause__
    web = type(cause).__module__.startswith("aiohttp") or isinstance(cause, TimeoutError)
    return cause if cause is not None and web else error


def _code(error: BaseException) -> str:
    """Return what S3 calls a fault."""
    response = getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return ""
    return str(response.get("Error", {}).get("Code", ""))
