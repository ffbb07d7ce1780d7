"""The canonical form: equal bytes if and only if the values are equal."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from builder.core.canonical import digest_of, encode, unhashed
from builder.core.digest import Digest


@dataclass(frozen=True)
class Old:
    """An op as it was."""

    name: str
    size: int = 0


@dataclass(frozen=True)
class Labelled:
    """An op that people read."""

    name: str
    label: str = unhashed("")
    parts: tuple[Old, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)


class Colour(enum.Enum):
    """Something with members."""

    RED = "red"


texts = st.text(st.characters(codec="utf-32", exclude_categories=()))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | texts
    | st.binary()
    | st.binary(max_size=2).map(Digest.of)
    | st.just(Colour.RED)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4).map(tuple)
        | st.frozensets(scalars, max_size=4)
        | st.dictionaries(texts, inner, max_size=3)
        | st.builds(Old, texts, st.integers())
        | st.builds(Labelled, texts, texts, st.lists(st.builds(Old, texts), max_size=2).map(tuple))
    ),
    max_leaves=8,
)


def _shape(value: object) -> object:
    """A value with its types, because Python says 1 == True."""
    match value:
        case tuple():
            return ("tuple", *map(_shape, value))
        case frozenset():
            return ("set", frozenset(map(_shape, value)))
        case dict():
            return ("dict", frozenset((key, _shape(item)) for key, item in value.items()))
        case Old():
            return ("old", value)
        case Labelled():
            return ("labelled", value.name, _shape(value.parts))
        case _:
            return (type(value).__name__, value)


@settings(deadline=None)
@given(values, values)
def test_equal_bytes_iff_equal(left: Any, right: Any) -> None:
    """Two values have one encoding exactly if they are equal, types included."""
    assert (encode(left) == encode(right)) == (_shape(left) == _shape(right))


@given(values)
def test_is_a_function(value: Any) -> None:
    """The same value is always encoded the same."""
    assert digest_of(value) == Digest.of(encode(value))


@given(texts, texts)
def test_unhashed_fields_do_not_count(name: str, label: str) -> None:
    """What only people read changes nothing."""
    assert encode(Labelled(name)) == encode(Labelled(name, label))


def test_new_option_keeps_old_keys() -> None:
    """A field that has its default is as good as absent."""

    @dataclass(frozen=True)
    class Op:
        name: str

    before = encode(Op("x"))

    @dataclass(frozen=True)
    class Op:  # type: ignore[no-redef]  # the same op in the next release
        name: str
        option: int = 7

    assert encode(Op("x")) == before
    assert encode(Op("x", option=8)) != before  # type: ignore[call-arg]  # mypy sees the first


def test_field_order_does_not_count() -> None:
    """Fields may be moved about."""

    @dataclass(frozen=True)
    class Op:
        a: int
        b: int

    first = encode(Op(a=1, b=2))

    @dataclass(frozen=True)
    class Op:  # type: ignore[no-redef]  # the same op, written differently
        b: int
        a: int

    assert encode(Op(a=1, b=2)) == first


def test_identity_version_invalidates() -> None:
    """IDENTITY_VERSION is the one way to make every key of an op another."""

    @dataclass(frozen=True)
    class Op:
        name: str

    before = encode(Op("x"))

    @dataclass(frozen=True)
    class Op:  # type: ignore[no-redef]  # the next release
        IDENTITY_VERSION = 2
        name: str

    assert encode(Op("x")) != before


def test_default_of_another_type_counts() -> None:
    """False is not 0, though Python calls them equal."""
    assert encode(Old("x", False)) != encode(Old("x", 0))


def test_dictionaries_have_no_order() -> None:
    """Insertion order is not content."""
    assert encode({"a": 1, "b": 2}) == encode({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [1.5, ["list"], object(), Old, {"a": {1}}])
def test_refuses_unknown_types(value: object) -> None:
    """What has no canonical form is an error, never a guess."""
    with pytest.raises(TypeError):
        encode(value)


@given(texts)
def test_escaped_bytes_are_no_letters(text: str) -> None:
    """A file name that is not UTF-8 never has the key of one that is."""
    raw = text.encode("utf-8", "surrogatepass")
    escaped = "".join(chr(0xDC00 + b) if b >= 0x80 else chr(b) for b in raw)
    assume(escaped != text)

    assert encode(escaped) != encode(text)
