"""Expansion of words, beside the table of forms in test_expansion_table.py."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.frontend.dockerfile import patterns
from builder.frontend.dockerfile.words import InvalidExpansion, Mode, expand, expand_words

ENV = {
    "v": "value", "e": "", "p": "/a/b/c.tar.gz", "s": "x y", "star": "a*b", "bs": "a\\\\b", "u": "ünï",
    "é": "accent", "two": "80 443/tcp",
}  # fmt: skip


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("80", ("80",)), ("$two", ("80", "443/tcp")), ('"$two"', ("80 443/tcp",)), ("$x", ()), ("", ()),
        ("''", ("",)), ("a'b c'd", ("ab cd",)), ("$s$s", ("x", "yx", "y")), (r"a\ b", ("a b",)),
        ("$s/tcp", ("x", "y/tcp")),
        ("a ''", ("a", "")), (" a  b ", ("a", "b")),
    ],
)  # fmt: skip
def test_splitting(word: str, expected: tuple[str, ...]) -> None:
    """Where a word may become several, blanks outside of quotes split, those of variables too."""
    assert expected == expand_words(word, ENV).words


def test_another_escape_character() -> None:
    """With the escape directive the backquote escapes, and a backslash is text."""
    mode = Mode(escape="`")

    assert expand("`$v", ENV, mode).text == "$v"
    assert expand(r"C:\$v", ENV, mode).text == r"C:\value"
    assert expand('"`"`$v"', ENV, mode).text == '"$v'


def test_text_without_quotes() -> None:
    """In the body of a heredoc quotes are text; a backslash still escapes, a line end too."""
    mode = Mode(has_quotes=False)

    assert expand('it\'s "$v" \\$v \\a\\\n', ENV, mode).text == 'it\'s "value" $v a\n'


def test_quotes_kept_for_display() -> None:
    """The progress display shows a RUN with its quotes, and what is not set as it is written."""
    mode = Mode(keeps_quotes=True, keeps_unset=True)

    assert (
        expand("\"$v\" '$v' $nope ${nope} ${nope/a/b}", ENV, mode).text
        == "\"value\" '$v' $nope ${nope} ${nope/a/b}"
    )


@pytest.mark.parametrize(
    ("word", "unset"),
    [
        ("$a$v${b}$a", ("a", "b")), ("${a:-x}", ()), ("${a-$b}", ("b",)), ("${v:-$b}", ()), ("${a:+$b}", ()),
        ("${v:+$b}", ("b",)), ("${a#x}", ("a",)), ("${a/x/y}", ("a",)), ("'$a'", ()), ("$e", ()),
    ],
)  # fmt: skip
def test_unset_names(word: str, unset: tuple[str, ...]) -> None:
    """Names that are used and not set are reported; a default or an alternative expects that."""
    assert unset == expand(word, ENV).unset


@pytest.mark.parametrize("depth", [100, 101, 10_000])
def test_nesting_is_bounded(depth: int) -> None:
    """A hundred in one another are expanded; more are an error of ours at any depth."""
    text = "${x:-" * depth + "end" + "}" * depth
    if depth <= 100:
        assert expand(text, ENV).text == "end"
        return
    with pytest.raises(InvalidExpansion, match="in one another"):
        expand(text, ENV)


def test_expansions_are_bounded() -> None:
    """Doubling a variable again and again ends in an error, not in all memory."""
    text = "x" * (1 << 19)
    assert len(expand("${a}${a}", {"a": text}).text) == 1 << 20
    with pytest.raises(InvalidExpansion, match="longer than"):
        expand("${a}${a}$b", {"a": text, "b": "b"})
    with pytest.raises(InvalidExpansion, match="longer than"):
        expand("${a//x/$a}", {"a": "x" * 10_000})


@given(st.text(alphabet=st.characters(blacklist_characters="'\0", blacklist_categories=["Cs"])))
def test_single_quotes_keep_everything(text: str) -> None:
    """Whatever stands in single quotes comes out as it is."""
    assert text == expand(f"'{text}'", ENV).text


@given(st.text(alphabet=st.sampled_from("ab*?/"), max_size=8), st.text(alphabet="ab/", max_size=10))
def test_patterns_match_the_longest_and_the_shortest(pattern: str, value: str) -> None:
    """Removal takes away the shortest or the longest prefix or suffix that the pattern describes."""
    regex = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
    lengths = range(len(value) + 1)
    prefixes = [n for n in lengths if regex.fullmatch(value[:n])]
    suffixes = [n for n in lengths if regex.fullmatch(value[len(value) - n :])]

    assert value[min(prefixes, default=0) :] == patterns.remove_prefix(value, pattern, is_longest=False)
    assert value[max(prefixes, default=0) :] == patterns.remove_prefix(value, pattern, is_longest=True)
    kept = len(value) - min(suffixes, default=0)
    assert value[:kept] == patterns.remove_suffix(value, pattern, is_longest=False)
    kept = len(value) - max(suffixes, default=0)
    assert value[:kept] == patterns.remove_suffix(value, pattern, is_longest=True)


@given(st.text(alphabet=st.sampled_from("ab*?"), max_size=6), st.text(alphabet="ab", max_size=10))
def test_replacement_takes_the_first_longest_match(pattern: str, value: str) -> None:
    """The first place where the pattern matches is replaced, as far as it matches."""
    regex = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)

    expected = regex.sub("<>", value, count=1)
    assert expected == patterns.replace(value, pattern, "<>", is_all=False, limit=1000)
