"""Docker's own parser, as the ``dockerfile`` package has it, finds in any text what ours finds.

Where the two are meant to differ (the package has the parser of BuildKit 0.12):
the ``check`` directive is newer; ``#``, ``%`` and ``/`` in the ``${}`` of a line with a heredoc are
newer; blanks in such a ``${}`` end a word there by accident; in flags it takes bytes for characters, so
that the bytes 85 and A0 of a longer character are blanks to it.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from builder.frontend.dockerfile.parser import parse
from builder.frontend.dockerfile.syntax_error import DockerfileSyntaxError
from builder.frontend.dockerfile.syntax_json import to_json
from tests.support.dockerfile_texts import MARKS, marks, raw_texts

# The wheel is published for x86-64 only.
dockerfile = pytest.importorskip("dockerfile")

TESTDATA = Path(__file__).parents[2] / "testdata"
REFUSED = "refused"

Commands: TypeAlias = list[dict[str, Any]] | str


def theirs(text: str) -> Commands:
    try:
        commands = dockerfile.parse_string(text)
    except dockerfile.GoParseError:
        return REFUSED
    return [
        {
            "cmd": command.cmd,
            "sub_cmd": command.sub_cmd,
            "json": command.json,
            "original": command.original,
            "start_line": command.start_line,
            "end_line": command.end_line,
            "flags": list(command.flags),
            "value": list(command.value),
            "heredocs": [
                {"name": doc.name, "file_descriptor": doc.file_descriptor, "content": doc.content}
                for doc in command.heredocs
            ],
        }
        for command in commands
    ]


def ours(text: str) -> Commands:
    try:
        tree = parse(text.encode())
    except DockerfileSyntaxError:
        return REFUSED
    return [dict(command) for command in to_json(tree)]


def files() -> list[Path]:
    """Every Dockerfile of the test data that is a text, which is what the package takes."""
    names = ("Dockerfile", "Dockerfile.*", "*.Dockerfile", "*.dockerfile")
    found = {path for name in names for path in TESTDATA.rglob(name) if path.is_file()}
    return sorted(path for path in found if not path.name.endswith(".dockerignore") and is_text(path))


def is_text(path: Path) -> bool:
    data = path.read_bytes()
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in data


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(TESTDATA)))
def test_same_as_docker_on_every_test_file(path: Path) -> None:
    """The instructions of a file are those that Docker's parser finds."""
    text = path.read_bytes().decode()

    assert theirs(text) == ours(text)


KEYWORDS = [
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER",
    "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR", "ONBUILD RUN", "ONBUILD ENV",
    "ONBUILD COPY", "ONBUILD ONBUILD RUN", "HEALTHCHECK CMD", "run", "Env", "FOO", "",
]  # fmt: skip
PIECES = [
    *"\\\\``'\"\"==$#<> \t\t,[]{}:-+?/abE019",
    "\v", "\f", "\r", "\x1c", "\u2003", "\u3000", "é", "😀",
    "<<E", "<<-E", "<<'E'", '<<"A"', "3<<B", "<<$E", "<<\\E", "${", "${x}", "${x:-", "$x", '"${x:-"y"}"',
    '["a"', '"]', '["a","b"]', "[1]", '"a"', '\\u00e9"', "\\\n", "`\n", " \\\n", " `\n", "\\ \t\n", "\\\\\n",
    "\n", "\r\n", "# c\n", "\n#c\n", "\nE\n", "\nA\n", "\n\tE\n", "\nB\n", "a=b", "k=", "=v", "x='a b'",
]  # fmt: skip
FLAGS = ["--x", "--x=y", "--x='a b'", '--x="a b"', "--", "--x=a\\ b", "--x='a\\'", "-x"]
DIRECTIVES = [
    "# escape=`\n", "#escape = `\r\n", " # Escape=\\\n", "# syntax=a/b\n# escape=`\n", "# escape=x\n",
    "\n# escape=`\n", "# foo=x\n# escape=`\n", "\ufeff# escape=`\n", "# escape=`\n# escape=`\n",
]  # fmt: skip
ODD_PARAMETER = re.compile(r"\$\{[^}]*[\s#%/]")

words = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)
heredocs = st.builds(
    lambda token, body, indent, name: f" {token}\n{body}{indent}{name}\n",
    st.sampled_from(["<<E", "<<-E", "1<<'E'", '<<"E F"', "<<E\\ F", "<<$E", "<<${E:-F}", "x<<E", "<<E<F"]),
    st.sampled_from(["", "x\n", "# c\n", "\tE x\n", "a \\\n", "E\n"]),
    st.sampled_from(["", "", "\t", " "]),
    st.sampled_from(["E", "E F", "$E", "${E:-F}"]),
)
instructions = st.builds(
    lambda keyword, flags, arguments, end: " ".join([keyword, *flags, *arguments]) + end,
    st.sampled_from(KEYWORDS),
    st.lists(st.sampled_from(FLAGS), max_size=2),
    st.lists(words, max_size=4),
    st.one_of(st.sampled_from(["\n", "\n", "\r\n", "\n\n", "\\\n", "\nE\n", ""]), heredocs),
)
dockerfiles = st.builds(
    lambda directive, lines: directive + "".join(lines),
    st.sampled_from(["", "", *DIRECTIVES]),
    st.lists(instructions, min_size=1, max_size=3),
).map(lambda text: text.replace("${", "$") if "<<" in text and ODD_PARAMETER.search(text) else text)


@settings(max_examples=400, deadline=None)
@example("ENV ['=k=")
@example('env  "y="a b" [1]a=}=v\tE')
@example("LABEL \u2003--x= \u3000 E")
@example('HEALTHCHECK A \u2003 ["a"]')
@example("HEALTHCHECK A\u2003\tB")
@example("RUN <<E\\\u00a0\nE\nE\n")
@example("\\\n\t--x=y\n")
@given(dockerfiles)
def test_same_as_docker_on_made_up_text(text: str) -> None:
    """However odd the text, both parsers find the same instructions or both refuse it."""
    assert theirs(text) == ours(text)


EXAMPLES = 2000
KINDS = (
    "refusal", "array", "flag", "trigger", "heredoc", "two heredocs", "heredoc below ONBUILD",
    "several lines",
    "unterminated heredoc", "backtick directive",
)  # fmt: skip


def kinds(text: str, commands: Commands) -> list[str]:
    """Which of KINDS the Go parser found."""
    if isinstance(commands, str):
        return ["refusal", *["unterminated heredoc"] * ("<<" in text)]
    found = {
        "array": any(command["json"] for command in commands),
        "flag": any(command["flags"] for command in commands),
        "trigger": any(command["sub_cmd"] for command in commands),
        "heredoc": any(command["heredocs"] for command in commands),
        "two heredocs": any(len(command["heredocs"]) > 1 for command in commands),
        "heredoc below ONBUILD": any(
            command["sub_cmd"] and command["end_line"] > command["start_line"] and "<<" in command["original"]
            for command in commands
        ),
        "several lines": any(command["end_line"] > command["start_line"] for command in commands),
        "backtick directive": parse(text.encode()).escape == "`",
    }
    return [kind for kind, is_found in found.items() if is_found]


def comparable(text: str) -> str:
    """The text without what the two are meant to read differently."""
    if "<<" in text and ODD_PARAMETER.search(text):
        text = text.replace("${", "$")
    return text


def test_same_as_docker_on_raw_text() -> None:
    """Text that no list of instructions would give: both find the same, and every corner is reached often."""
    reached: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(raw_texts.map(comparable))
    def compare(text: str) -> None:
        found = theirs(text)
        for feature in (*marks(text), *kinds(text, found)):
            reached[feature] += 1
            event(feature)
        assert found == ours(text)

    compare()
    rare = {feature: reached[feature] for feature in (*MARKS, *KINDS) if reached[feature] < EXAMPLES // 100}

    assert not rare
