"""Ranges in text that a user wrote."""

from __future__ import annotations

from typing import NamedTuple


class Location(NamedTuple):
    """A range of one file; lines and columns count from 1, ``end_column`` is exclusive.

    Columns count characters, not bytes. ``start_column`` 0 means "the whole line".
    """

    start_line: int
    start_column: int
    end_line: int
    end_column: int
    file: str = "Dockerfile"
