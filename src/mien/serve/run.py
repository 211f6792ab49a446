"""Runs the service until it is told to stop: what is running then ends, what waits outside goes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from mien.errors import MienError
from mien.serve.app import create_app
from mien.serve.options import ServeOptions
from mien.serve.service import Service
from mien.serve.shown import Shown
from mien.serve.tokens import Tokens

__all__ = ["serve"]


def serve(
    options: ServeOptions,
    *,
    ready: Callable[[str], None],
    tokens: Tokens | None = None,
    shown: Shown | None = None,
    prepare: Callable[[Service], None] = lambda _: None,
) -> None:
    """Load the weights, listen, and answer until SIGINT or SIGTERM; then end what is running.

    Args:
        options: of the service.
        ready: is told the address when requests are taken.
        tokens: None: those of the options' file.
        shown: what the page opens by itself.
        prepare: is given the service before requests are taken.

    Raises:
        MienError: the port is taken, or weights, tokens, detector or folders cannot be had.
    """
    with contextlib.closing(_listening(options)) as listener:
        service = Service.open(options, tokens)
        prepare(service)
        host, port = listener.getsockname()[:2]
        address = f"[{host}]" if ":" in host else host
        _log_to_stderr()
        server = _Server(_config(service, shown), lambda: ready(f"http://{address}:{port}"))
        server.run(sockets=[listener])


def _config(service: Service, shown: Shown | None) -> uvicorn.Config:
    options = service.options
    return uvicorn.Config(
        create_app(service, shown),
        http=_protocol(options.body_timeout_s),
        ws="websockets-sansio",
        ws_max_size=options.image_bytes,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=max(1, round(options.stop_timeout_s)),
    )


class _Server(uvicorn.Server):
    """Says when it is ready, and leaves with exit code 0 when it is told to stop."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGINT and SIGTERM; unlike the base class, do not raise them again at the end."""
        before = {s: signal.signal(s, self.handle_exit) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _protocol(timeout_s: float) -> type[asyncio.Protocol]:
    """Return the protocol, with a time within which the first request's head must arrive."""

    class Timed(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._late = self.loop.call_later(timeout_s, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._late.cancel()
            super().connection_lost(exc)

        def _give_up(self) -> None:
            if self.cycle is None and not self.transport.is_closing():
                self.transport.close()

    return Timed


def _listening(options: ServeOptions) -> socket.socket:
    """Return a socket that listens.

    Raises:
        MienError: the port is taken, or the address is not this machine's.
    """
    host, port = options.host.strip("[]"), options.port
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, number)
        try:
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(512)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} of {host} is taken; stop what uses it, or give another --port"
        else:
            reason = f"cannot listen at {host}, port {port}: {error.strerror or error}"
        raise MienError(reason) from error
    return listener


def _log_to_stderr() -> None:
    """Let faults be seen; names of people stand in paths, which are not logged."""
    for name, level in (("mien.serve", logging.ERROR), ("uvicorn.error", logging.ERROR)):
        log = logging.getLogger(name)
        log.setLevel(level)
        log.propagate = False
        if not log.handlers:
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
            log.addHandler(handler)
