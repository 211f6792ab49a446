"""Where the command line begins: an interrupt is one word from the first import on."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    # Before torch is imported: its threads else wait for work by spinning, and take the processors
    # from those that read and detect (22 s of processor time in place of 13 for 100 images).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from mien.cli.main import run
        from mien.cli.signals import stop_on_signals
        from mien.cli.terminal import prepare
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    prepare()
    stop_on_signals()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
