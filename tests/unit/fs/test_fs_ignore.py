"""The .dockerignore file, compared with what Docker was seen to send."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.core.location import Location
from builder.fs.ignore import IgnoredTree, IgnoreRules, InvalidIgnoreRule
from builder.fs.tree import DirectoryTree, Entry, Tree

FILES = (
    "docs/keep.md docs/a.md docs/sub/b.md src/main.py src/lib/x.py foo bx ax a/foo ab a/xb README.md x.md"
).split()
EMPTY = "docs/empty empty".split()
EVERYTHING = {*FILES, *EMPTY, "docs", "docs/sub", "src", "src/lib", "a"}


def everything_but(text: str) -> str:
    return " ".join(sorted(EVERYTHING - set(text.split())))


# The ignore file, and what `COPY . /x/` leaves out of the tree above (Docker 26.1 with BuildKit).
SEEN = [
    (b"docs\n!docs/keep.md", "docs/a.md docs/empty docs/sub docs/sub/b.md"),
    (b"docs/\n!docs/sub", "docs/a.md docs/empty docs/keep.md"),
    (b"docs/*.md\n!docs", "docs/a.md docs/keep.md"),
    (b"docs\n!docs/nothing", "docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md"),
    (b"**\n!src", everything_but("src src/lib src/lib/x.py src/main.py")),
    (b"*\n!src/lib", everything_but("src src/lib src/lib/x.py")),
    (b"*\n!**/*.py", everything_but("src src/lib src/lib/x.py src/main.py")),
    (b"*\n!src\nsrc/lib", everything_but("src src/main.py")),
    (b"*.md\n!README.md\n", "x.md"),
    (b"foo/", "foo"),
    (b"[!a]x", "ax"),
    (b"./foo", "foo"),
    (b"foo/../bx", "bx"),
    (b"**/", everything_but("")),
    (b"a**b", "ab"),
    (b"**b", "a/xb ab docs/sub docs/sub/b.md src/lib src/lib/x.py"),
    (b"**/foo", "a/foo foo"),
    (b"\xef\xbb\xbffoo\r\nbx  \n #ax\n#bx", "bx foo"),
    (b" # ax\n ax ", "ax"),
    (b".", ""),
    (b"/", ""),
    (b"..", ""),
    (b"../foo", ""),
    (b"/foo", "foo"),
    (b"a/", "a a/foo a/xb"),
    (b"a/*", "a/foo a/xb"),
    (b"a/**", "a/foo a/xb"),
    (b"*/foo", "a/foo"),
    (b"?x", "ax bx"),
    (b"[a-b]x", "ax bx"),
    (b"[^a]x", "bx"),
    (b"docs\n! docs/keep.md", "docs/a.md docs/empty docs/sub docs/sub/b.md"),
    (b"docs\n!docs/sub/", "docs/a.md docs/empty docs/keep.md"),
    (b"docs\n!docs\ndocs/a.md", "docs/a.md"),
    (b"docs/sub\n!docs/*\n", ""),
    (b"docs/**\n!docs/sub", "docs/a.md docs/empty docs/keep.md"),
    (b"docs/**\n!docs/**/b.md", "docs/a.md docs/empty docs/keep.md"),
    (b"d*\n!docs/sub/b.md", "docs/a.md docs/empty docs/keep.md"),
    (b"src/**/x.py", "src/lib/x.py"),
    (b"**/*.md\n!docs/**", "README.md x.md"),
    (b"**\n!docs/*.md", everything_but("docs docs/a.md docs/keep.md")),
    (b"*\n!docs\ndocs\n!docs/a.md", everything_but("docs docs/a.md")),
    (b"!docs\ndocs/a.md\n!docs", "docs/a.md"),
    (b"s?c", "src src/lib src/lib/x.py src/main.py"),
    (b"doc[r-t]/*\n!doc[r-t]/k*", "docs/a.md docs/empty docs/sub docs/sub/b.md"),
    (b"docs/a.md", "docs/a.md"),
    (b"docs/sub/b.md", "docs/sub/b.md"),
    (b"docs/sub", "docs/sub docs/sub/b.md"),
    (b"docs/sub/", "docs/sub docs/sub/b.md"),
    (b"docs/sub/*", "docs/sub/b.md"),
    (b"docs/sub/**", "docs/sub/b.md"),
    (b"*", everything_but("")),
    (b"**", everything_but("")),
    (b"**/*", everything_but("")),
    (b"*/", everything_but("")),
    (
        b"*/*",
        everything_but("README.md a ab ax bx docs empty foo src x.md"),
    ),
    (b"*/*/*", "docs/sub/b.md src/lib/x.py"),
    (b"**/*.md", "README.md docs/a.md docs/keep.md docs/sub/b.md x.md"),
    (b"**/*.py", "src/lib/x.py src/main.py"),
    (b"**/a*", "a a/foo a/xb ab ax docs/a.md"),
    (b"**/sub", "docs/sub docs/sub/b.md"),
    (b"**/sub/**", "docs/sub/b.md"),
    (b"docs/**/b.md", "docs/sub/b.md"),
    (b"docs/**/*.md", "docs/a.md docs/keep.md docs/sub/b.md"),
    (b"**/lib/*", "src/lib/x.py"),
    (b"**/lib/**", "src/lib/x.py"),
    (b"src/*/x.py", "src/lib/x.py"),
    (b"src/**", "src/lib src/lib/x.py src/main.py"),
    (b"src/lib/..", "src src/lib src/lib/x.py src/main.py"),
    (b"src/./lib", "src/lib src/lib/x.py"),
    (b"src//lib", "src/lib src/lib/x.py"),
    (b"./docs/./sub", "docs/sub docs/sub/b.md"),
    (b"/docs/sub", "docs/sub docs/sub/b.md"),
    (b"//foo", "foo"),
    (b"/./foo", "foo"),
    (b"/../foo", "foo"),
    (b"\\*", ""),
    (b"f[o]o", "foo"),
    (b"f[o]*", "foo"),
    (b"[f]oo", "foo"),
    (b"[!f]oo", "foo"),
    (b"[^f]oo", ""),
    (b"[a-z]x", "ax bx"),
    (b"[A-Z]*", "README.md"),
    (b"[A-Z]*.md", "README.md"),
    (b"[R]EADME.md", "README.md"),
    (b"readme.md", ""),
    (b"????", "docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md x.md"),
    (b"???", "foo src src/lib src/lib/x.py src/main.py"),
    (b"*x", "ax bx"),
    (b"x*", "x.md"),
    (b"x.*", "x.md"),
    (b"*.*", "README.md x.md"),
    (b"*.m?", "README.md x.md"),
    (b"*.??", "README.md x.md"),
    (b"d?cs", "docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md"),
    (b"*/sub", "docs/sub docs/sub/b.md"),
    (b"*/sub/*", "docs/sub/b.md"),
    (b"*/*.md", "docs/a.md docs/keep.md"),
    (b"*/*/*.md", "docs/sub/b.md"),
    (b"a*", "a a/foo a/xb ab ax"),
    (b"a*/foo", "a/foo"),
    (b"a/f*", "a/foo"),
    (b"**/a", "a a/foo a/xb"),
    (b"**/a/**", "a/foo a/xb"),
    (b"a/**/foo", "a/foo"),
    (b"**/**/foo", "a/foo foo"),
    (b"**/**", everything_but("")),
    (b"**foo", "a/foo foo"),
    (b"**.md", "README.md docs/a.md docs/keep.md docs/sub/b.md x.md"),
    (b"docs**", "docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md"),
    (b"docs/**/", "docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md"),
    (b"do**md", ""),
    (
        b"*c*",
        "docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md src src/lib src/lib/x.py src/main.py",
    ),
    (b"**/?x", "ax bx"),
    (b"**/x?", "a/xb"),
    (b"**/[ab]x", "ax bx"),
    (b"**/[!ab]*", "a a/foo a/xb ab ax bx docs/a.md docs/sub/b.md"),
    (b"!foo", ""),
    (b"!*", ""),
    (b"!**", ""),
    (b"*\n!foo", everything_but("foo")),
    (b"*\n!docs", everything_but("docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md")),
    (b"*\n!docs/", everything_but("docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md")),
    (b"*\n!docs/*", everything_but("docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md")),
    (b"*\n!docs/**", everything_but("docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md")),
    (b"*\n!docs/*.md", everything_but("docs docs/a.md docs/keep.md")),
    (b"*\n!docs/sub/b.md", everything_but("docs docs/sub docs/sub/b.md")),
    (b"*\n!**/b.md", everything_but("docs docs/sub docs/sub/b.md")),
    (b"*\n!*.md", everything_but("README.md x.md")),
    (b"*\n!**/*.md", everything_but("README.md docs docs/a.md docs/keep.md docs/sub docs/sub/b.md x.md")),
    (b"**\n!**/*.md", everything_but("README.md docs docs/a.md docs/keep.md docs/sub docs/sub/b.md x.md")),
    (b"**\n!*", ""),
    (b"*\n!empty", everything_but("empty")),
    (b"*\n!docs/empty", everything_but("docs docs/empty")),
    (b"docs\n!docs/a.md\n!docs/keep.md", "docs/empty docs/sub docs/sub/b.md"),
    (b"docs\n!docs/a.md\ndocs/a.md", "docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md"),
    (b"docs\n!docs/**", ""),
    (b"docs\n!docs/*", ""),
    (b"docs/*\n!docs/sub", "docs/a.md docs/empty docs/keep.md"),
    (b"docs/*\n!docs/sub/b.md", "docs/a.md docs/empty docs/keep.md"),
    (b"docs/**\n!docs/sub/b.md", "docs/a.md docs/empty docs/keep.md"),
    (b"src\n!src/lib\nsrc/lib/x.py", "src/lib/x.py src/main.py"),
    (b"src\n!src/lib/x.py", "src/main.py"),
    (b"src/lib\n!src", "src/lib src/lib/x.py"),
    (b"src/*\n!src/main.py", "src/lib src/lib/x.py"),
    (b"src/*\n!src/main.py\nsrc", "src src/lib src/lib/x.py src/main.py"),
    (b"!src\nsrc", "src src/lib src/lib/x.py src/main.py"),
    (b"!src/lib\nsrc\n", "src src/lib src/lib/x.py src/main.py"),
    (b"a\n!a/foo", "a/xb"),
    (b"a\n!*/foo", "a/xb"),
    (b"a\n!**/foo", "a/xb"),
    (b"a/foo\n!a", "a/foo"),
    (b"foo\n!foo", ""),
    (b"foo\n!foo\nfoo", "foo"),
    (b"foo\n!/foo", ""),
    (b"foo\n!./foo", ""),
    (b"foo\n! foo", ""),
    (b"foo\n!  foo  ", ""),
    (b"  foo  ", "foo"),
    (b"\tfoo", "foo"),
    (b"foo\t", "foo"),
    (b"#foo", ""),
    (b"\\#foo", ""),
    (b"# foo\nbx", "bx"),
    (b"foo#", ""),
    (b"foo # bx", ""),
    (b"foo\r\nbx", "bx foo"),
    (b"foo bx", ""),
    (b"foo\n\nbx", "bx foo"),
    (b"\n\nfoo", "foo"),
    (b"foo\n#\n!foo", ""),
    (b"docs/keep.md\ndocs/a.md", "docs/a.md docs/keep.md"),
    (b"docs\nsrc\na", everything_but("README.md ab ax bx empty foo x.md")),
    (b"*.md\n*.py", "README.md x.md"),
    (b"*.md\n!x.md\n*.md", "README.md x.md"),
    (b"docs/\n!docs/", ""),
    (b"docs/.\n", "docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md"),
    (b"./", ""),
    (b"./.", ""),
    (b"docs/sub/..", "docs docs/a.md docs/empty docs/keep.md docs/sub docs/sub/b.md"),
    (b"docs/sub/../a.md", "docs/a.md"),
    (b"docs/../src", "src src/lib src/lib/x.py src/main.py"),
    (b"../docs", ""),
    (b"./../docs", ""),
    (b"...", ""),
    (b"**/.", everything_but("")),
    (b"**/..", ""),
    (b"a/xb\n!ab", "a/xb"),
]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("context")
    for name in EMPTY:
        (root / name).mkdir(parents=True)
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    return root


def walk(tree: Tree, directory: str = "") -> list[str]:
    found = []
    for entry in tree.children(directory):
        found.append(entry.path)
        if entry.kind == "dir":
            found.extend(walk(tree, entry.path))
    return found


@pytest.mark.parametrize(("data", "left_out"), SEEN)
def test_docker_leaves_the_same_out(context: Path, data: bytes, left_out: str) -> None:
    """A walk shows what Docker sends, and every path can be looked up if and only if it is shown."""
    tree = IgnoredTree(DirectoryTree(str(context)), IgnoreRules.parse(data, ".dockerignore"))
    shown = walk(tree)

    assert EVERYTHING - set(left_out.split()) == set(shown)
    assert set(shown) == {path for path in EVERYTHING if tree.lookup(path) is not None}


@pytest.mark.parametrize("data", [b"", b"\n\n  \n", b"# all\n#more"])
def test_a_file_without_rules_hides_nothing(context: Path, data: bytes) -> None:
    """Blank lines and comments are no rules."""
    tree = IgnoredTree(DirectoryTree(str(context)), IgnoreRules.parse(data, ".dockerignore"))

    assert set(walk(tree)) == EVERYTHING


@pytest.mark.parametrize(("data", "line"), [(b"a\n!\n", 2), (b"a\n\nb[", 3), (b"#\n! ", 2), (b"x\\", 1)])
def test_a_bad_rule_names_its_line(data: bytes, line: int) -> None:
    """What Docker refuses is refused, with the place."""
    with pytest.raises(InvalidIgnoreRule) as caught:
        IgnoreRules.parse(data, "x.dockerignore")

    assert Location(line, 0, line, 0, "x.dockerignore") == caught.value.location


def test_the_excluding_rule_is_the_last_one_that_applies() -> None:
    """A message can say which line hides a file."""
    rules = IgnoreRules.parse(b"# comment\n*.md\n!README.md\n  docs/ \nREADME.*\n", ".dockerignore")

    found = {path: rules.excluding(path) for path in ("README.md", "x.md", "docs/a/b", "main.c")}
    lines = {path: rule and (rule.line, rule.text, rule.file) for path, rule in found.items()}
    assert lines == {
        "README.md": (5, "README.*", ".dockerignore"),
        "x.md": (2, "*.md", ".dockerignore"),
        "docs/a/b": (4, "docs/", ".dockerignore"),
        "main.c": None,
    }


def test_names_that_are_not_utf8_can_be_ignored(tmp_path: Path) -> None:
    """A rule's bytes meet a name's bytes."""
    (tmp_path / "caf\udce9").write_text("x")
    (tmp_path / "cafe").write_text("x")
    tree = IgnoredTree(DirectoryTree(str(tmp_path)), IgnoreRules.parse(b"caf\xe9", ".dockerignore"))

    assert [entry.path for entry in tree.children("")] == ["cafe"]


class CountingTree:
    """Counts the directories that were listed."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.listed: list[str] = []

    def lookup(self, path: str) -> Entry | None:
        return self.tree.lookup(path)

    def children(self, path: str) -> list[Entry]:
        self.listed.append(path)
        return self.tree.children(path)


def test_a_directory_that_nothing_brings_back_is_not_read(context: Path) -> None:
    """node_modules costs nothing when it is ignored."""
    counting = CountingTree(DirectoryTree(str(context)))
    walk(IgnoredTree(counting, IgnoreRules.parse(b"docs\n!src/lib\n!doc/*\n!docsx\n", ".dockerignore")))

    assert [path for path in counting.listed if path.startswith("docs")] == []


# --- a slow, literal reading of the rules, as an oracle ---


def naive_part(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(naive_part(pattern[1:], name[i:]) for i in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and naive_part(pattern[1:], name[1:])


def naive_match(pattern: list[str], path: list[str]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(path)
        return any(naive_match(pattern[1:], path[i:]) for i in range(len(path) + 1))
    return bool(path) and naive_part(pattern[0], path[0]) and naive_match(pattern[1:], path[1:])


def naive_decision(rules: list[tuple[bool, list[str]]], path: list[str]) -> tuple[bool, list[bool]]:
    """Whether the path is excluded, and which rules apply to it."""
    inherited = naive_decision(rules, path[:-1])[1] if len(path) > 1 else [False] * len(rules)
    excluded = False
    applied = []
    for (is_exception, pattern), from_parent in zip(rules, inherited, strict=True):
        applies = from_parent or (is_exception == excluded and naive_match(pattern, path))
        if applies:
            excluded = not is_exception
        applied.append(applies)
    return excluded, applied


patterns = st.lists(st.sampled_from(["a", "b", "ab", "*", "?", "a*", "*b", "**"]), min_size=1, max_size=3)
paths = st.lists(st.sampled_from(["a", "b", "ab", "ba", "c"]), min_size=1, max_size=4)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), patterns), max_size=5), st.lists(paths, min_size=1, max_size=6))
def test_decisions_are_those_of_the_naive_reading(
    rules: list[tuple[bool, list[str]]], asked: list[list[str]]
) -> None:
    """Neither the joined expressions nor what is remembered of directories changes an answer."""
    text = "\n".join(("!" if is_exception else "") + "/".join(pattern) for is_exception, pattern in rules)
    ignore = IgnoreRules.parse(text.encode(), ".dockerignore")

    for path in asked:
        excluded = naive_decision(rules, path)[0]
        assert excluded == (ignore.excluding("/".join(path)) is not None)
        parent = "/".join(path[:-1])
        assert excluded == (ignore.excluding_child("/".join(path), parent) is not None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), patterns), min_size=1, max_size=5), paths, paths)
def test_pruning_never_loses_a_file(
    rules: list[tuple[bool, list[str]]], directory: list[str], below: list[str]
) -> None:
    """A path that is re-included below an excluded directory can be reached."""
    text = "\n".join(("!" if is_exception else "") + "/".join(pattern) for is_exception, pattern in rules)
    ignore = IgnoreRules.parse(text.encode(), ".dockerignore")
    above, path = "/".join(directory), "/".join([*directory, *below])

    lost = ignore.excluding(above) is not None and ignore.excluding(path) is None
    assert not lost or ignore.may_include_below(above)
