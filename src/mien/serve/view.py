"""`mien view`: the service for one person on this machine, and its page in the browser."""

from __future__ import annotations

import secrets
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path

from mien.errors import MienError
from mien.probes.gaze import Calibration
from mien.serve.options import ServeOptions
from mien.serve.run import serve
from mien.serve.service import Service
from mien.serve.shown import Shown
from mien.serve.tokens import Tokens

__all__ = ["view"]


def view(
    inputs: Sequence[Path],
    options: ServeOptions,
    *,
    images: Path | None,
    calibration: Path | None,
    browser: bool,
    ready: Callable[[str, bool], None],
) -> None:
    """Serve the page on loopback until SIGINT or SIGTERM.

    A token is made for this run; it stands behind the # of the address, which browsers send to
    nobody.

    Args:
        inputs: images, videos, folders, at most one Parquet table.
        options: of the service.
        images: folder of the table's images; None: the table's own.
        calibration: gives gaze directions.
        browser: open it.
        ready: is told the address, and whether a browser was opened.

    Raises:
        MienError: an input is missing or of no use; the calibration was made with other weights;
            the port is taken, or weights or detector cannot be had.
    """
    shown = Shown.open(inputs, images, max_bytes=options.image_bytes)
    known = None if calibration is None else Calibration.load(calibration)
    token = secrets.token_urlsafe(32)

    def prepare(service: Service) -> None:
        if known is None:
            return
        weights = service.model.weights_id
        if known.model_id != weights:
            raise MienError(
                f"{calibration} was made with the weights {known.model_id}, not {weights}; "
                "calibrate again"
            )
        service.calibrations.add(known)

    def up(url: str) -> None:
        whole = f"{url}/#token={token}"
        ready(whole, browser and webbrowser.open(whole))

    tokens = Tokens.of("page", token)
    serve(options, ready=up, tokens=tokens, shown=shown, prepare=prepare)
