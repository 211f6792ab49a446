"""Where the command line begins: an interrupt is one word from the first import on."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    try:
        from mien.cli.main import run
        from mien.cli.terminal import prepare
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    prepare()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
