"""Expansion of words; the tables were checked with Docker's BuildKit."""

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

EXPANSIONS = [
    ("", ""), ("plain", "plain"), ("$v", "value"), ("${v}x", "valuex"), ("$vx", ""), ("${v}$v", "valuevalue"),
    ("a$v-b", "avalue-b"), ("$é", "accent"), ("$u", "ünï"),
    # defaults and alternatives
    ("${x:-def}", "def"), ("${e:-def}", "def"), ("${e-def}", ""), ("${x-def}", "def"), ("${v:-def}", "value"),
    ("${v:+alt}", "alt"), ("${e:+alt}", ""), ("${e+alt}", "alt"), ("${x+alt}", ""), ("${x:-$v}", "value"),
    ("${x:-${y:-deep}}", "deep"), ('${x:-"q q"}', "q q"), ('"${x:-a b}"', "a b"), ("${x:-}", ""),
    ("${x:+}", ""),
    (r"${x:-a\}b}", "a}b"), ("${x:-a'}'b}", "a}b"), ('${x:-"}"}', "}"), ("${e?}", ""),
    ("${v:?gone}", "value"),
    # quotes and escapes
    ("'${v}'", "${v}"), ('"$v"', "value"), (r'"\$v"', "$v"), (r"\$v", "$v"), (r"\${v}", "${v}"),
    (r'"a\"b"', 'a"b'), (r'"a\nb"', r"a\nb"), (r"a\nb", "anb"), ("a'b\"c'd\"e'f\"g", "ab\"cde'fg"),
    ("''", ""), ('""', ""), (r'"a\\b"', r"a\b"), (r'"\a"', r"\a"), (r"'\a'", r"\a"), (r"a\\b", r"a\b"),
    ("a b  c", "a b  c"), ("ends\\", "ends"),
    # parameters of a shell, and dollars that are none
    ("$1", ""), ("$10", ""), ("$0x", "x"), ("$@", ""), ("$*", ""), ("$#", ""), ("$?", ""), ("$-", ""),
    ("$$", ""), ("$!", ""), ("${1}", ""), ("${@}", ""), ("$.", "$."), ("$", "$"), ("a$", "a$"), ('"$"', "$"),
    # prefixes and suffixes
    ("${p#*/}", "a/b/c.tar.gz"), ("${p##*/}", "c.tar.gz"), ("${p%.*}", "/a/b/c.tar"), ("${p%%.*}", "/a/b/c"),
    ("${p#/a}", "/b/c.tar.gz"), ("${p%%/*}", ""), ("${p##/*}", ""), ("${p#?}", "a/b/c.tar.gz"),
    (r"${star#a\*}", "b"), (r"${star%\*b}", "a"), (r"${bs#a\\}", r"\b"), ("${u#ü}", "nï"),
    ("${v##}", "value"),
    ("${v#}", "value"), ("${v#${v%lue}}", "lue"), ("${v##v*}", ""), ("${v%%*}", ""), ("${x#a}", ""),
    ("${v#'v'}", "alue"), ('${v#"v"}', "alue"), ("${v#[v]}", "value"), (r"${v#\/}", "value"),
    ("${v#v}${v%e}", "aluevalu"),
    # replacements
    ("${p/a/X}", "/X/b/c.tar.gz"), (r"${p//\//_}", "_a_b_c.tar.gz"), ("${p//./_}", "/a/b/c_tar_gz"),
    ("${p//?/_}", "_____________"), ("${p//*/_}", "_"), (r"${p/\/a/X}", "X/b/c.tar.gz"),
    ("${p/a/}", "//b/c.tar.gz"),
    (r"${p//\//}", "abc.tar.gz"), (r"${v/l/\/}", r"va\/ue"), (r"${v/l/\}}", r"va\}ue"),
    ("${v/l/$s}", "vax yue"),
    ('${v/l/"q"}', "vaque"), ('"${s// /_}"', "x_y"), (r"${star/\*/x}", "axb"), (r"${star/\?/x}", "a*b"),
    ("${x/a/b}", ""), ("${p/$e/X}", "X/a/b/c.tar.gz"), ("${v//$e/-}", "-v-a-l-u-e-"),
    (r"${v/a/\b}", r"v\blue"),
    (r"${v/l/\$1}", r"va\$1ue"),
    # a modifier without a name
    ("${+w}", ""), ("${/a/b}", ""), ("${//a/b}", ""), ("${%v}", ""), ("${%%}", ""),
]  # fmt: skip

MISTAKES = [
    ("${}", "bad substitution"), ("${:}", "bad substitution"), ("${{", "bad substitution"),
    (r"${x/\a/b}", r'"\a"'), ("${/a}", 'lacks a "/"'),
    ("${v", 'lacks a "}"'), ("${v:", 'lacks a "}"'), ("${v:-a", 'lacks a "}"'), ("${x:-'}", "is not closed"),
    ("${v:=a}", '":="'), ("${v=a}", '"="'), ("${v:x}", '":x"'), ("${v:#a}", '":#"'), ("${v:%a}", '":%"'),
    ("${v:/a/b}", '":/"'), ("${v^}", '"^"'), ("${v@Q}", '"@"'), ("${v!}", '"!"'), ("${#v}", '"v"'),
    ("${x:?gone}", 'variable "x": gone'), ("${x?gone}", "gone"), ("${x?}", "is not allowed to be unset"),
    ("${e:?}", "is not allowed to be empty"),
    ('"abc', "is not closed"), ("'abc", "is not closed"), ("${v/a}", 'lacks a "/"'),
    ("${v/a/b", 'lacks a "}"'),
    (r"${v#\a}", r'"\a"'), (r"${v/\a/b}", r'"\a"'), ("${x:-" * 200, "in one another"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "expected"), EXPANSIONS, ids=[word for word, _ in EXPANSIONS])
def test_expansion(word: str, expected: str) -> None:
    """A word becomes what Docker makes of it."""
    assert expected == expand(word, ENV).text


@pytest.mark.parametrize(("word", "part"), MISTAKES, ids=[word[:20] for word, _ in MISTAKES])
def test_mistake(word: str, part: str) -> None:
    """What cannot be expanded is refused with the reason and a hint."""
    with pytest.raises(InvalidExpansion, match=re.escape(part)) as caught:
        expand(word, ENV)

    assert caught.value.hint


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
