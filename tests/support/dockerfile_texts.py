"""Texts that look like Dockerfiles to a reader in a hurry, and which corners of the language they reach.

They are made of raw text: pieces of lines, in any order, that are then edited as a careless hand would.
"""

from __future__ import annotations

import re

from hypothesis import strategies as st

KEYWORDS = [
    "RUN", "run", "RuN", "COPY", "copy", "ADD", "Add", "ENV", "env", "LABEL", "ARG", "arg", "CMD",
    "ENTRYPOINT", "SHELL", "VOLUME", "HEALTHCHECK", "healthcheck", "FROM", "from", "EXPOSE", "USER",
    "WORKDIR",
    "STOPSIGNAL", "MAINTAINER", "ONBUILD", "onbuild", "ONBUILD RUN", "ONBUILD COPY", "OnBuild Add",
    "ONBUILD ENV",
    "ONBUILD CMD", "ONBUILD ONBUILD", "ONBUILD HEALTHCHECK CMD", "HEALTHCHECK NONE", "RUNX", "Röhre", "#RUN",
    "",
]  # fmt: skip
CONTINUATIONS = [
    "\\\n",
    " \\\n",
    "\\ \t\n",
    "`\n",
    "` \n",
    "\\\\\n",
    "\\\\\\\n",
    "\\\r\n",
    "``\n",
    "\\\v\n",
    "\\\f\n",
]
BETWEEN = [
    "# c\n",
    "  # c \\\n",
    "\t#c\r\n",
    "#\n",
    "\n",
    "   \n",
    "\t\r\n",
    "\v\n",
    "# escape=`\n",
    "x \\\n",
    "y\n",
]
GAPS = [" ", " ", " ", "  ", "\t", "\v", "\f", "\r", " \t ", "\u3000", "\u2003", "\x1c", ""]
TOKENS = [
    "<<E", "<<-E", "<<'E'", '<<"E"', "<<E\\ F", "3<<E", "<<-'E'", "<< E", "<<<E", "<<", "<<-", "x<<E",
    '"<<E"',
    "'<<E'", "<<$E", "<<${E:-F}", "<<E<<F", "<<E <<F", "<<-E <<F", "<<\\E", "<<E'F'", "<<\"E",
    "99999999999999999999<<E",
    "<<é", "<<E;", "<<E>f",
]  # fmt: skip
BODIES = [
    "E\n",
    "F\n",
    "\tE\n",
    " E\n",
    "E \n",
    "E\r\n",
    "$E\n",
    "E F\n",
    "EF\n",
    "é\n",
    "F",
    "E",
    "a\n",
    "# c\n",
    "\tb\n",
    "c \\\n",
]
ARRAYS = [
    '["a"]', '["a", "b c"]', "[]", "[ ]", '["a",]', '["a" "b"]', "['a']", '["a"] x', '["a\\n"]', '["\\x"]',
    '["\\u00e9"]',
    '["\\ud800"]', "[1]", "[null]", '[["a"]]', '["a", 1]', '{"a": "b"}', '"a"', '["a"', '["a\tb"]',
    '[\t"a"\r]', '["é😀"]',
    '[""]', '["a"]]', '["a\\\nb"]', '["a", \\\n"b"]', '[NaN]', '[1e999]', '[-0]', '["\\/"]', '[\v"a"]',
    '[true,"x"]',
]  # fmt: skip
QUOTED = [
    "'a b'", '"a b"', "'a", '"a', "a'b c'd", '"a\\"b"', "'a\\'b'", '"a`"b"', "\\'", '\\"', "`'", "k='a b'",
    'k="a=b"',
    "k='a", '"k=v', "'k =v'", "k\\ =v", "k=v\\ w", "k=", "=v", "k", "k==", 'a"b"=c', "a\\", "a`", "é=ü",
    "k=v",
]  # fmt: skip
FLAGS = [
    "--x", "--x=y", "--x='a b'", '--x="a b"', "--", "--x=a\\ b", "--x='a\\'", "-x", "--=", "--x=\\", "---",
    "--X='a\"b'",
    "--x=y--z", "--'x'", '--""',
]  # fmt: skip
DIRECTIVES = [
    "# escape=`\n", "#escape=`\n", "#escape = ` \r\n", "# ESCAPE=\\\n", " # escape=`\n",
    "\t#\tescape\t=\t`\n",
    "# syntax=a/b:1\n", "# syntax=a\n# escape=`\n", "# escape=x\n", "# escape=\n", "# escape= \n",
    "\n# escape=`\n",
    "# foo=bar\n# escape=`\n", "# escape=`\n# escape=\\\n", "# escape:`\n", "## escape=`\n", "# e scape=`\n",
    "# c\n# escape=`\n",
    "// escape=`\n", "#escape=``\n", "# 1escape=`\n", "# éscape=`\n", "#\vescape=`\n", "# escape=`\v\n",
    "#!/bin/x\n#escape=`\n",
]  # fmt: skip
PLAIN = [
    "a", "b.c", "/d", "x:y", "$v", "${v}", "${v:-w}", "#", "a#b", "é", "日本", "😀", "\ufeff", "\\", "`",
    "a\\b", "a`b", "$", "${", "}", "0", ".", "*", ",", "\x01", "\x1f", "\x7f", "K", "ſ",
]  # fmt: skip
EDITS = [*"\\`'\"#<>=-[]{}$, \t\v\f\r\n", "\\\n", "\r\n", "\n\n", "<<E", "\ufeff", "é", "\n#c\n", "--"]


def _lines(arguments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A keyword, and pieces of lines with gaps that may be continuations with anything between."""
    continuation = st.builds(
        lambda line_end, between: line_end + "".join(between),
        st.sampled_from(CONTINUATIONS), st.lists(st.sampled_from(BETWEEN), max_size=3),
    )  # fmt: skip
    gaps = st.one_of(*[st.sampled_from(GAPS)] * 3, continuation)
    return st.builds(
        lambda margin, keyword, pairs, end: margin + keyword + "".join(map("".join, pairs)) + end,
        st.sampled_from(["", "", "", " ", "\t", "\v", "\f"]),
        st.sampled_from(KEYWORDS),
        st.lists(st.tuples(gaps, arguments), max_size=4),
        st.sampled_from(["\n", "\n", "\n", "\r\n", "\r\r\n", " \n", "\\\n", "\n\n", "\u3000\n", ""]),
    )


_mixed = st.one_of(
    *(st.sampled_from(pieces) for pieces in (PLAIN, PLAIN, QUOTED, QUOTED, ARRAYS, FLAGS, FLAGS)),
    st.lists(st.sampled_from([*PLAIN, *QUOTED]), min_size=2, max_size=3).map("".join),
)
_with_heredocs = st.builds(
    lambda line, bodies: line + "".join(bodies),
    _lines(st.one_of(st.sampled_from(TOKENS), st.sampled_from(TOKENS), _mixed)),
    st.lists(st.sampled_from(BODIES), max_size=6),
)
_ends = st.sampled_from(["\n", "\n", "\n", "\r\n", " \n"])
_terminated = st.builds(
    lambda line, tokens, end, bodies: (
        line + " ".join(tokens) + end + "".join(bodies) + "E\nF\n" * len(tokens)
    ),
    st.sampled_from(
        ["RUN ", "COPY ", "ADD ", "run\t", "ONBUILD RUN ", "OnBuild COPY ", "RUN a \\\n", "COPY --x=y "]
    ),
    st.lists(st.sampled_from(TOKENS), min_size=1, max_size=3),
    _ends,
    st.lists(st.sampled_from(BODIES), max_size=3),
)
_arrays = st.builds(
    lambda line, array, end: line + array + end,
    st.sampled_from([
        "RUN ", "CMD ", "ENTRYPOINT\t", "SHELL ", "COPY ", "ADD --x ", "VOLUME ", "HEALTHCHECK CMD ",
        "ONBUILD RUN ",
        "run \\\n", "ENV ", "CMD",
    ]),
    st.sampled_from(ARRAYS),
    _ends,
)  # fmt: skip
_noise = st.text(
    alphabet=st.sampled_from([*"RUN env\\\\``\"'<<E-=[],#$ \t\n\n\n\r\v\féœ\u3000"]), max_size=30
)
_lumps = st.one_of(
    _lines(_mixed), _lines(_mixed), _with_heredocs, _terminated, _terminated, _arrays,
    st.sampled_from([*BETWEEN, *DIRECTIVES]), _noise,
)  # fmt: skip


def _edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    for at, length, replacement in edits:
        at %= len(text) + 1
        text = text[:at] + replacement + text[at + length :]
    return text


_edits = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([0, 0, 1, 1, 2, 5]), st.sampled_from(["", *EDITS])),
    max_size=3,
)
_whole_changes = st.sampled_from([
    ("", ""), ("", ""), ("", ""), ("", ""), ("\n", "\r\n"), ("\\", "`"), (" ", "\t"), ("E", "é"),
    ("\n", "\n\n"),
])  # fmt: skip

raw_texts = st.builds(
    lambda mark, top, lumps, change, edits: _edited(
        mark + top + ("".join(lumps).replace(*change) if change[0] else "".join(lumps)), edits
    ),
    st.sampled_from(["", "", "", "", "\ufeff", "\ufeff\ufeff"]),
    st.one_of(st.just(""), st.just(""), st.sampled_from(DIRECTIVES)),
    st.lists(_lumps, min_size=1, max_size=5),
    _whole_changes,
    st.one_of(st.just([]), st.just([]), _edits),
)


# What a text must hold, or what must be found in it, to count as a case of a feature.
MARKS = {
    "continuation": r"[^\\\n]\\[ \t]*\n",
    "comment between continuations": r"[^\\\n]\\[ \t]*\r?\n\s*#",
    "empty line between continuations": r"[^\\\n]\\[ \t]*\r?\n[ \t\v]*\r?\n",
    "comment with a continuation": r"(?m)^\s*#.*\\$",
    "doubled escape character at a line's end": r"\\\\\n",
    "continuation at the end": r"\\\s*\Z",
    "backtick at a line's end": r"`[ \t]*\n",
    "carriage return and line feed": r"\r\n",
    "lone carriage return": r"\r[^\n]",
    "byte order mark": "\\A\ufeff",
    "byte order mark elsewhere": "(?s).\ufeff",
    "tab": r"\t",
    "vertical tab or form feed": r"[\v\f]",
    "blank that is not ASCII": "[\u3000\u2003]",
    "not ASCII": r"[^\x00-\x7f]",
    "control character": r"[\x01-\x08\x0e-\x1f\x7f]",
    "mixed case": r"(?m)^\s*(?:RuN|Add|OnBuild)\b",
    "directive lookalike": r"\A(?:\ufeff)?(?:#\S* ?\w+[^=\w]|##|//|#!|# foo|# 1|# e |\n)",
    "quote": r"['\"]",
    "odd number of quotes in a line": r"(?m)^[^\"\n]*\"[^\"\n]*$",
    "array lookalike": r"\[(?:'|1|null|NaN|\[|\"a\",\]|\"a\" )",
    "escape in an array": r'\["\\',
    "several heredocs in a line": r"<<\S+.*<<",
    "heredoc that loses its tabs": r"<<-",
    "quoted heredoc": r"<<-?['\"]",
    "heredoc lookalike": r"<<<|[\"']<<|<<\s|x<<",
}


def marks(text: str) -> list[str]:
    """The features that the text itself shows."""
    return [name for name, pattern in MARKS.items() if re.search(pattern, text)]
