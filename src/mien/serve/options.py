"""What `mien serve` may be told, with the range of each option."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from mien.errors import MienError
from mien.fields import Range, check_fields
from mien.media.bounded import MIB

__all__ = ["ServeOptions", "is_loopback"]


@dataclass(frozen=True)
class ServeOptions:
    """Options of the service; made only if each is in its range, else MienError."""

    host: str = "127.0.0.1"
    """Address to listen at. Other than loopback only with tokens."""
    port: Annotated[int, Range(0, 65535)] = 8321
    """0: any that is free."""
    token_file: Path | None = None
    """Lines NAME TOKEN, mode 0600; None: no tokens, loopback only."""
    collections: Path | None = None
    """Folder for collections of faces, calibrations and probes; None: collections are off, and
    calibrations and probes are held in memory."""
    audit: Path | None = None
    """File of who did what; None: `audit.jsonl` in the folder of collections, or nowhere."""
    weights: str | None = None
    device: str = "cpu"
    detector: Literal["auto", "mien", "yunet", "haar", "none"] = "auto"
    max_image_mib: Annotated[float, Range(0.01, 64)] = 10.0
    """Of one image, encoded."""
    max_megapixels: Annotated[float, Range(0.01, 400)] = 40.0
    """Of one image; read from its header before it is decoded."""
    max_request_mib: Annotated[float, Range(0.01, 1024)] = 64.0
    """Of one request's body."""
    max_faces: Annotated[int, Range(1, 4096)] = 256
    """Of one image."""
    max_queue: Annotated[int, Range(1, 4096)] = 64
    """Images that wait or are worked at; one more is answered 503."""
    max_requests: Annotated[int, Range(1, 4096)] = 128
    """Requests that are open at a time; one more is answered 503."""
    max_live: Annotated[int, Range(0, 1024)] = 8
    """Live connections at a time."""
    batch_size: Annotated[int, Range(1, 1024)] = 32
    """Faces encoded together at most."""
    batch_wait_ms: Annotated[float, Range(0, 1000)] = 5.0
    """How long the first face of a batch waits for others."""
    rate: Annotated[float, Range(0.001, 1e6)] = 100.0
    """Requests a second that one token may make for long."""
    burst: Annotated[int, Range(1, 10**6)] = 200
    """Requests that one token may make at once after a rest."""
    body_timeout_s: Annotated[float, Range(0.01, 3600)] = 30.0
    """Time for a request's head, and again for its body, to arrive."""
    stop_timeout_s: Annotated[float, Range(0, 3600)] = 30.0
    """Time for running requests to end when the service is stopped."""

    def __post_init__(self) -> None:
        check_fields(self, "serve")
        if self.token_file is None and not is_loopback(self.host):
            raise MienError(
                f"--host {self.host} can be reached by others: give --token-file FILE, or leave "
                "--host out"
            )

    @property
    def image_bytes(self) -> int:
        """Return the largest size of an image. Bytes."""
        return int(self.max_image_mib * MIB)

    @property
    def request_bytes(self) -> int:
        """Return the largest size of a request's body. Bytes."""
        return int(self.max_request_mib * MIB)

    @property
    def image_pixels(self) -> int:
        """Return how many pixels an image may have."""
        return int(self.max_megapixels * 1e6)


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is that of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
