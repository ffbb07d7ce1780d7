"""Go's file name patterns."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.fs.patterns import InvalidPattern, clean, compile_match, has_wildcards, ignore_expression


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("abc", "abc", True),
        ("*", "abc", True),
        ("*c", "abc", True),
        ("a*", "ab/c", False),
        ("a*/b", "a/c/b", False),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", True),
        ("a*b?c*x", "abxbbxdbxebxczzx", True),
        ("a*b?c*x", "abxbbxdbxebxczzy", False),
        ("ab[c]", "abc", True),
        ("ab[b-d]", "abc", True),
        ("ab[e-g]", "abc", False),
        ("ab[^c]", "abc", False),
        ("ab[^b-d]", "abc", False),
        ("ab[^e-g]", "abc", True),
        ("a\\*b", "a*b", True),
        ("a\\*b", "ab", False),
        ("a?b", "a\u263ab", True),
        ("a[^a]b", "a\u263ab", True),
        ("a?b", "a/b", False),
        ("[a-\u03b6]*", "\u03b1", True),
        ("*[a-\u03b6]", "A", False),
        ("[\\]a]", "]", True),
        ("[\\-]", "-", True),
        ("[x\\-]", "-", True),
        ("[\\-x]", "z", False),
        ("[!a]x", "!x", True),
        ("[b-a]", "a", False),
        ("[^b-a]", "a", True),
        ("*x", "xxx", True),
        ("a.b", "axb", False),
        ("**", "a/b", False),
        ("a\n*", "a\nb", True),
    ],
)
def test_match_is_gos(pattern: str, name: str, expected: bool) -> None:
    """Stars and question marks stop at slashes, ^ negates a class, a backslash escapes everywhere."""
    assert expected == (compile_match(pattern).fullmatch(name) is not None)


@pytest.mark.parametrize(
    "pattern", ["[", "[^", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[a-b-c]", "[-x]", "[a", "a\\"]
)
def test_what_go_refuses_is_an_error(pattern: str) -> None:
    """A class that is empty, open or holds a bare dash, and a last backslash, are told to the user."""
    with pytest.raises(InvalidPattern) as caught:
        compile_match(pattern)

    assert caught.value.code == "invalid-pattern"
    assert f'"{pattern}"' in caught.value.message


@given(st.text("ab*?.", max_size=6), st.text("ab.", max_size=6))
def test_without_brackets_and_slashes_it_is_fnmatch(pattern: str, name: str) -> None:
    """Stars and question marks mean what they mean in a shell."""
    assert fnmatchcase(name, pattern) == (compile_match(pattern).fullmatch(name) is not None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", False),
        ("a*", True),
        ("a?", True),
        ("[a]", True),
        ("a\\*", False),
        ("\\[", False),
        ("\\\\*", True),
    ],
)
def test_an_escaped_wildcard_is_none(text: str, expected: bool) -> None:
    """A name whose wildcards are all escaped is a plain name."""
    assert expected == has_wildcards(text)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "."),
        ("/", "/"),
        (".", "."),
        ("a//b/", "a/b"),
        ("./a/./b", "a/b"),
        ("a/../b", "b"),
        ("a/..", "."),
        ("../a", "../a"),
        ("a/../../b", "../b"),
        ("/../a", "/a"),
    ],
)
def test_clean_is_gos(path: str, expected: str) -> None:
    """``..`` goes as far as the text allows, and no further than a root."""
    assert expected == clean(path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**", "a", True),
        ("**/foo", "foo", True),
        ("**/foo", "a/b/foo", True),
        ("**/foo", "xfoo", False),
        ("**foo", "xfoo", True),
        ("**/foo*", "a/foox", True),
        ("**foo*", "xfoo", False),
        ("foo/**", "foo/a/b", True),
        ("foo/**", "foo", False),
        ("foo**", "foobar/x", True),
        ("a**b", "axb", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**/b", "a/xb", False),
        ("a*/**", "ab/c", True),
        ("**/*.py", "x.py", True),
        ("**/**", "a/b", True),
        ("x[^a]y", "x/y", True),
        ("\\**", "*a", True),
        ("a\\**", "a*/b", False),
        ("***", "a/b", True),
    ],
)
def test_two_stars_are_any_depth(pattern: str, path: str, expected: bool) -> None:
    """``**`` stands for whole directories, except at the ends of a plain pattern, where it is any text."""
    found = re.compile(ignore_expression(pattern), re.DOTALL).fullmatch(path)

    assert expected == (found is not None)
