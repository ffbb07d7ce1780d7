"""The command, and stores for it."""

from __future__ import annotations

from tests.support.stores import base_store, known, pybuild, write

__all__ = ["base_store", "known", "pybuild", "write"]
