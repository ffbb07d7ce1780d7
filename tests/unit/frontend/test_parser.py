"""Where things stand in the file, what the parser notices beside the words, and what it survives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.core.location import Location
from builder.frontend.dockerfile.lines import LineReader
from builder.frontend.dockerfile.node import Node, SyntaxNote, SyntaxTree, Word
from builder.frontend.dockerfile.parser import parse
from builder.frontend.dockerfile.syntax_error import DockerfileSyntaxError

PARSE_CASES = Path(__file__).parents[3] / "testdata" / "parse"


def only_node(text: str) -> Node:
    (node,) = parse(text.encode()).nodes
    return node


def place(location: Location) -> tuple[int, int, int, int]:
    return location[:4]


def placed(words: tuple[Word, ...]) -> list[tuple[str, tuple[int, int, int, int]]]:
    return [(word.text, place(word.location)) for word in words]


def test_words_and_flags_know_their_columns() -> None:
    """Every flag and word has the line and columns at which it is written."""
    node = only_node("  COPY --from=b --x='y z'\ta  ü c\n")

    assert place(node.keyword_location) == (1, 3, 1, 7)
    assert placed(node.flags) == [("--from=b", (1, 8, 1, 16)), ("--x=y z", (1, 17, 1, 26))]
    assert placed(node.words) == [("a", (1, 27, 1, 28)), ("ü", (1, 30, 1, 31)), ("c", (1, 32, 1, 33))]
    assert place(node.location) == (1, 3, 1, 33)


def test_a_word_across_continuations_spans_lines() -> None:
    """Columns of continued lines are those of the physical lines, comments between them or not."""
    node = only_node("FROM a\\\nb\\\n# comment\n\n  c  d \\\n\\\n  e\n")

    assert placed(node.words) == [
        ("ab", (1, 6, 2, 2)),
        ("c", (5, 3, 5, 4)),
        ("d", (5, 6, 5, 7)),
        ("e", (7, 3, 7, 4)),
    ]
    assert place(node.location) == (1, 1, 7, 4)


def test_a_keyword_behind_an_empty_continuation_is_on_its_own_line() -> None:
    """The instruction begins with the escape character, its keyword on the line below."""
    node = only_node("\\\n RUN x\n")

    assert place(node.location) == (1, 1, 2, 7)
    assert place(node.keyword_location) == (2, 2, 2, 5)


def test_locations_name_the_file() -> None:
    """Locations carry the name that the caller gave the file."""
    node = parse(b"RUN x\n", file="sub/Containerfile").nodes[0]

    assert {"sub/Containerfile"} == {node.location.file, node.words[0].location.file}


@pytest.mark.parametrize("case", sorted(PARSE_CASES.iterdir()), ids=lambda path: path.name)
def test_locations_lead_to_the_text(case: Path) -> None:
    """The file has, at a word's location, that word; only flags lose their quotes."""
    data = (case / "Dockerfile").read_bytes()
    lines = data.decode("utf-8-sig").split("\n")
    for outer in parse(data).nodes:
        node = outer.trigger or outer
        for word in (*node.flags, *(() if node.is_json else node.words)):
            start_line, start_column, end_line, end_column, _ = word.location
            written = lines[start_line - 1][start_column - 1 : end_column - 1]
            if start_line != end_line:
                continue
            if word in node.flags and written != word.text:
                assert any(quote in written for quote in "'\"\\")
            elif not (word.text == " " and written.isspace()):  # the separator of ENV key value
                assert word.text == written


def test_pairs_are_triples() -> None:
    """ENV and LABEL have key, value and separator, each where it is written."""
    node = only_node("ENV a= 'b c'=\"d e\"\n")

    assert placed(node.words) == [
        ("a", (1, 5, 1, 6)),
        ("", (1, 7, 1, 7)),
        ("=", (1, 6, 1, 7)),
        ("'b c'", (1, 8, 1, 13)),
        ('"d e"', (1, 14, 1, 19)),
        ("=", (1, 13, 1, 14)),
    ]


def test_legacy_pair_has_a_blank_as_separator() -> None:
    """ENV key value: the rest of the line is the value, and the blank in between its separator."""
    node = only_node("ENV key  some value = x\n")

    assert [word.text for word in node.words] == ["key", "some value = x", " "]
    assert place(node.words[2].location) == (1, 8, 1, 10)


def test_json_strings_are_where_their_quotes_are() -> None:
    """The strings of an array are decoded; their locations take in the quotes."""
    node = only_node('CMD ["a\\n", "b"]\n')

    assert node.is_json
    assert placed(node.words) == [("a\n", (1, 6, 1, 11)), ("b", (1, 13, 1, 16))]


def test_heredocs_know_how_to_be_read() -> None:
    """Quoted names forbid expansion, a dash drops the tabs, and the token has a location."""
    node = only_node("COPY <<-A 3<<'B' /x\n\tone\n \ttwo\n\tA\n\t$x\nB\n")
    tabbed, quoted = node.heredocs

    assert tabbed[:6] == ("A", 0, True, True, "one\n \ttwo\n", "\tone\n \ttwo\n")
    assert quoted[:6] == ("B", 3, False, False, "\t$x\n", "\t$x\n")
    assert [place(tabbed.location), place(quoted.location)] == [(1, 6, 1, 10), (1, 11, 1, 17)]
    assert place(node.location) == (1, 1, 6, 2)


def test_quotes_anywhere_in_a_heredoc_name_count() -> None:
    """A name is expanded unless any part of it is quoted; an escape is no quote."""
    node = only_node("RUN <<\\A <<B\"\" <<${C-'d'}\nA\nB\n${C-d}\n")

    assert [doc.is_expanded for doc in node.heredocs] == [True, False, False]


def test_newer_parameter_operators_do_not_hide_a_heredoc() -> None:
    """${x#y}, ${x%y} and ${x/y/z} beside a heredoc are fine, as for Docker's later parsers."""
    node = only_node("RUN echo ${x%%-*} ${x#y} ${x/y/z} && cat <<A\nbody\nA\n")

    assert [doc.content for doc in node.heredocs] == ["body\n"]


def test_onbuild_has_the_instruction_below_it() -> None:
    """ONBUILD has no words of its own; its trigger has them, its own location and the heredocs."""
    node = only_node("ONBUILD --o RUN --mount=x cat <<E\nbody\nE\n")
    trigger = node.trigger

    assert trigger is not None
    assert (node.words, [flag.text for flag in node.flags]) == ((), ["--o"])
    assert (
        trigger.keyword,
        [flag.text for flag in trigger.flags],
        [word.text for word in trigger.words],
    ) == ("run", ["--mount=x"], ["cat <<E"])
    assert trigger.original == "RUN --mount=x cat <<E"
    assert place(trigger.location) == (1, 13, 3, 2)
    assert node.heredocs == trigger.heredocs


def test_onbuild_nested_without_end_is_refused() -> None:
    """A line of nothing but ONBUILD is an error, not an overflow."""
    with pytest.raises(DockerfileSyntaxError, match="nested too deep"):
        parse(b"ONBUILD " * 8000)


def test_comments_belong_to_the_instruction_right_below() -> None:
    """Comment lines count up to a blank line; directives are none, and neither is what continues a line."""
    text = "# syntax=x\n# lost\n\n#  one \n  #two\nFROM a \\\n# inside\n b\nRUN c\n"
    first, second = parse(text.encode()).nodes

    assert placed(first.comments) == [("one", (4, 4, 4, 7)), ("two", (5, 4, 5, 7))]
    assert second.comments == ()


def test_directives_are_kept_with_their_place() -> None:
    """syntax, check and escape are read in any order; names in lower case, values trimmed."""
    tree = parse(b"# Syntax = a/b:1 c \n#check=skip=all\n\t# escape=`\nFROM a `\n b\n")

    assert [(name, value, place(location)) for name, value, location in tree.directives] == [
        ("syntax", "a/b:1 c", (1, 1, 1, 19)),
        ("check", "skip=all", (2, 1, 2, 16)),
        ("escape", "`", (3, 2, 3, 12)),
    ]
    assert tree.escape == "`"
    assert [word.text for word in tree.nodes[0].words] == ["a", "b"]


def test_empty_continuation_lines_are_noticed_once() -> None:
    """One note for an instruction, at its first empty line."""
    tree = parse(b"FROM a\nRUN b \\\n\n \n c\nRUN d\n")

    assert (SyntaxNote("NoEmptyContinuation", "empty continuation line", Location(3, 1, 3, 1)),) == tree.notes


def test_text_behind_an_array_is_noticed() -> None:
    """What Docker drops without a word is in the notes."""
    (note,) = parse(b'FROM a\nRUN ["b"] && c\n').notes

    assert (note.rule, place(note.location)) == ("TextAfterJsonArray", (2, 11, 2, 15))
    assert '"&& c"' in note.message


def test_bytes_that_are_no_text_are_replaced_and_noticed() -> None:
    """Each such byte is one U+FFFD, as Docker sends it on; a NUL is a character like others."""
    tree = parse(b"# \xc3\nRUN \xff\xfe a\x00b \xed\xa0\x80\n")

    assert tree.nodes[0].words[0].text == "\ufffd\ufffd a\0b \ufffd\ufffd\ufffd"
    assert [(note.rule, place(note.location)) for note in tree.notes] == [("InvalidUtf8", (1, 3, 1, 4))]


def test_a_line_may_be_as_long_as_the_buffer_of_docker() -> None:
    """A line of 65535 bytes is read."""
    longest = "x" * 65535
    (doc,) = only_node(f"RUN <<E\n{longest}\nE\n").heredocs

    assert f"{longest}\n" == doc.content


@pytest.mark.parametrize(
    ("before", "line"), [("", 1), ("RUN <<E\n", 2), ("RUN a \\\n", 2), ("RUN a\n\n", 3), ("\ufeff", 1)]
)
def test_a_longer_line_is_refused_wherever_it_stands(before: str, line: int) -> None:
    """The error names the long line, not what its loss leads to."""
    with pytest.raises(DockerfileSyntaxError, match="max allowed size of 65535") as caught:
        parse(f"{before}{'x' * 65536}\nE\n".encode())
    location = caught.value.location

    assert location is not None
    assert line == location.start_line


def test_all_blank_escape_is_refused() -> None:
    """An escape directive without a character takes the last blank for one, and refuses it."""
    with pytest.raises(DockerfileSyntaxError, match='invalid escape token " "'):
        parse(b"# escape=  \nFROM a\n")


def parse_or_refuse(data: bytes) -> SyntaxTree | DockerfileSyntaxError:
    try:
        return parse(data)
    except DockerfileSyntaxError as error:
        return error


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_crash_the_parser(data: bytes) -> None:
    """Any bytes are a syntax tree or a syntax error, with places in the file."""
    last = data.count(b"\n") + 1
    result = parse_or_refuse(data)
    if isinstance(result, DockerfileSyntaxError):
        assert result.location is not None
        assert 1 <= result.location.start_line <= last
    else:
        for node in result.nodes:
            assert 1 <= node.location.start_line <= node.location.end_line <= last


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b ", " c", "\\", "d\\", "", "# e", "\\\\", "f \\ "]), min_size=1))
def test_a_joined_line_maps_back_to_its_characters(lines: list[str]) -> None:
    """Each character of a logical line stands in the file where the map says."""
    reader = LineReader("\n".join(lines).encode(), file="Dockerfile")
    while (line := reader.next_line()) is not None:
        for offset, character in enumerate(line.text):
            location = line.locate(offset, offset + 1)
            assert character == lines[location.start_line - 1][location.start_column - 1]
            assert location.end_column == location.start_column + 1
