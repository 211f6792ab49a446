"""What all requests share: the model, its threads, tokens, limits, stores and counters."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from mien import weights as weights_folder
from mien.errors import MienError
from mien.model import Model, load
from mien.probes.gaze import Calibration
from mien.probes.probe import Probe
from mien.serve.audit import Audit
from mien.serve.collections import FaceStore, FolderStore
from mien.serve.engine import Engine
from mien.serve.errors import ApiError
from mien.serve.metrics import Metrics
from mien.serve.options import ServeOptions
from mien.serve.rate import RateLimit
from mien.serve.readouts import Readouts
from mien.serve.tokens import Tokens
from mien.similarities import Similarities
from mien.verification import Reference

__all__ = ["Service", "same_rate"]


@dataclass(eq=False)
class Service:
    """Everything but the paths; made once, closed once."""

    options: ServeOptions
    engine: Engine
    tokens: Tokens
    audit: Audit
    metrics: Metrics
    rate: RateLimit
    calibrations: Readouts[Calibration]
    probes: Readouts[Probe]
    store: FaceStore | None
    reference: Reference | None
    """None: no thresholds were measured for these weights."""
    similarities: Similarities | None
    """None: nothing was measured for these weights."""
    requests: int = 0
    """That are open now."""
    live: int = 0
    """Live connections that are open now."""
    closing: bool = field(default=False)

    @staticmethod
    def open(options: ServeOptions, tokens: Tokens | None = None) -> Service:
        """Load the weights and open what is to be kept.

        Args:
            options: of the service.
            tokens: None: those of the options' file.

        Raises:
            MienError: weights, tokens, detector, device or folder cannot be had.
        """
        tokens = tokens or Tokens.read(options.token_file)
        where = weights_folder.shipped_folder() if options.weights is None else options.weights
        model = load(where, device=options.device)
        reference = None
        if weights_folder.verification_file(where) is not None:
            reference = Reference.read(where)
        similarities = Similarities.read(where)
        known = {"reference": reference, "similarities": similarities}
        return Service.around(model, options, tokens=tokens, **known)

    @staticmethod
    def around(
        model: Model,
        options: ServeOptions,
        *,
        tokens: Tokens,
        reference: Reference | None,
        similarities: Similarities | None = None,
    ) -> Service:
        """Open what is to be kept, around a model that is loaded; raises MienError."""
        folder = options.collections
        audit = options.audit
        with contextlib.ExitStack() as undo:
            store = None
            if folder is not None:
                store = FolderStore(folder / "collections")
                undo.callback(store.close)
                audit = audit or folder / "audit.jsonl"
            metrics = Metrics()
            service = Service(
                options=options,
                engine=Engine(model, options, metrics),
                tokens=tokens,
                audit=Audit(audit),
                metrics=metrics,
                rate=RateLimit(options.rate, options.burst),
                calibrations=Readouts(Calibration, _below(folder, "calibrations")),
                probes=Readouts(Probe, _below(folder, "probes")),
                store=store,
                reference=reference,
                similarities=similarities,
            )
            undo.pop_all()
        return service

    @property
    def model(self) -> Model:
        """Return the model."""
        return self.engine.model

    def thresholds(self) -> Reference:
        """Return what was measured for the weights.

        Raises:
            ApiError: nothing was.
        """
        if self.reference is None:
            raise ApiError(
                "no_thresholds",
                f"no thresholds were measured for the weights {self.model.weights_id}: faces "
                "cannot be compared",
            )
        return self.reference

    def faces(self) -> FaceStore:
        """Return the store of collections.

        Raises:
            ApiError: the service keeps none.
        """
        if self.store is None:
            raise ApiError(
                "collections_off",
                "this service keeps no collections (mien serve --collections DIR)",
            )
        return self.store

    def close(self) -> None:
        """End the threads and let the store go."""
        self.engine.close()
        if self.store is not None:
            self.store.close()


def _below(folder: Path | None, name: str) -> Path | None:
    return None if folder is None else folder / name


def same_rate(reference: Reference, rate: float) -> float:
    """Return a false match rate for which a threshold was measured.

    Raises:
        ApiError: it was not; names those that were.
    """
    try:
        return reference.threshold(rate).false_match_rate
    except MienError as error:
        raise ApiError("invalid", f"false_match_rate: {error}") from error
