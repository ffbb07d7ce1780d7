"""The command, and stores for it."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.support.cli", "tests.support.processes")

from tests.support.stores import base_store, known, pybuild, write  # noqa: E402 (after the line above)

__all__ = ["base_store", "known", "pybuild", "write"]
