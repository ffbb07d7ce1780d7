"""Secrets are found in files, whatever stands around them."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.fs.needles import SHORTEST, Found, Needles

_SECRET = b"s3cret-value"


@given(before=st.binary(max_size=9), secret=st.binary(min_size=12, max_size=80), after=st.binary(max_size=9))
def test_base64_of_something_that_holds_it(before: bytes, secret: bytes, after: bytes) -> None:
    """Wherever it began in what was encoded, in both alphabets."""
    secret = b"x" + secret.strip() + b"x"
    needles = Needles({"a": secret})

    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert list(needles.find_in_bytes(encode(before + secret + after), "f")) == [
            Found("a", "f", "in base64")
        ]


def test_a_tree(tmp_path: Path) -> None:
    """Contents and link targets, not names; holes, empty files and devices do no harm."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/config").write_bytes(b"token=" + _SECRET + b"\n")
    (tmp_path / "b").write_bytes(b"nothing")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/x/" + _SECRET.decode())
    (tmp_path / _SECRET.decode()).touch()
    os.mkfifo(tmp_path / "fifo")
    found = list(Needles({"a": _SECRET + b"\n", "other": b"not-there"}).find_in_tree(str(tmp_path)))

    assert found == [Found("a", "link", "as it is"), Found("a", "a/config", "as it is")]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A file outside is no part of a layer."""
    (tmp_path / "outside").write_bytes(_SECRET)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("../outside")

    assert list(Needles({"a": _SECRET}).find_in_tree(str(tmp_path / "tree"))) == []


@pytest.mark.parametrize("value", [b"", b" \n", b"12345", b"  12345\n"])
def test_what_occurs_by_chance_is_passed_over(value: bytes) -> None:
    """So few bytes are no secret."""
    assert len(value.strip()) < SHORTEST
    assert not Needles({"a": value})
