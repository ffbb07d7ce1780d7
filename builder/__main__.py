"""The command's entry."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit with its code."""
    launcher = None
    if "run" in sys.argv[1:4]:
        # A container needs it in any case, and it boots beside our imports; a wrong guess costs 20 ms.
        from builder.engine.early import start_launcher

        launcher = start_launcher()
    from builder.cli.app import run

    sys.exit(run(sys.argv[1:], launcher))


if __name__ == "__main__":
    main()
