"""Digests: what parses, what does not, and that text and value agree."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.digest import Digest, DigestMismatch, InvalidDigest
from builder.core.errors import Kind

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.binary())
def test_text_and_value_agree(data: bytes) -> None:
    """Parsing what a digest prints gives that digest."""
    digest = Digest.of(data)

    assert digest == Digest.parse(str(digest))


def test_known_value() -> None:
    """The digest of nothing is the one that everybody has for it."""
    assert str(Digest.of(b"")) == EMPTY
    assert str(Digest.from_hash(hashlib.sha256())) == EMPTY
    assert Digest.parse(EMPTY).short == "e3b0c44298fc"


def test_sha512_is_read() -> None:
    """Foreign content may be named by sha512."""
    text = "sha512:" + "ab" * 64

    assert str(Digest.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        EMPTY[:-1],
        EMPTY + "0",
        EMPTY.upper(),
        EMPTY.replace("sha256", "md5"),
        "sha512:" + "ab" * 32,
        EMPTY + "\n",
        " " + EMPTY,
        "sha256:../../../../etc/passwd" + "0" * 36,
        EMPTY.removeprefix("sha256:"),
    ],
)
def test_refuses_what_is_no_digest(text: str) -> None:
    """Whatever could leave a directory or a URL is refused before it is used."""
    with pytest.raises(InvalidDigest) as caught:
        Digest.parse(text)

    assert caught.value.kind is Kind.INVALID
    assert caught.value.hint is not None


def test_long_nonsense_is_quoted_short() -> None:
    """An error does not repeat a megabyte of input."""
    with pytest.raises(InvalidDigest) as caught:
        Digest.parse("x" * 1_000_000)

    assert len(caught.value.message) < 300


def test_mismatch_names_both() -> None:
    """A mismatch says what was announced and what came."""
    error = DigestMismatch(Digest.of(b"a"), Digest.of(b"b"), what="layer")

    assert error.message == f"layer should be {Digest.of(b'a')} and is {Digest.of(b'b')}"
    assert error.kind is Kind.CORRUPT


def test_order_is_that_of_the_text() -> None:
    """Sorted digests are sorted text."""
    digests = [Digest.of(bytes([n])) for n in range(20)]

    assert [str(d) for d in sorted(digests)] == sorted(str(d) for d in digests)
