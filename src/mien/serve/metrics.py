"""Counters for Prometheus; in a registry of their own, so that two services do not share them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_FACES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What the service counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = self._registry
        self.requests = Counter(
            "mien_requests", "Requests that were answered.", ["operation", "status"], registry=own
        )
        self.seconds = Histogram(
            "mien_request_seconds",
            "From a request's head to the end of its answer.",
            ["operation"],
            buckets=_SECONDS,
            registry=own,
        )
        self.images = Counter("mien_images", "Images that were read.", registry=own)
        self.faces = Counter("mien_faces", "Faces that were encoded.", registry=own)
        self.batch = Histogram(
            "mien_batch_faces", "Faces that were encoded together.", buckets=_FACES, registry=own
        )
        self.queue = Gauge("mien_queue_images", "Images that wait or are worked at.", registry=own)
        self.live = Gauge("mien_live_connections", "Live connections that are open.", registry=own)

    def text(self) -> bytes:
        """Return all counters in Prometheus' text format."""
        return generate_latest(self._registry)
