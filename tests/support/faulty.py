"""Faults of registries, as functions that switch them on."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.registry import FakeRegistry

Fault = Callable[[FakeRegistry], object]


def all_of(*faults: Fault) -> Fault:
    """One after another."""

    def set_all(registry: FakeRegistry) -> None:
        for fault in faults:
            fault(registry)

    return set_all
