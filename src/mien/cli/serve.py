"""`mien serve`: the library as a service on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Detector, Device, Weights
from mien.cli.terminal import show

__all__ = ["serve"]


def serve(
    host: Annotated[str, typer.Option(help="Address; other than loopback only with tokens.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8321,
    token_file: Annotated[
        Path | None, typer.Option(help="Lines NAME TOKEN, mode 0600; else only loopback may ask.")
    ] = None,
    collections: Annotated[
        Path | None,
        typer.Option(help="Folder for collections, calibrations and probes; else none are kept."),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(help="File of who did what; else audit.jsonl in the folder of collections."),
    ] = None,
    weights: Weights = None,
    device: Device = "cpu",
    detector: Detector = "auto",
    max_image_mib: Annotated[float, typer.Option(help="Of one image.")] = 10.0,
    max_megapixels: Annotated[float, typer.Option(help="Of one image.")] = 40.0,
    max_request_mib: Annotated[float, typer.Option(help="Of one request.")] = 64.0,
    max_faces: Annotated[int, typer.Option(help="Of one image.")] = 256,
    max_queue: Annotated[int, typer.Option(help="Images that wait or are worked at.")] = 64,
    max_requests: Annotated[int, typer.Option(help="Requests open at a time.")] = 128,
    max_live: Annotated[int, typer.Option(help="Live connections at a time.")] = 8,
    batch_size: Annotated[int, typer.Option(help="Faces encoded together at most.")] = 32,
    batch_wait_ms: Annotated[
        float, typer.Option(help="How long the first face of a batch waits for others.")
    ] = 5.0,
    rate: Annotated[float, typer.Option(help="Requests a second of one token.")] = 100.0,
    burst: Annotated[int, typer.Option(help="Requests of one token at once.")] = 200,
    body_timeout_s: Annotated[float, typer.Option(help="Time for a request to arrive.")] = 30.0,
    stop_timeout_s: Annotated[
        float, typer.Option(help="Time for running requests to end at the stop.")
    ] = 30.0,
    print_openapi: Annotated[
        bool, typer.Option("--print-openapi", help="Print the OpenAPI document and leave.")
    ] = False,
) -> None:
    """Answer requests of programs and pages on this machine; Ctrl-C stops it.

    Paths and limits: docs/serve.md and, of a running service, /docs.
    """
    given = {name: value for name, value in locals().items() if name != "print_openapi"}
    from mien.serve.options import ServeOptions

    options = ServeOptions(**given)
    if print_openapi:
        from mien.serve.app import openapi_text

        show(openapi_text().rstrip("\n"))
        return
    from mien.serve.run import serve as run

    run(options, ready=lambda url: show(f"{url} (paths: {url}/docs; Ctrl-C stops)"))
