"""The command's entry."""

from __future__ import annotations

from builder.cli.start import main

if __name__ == "__main__":
    main()
