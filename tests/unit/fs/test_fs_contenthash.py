"""Selecting what a COPY names, and its digest."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from builder.core.digest import Digest
from builder.fs import contenthash
from builder.fs.contenthash import ContentRecord, UnreadableSource, content_digest
from builder.fs.ignore import IgnoredTree, IgnoreRules
from builder.fs.patterns import compile_match, has_wildcards
from builder.fs.select import CopySourceMissing, select
from builder.fs.statcache import StatCache
from builder.fs.tree import DirectoryTree, Entry, StackedTree, TooManySymlinks, Tree

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small tree beside a file that no source may reach."""
    (tmp_path / "outside").write_text("secret")
    root = tmp_path / "root"
    (root / "d" / "sub").mkdir(parents=True)
    (root / "d2" / "sub").mkdir(parents=True)
    for name in ("f", "f2", "d/a", "d/b.md", "d/sub/c", "d2/sub/e", "a[b"):
        (root / name).write_text(name)
    (root / "to-f").symlink_to("f")
    (root / "to-d").symlink_to("/d")
    (root / "d" / "up").symlink_to("../../../../f")
    return root


def found(root: Path, source: str, *, allows_wildcards: bool = True) -> list[tuple[str, str]]:
    matches = select(DirectoryTree(str(root)), source, allows_wildcards=allows_wildcards)
    return [(match.name, match.entry.path) for match in matches]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("f", [("f", "f")]),
        ("/f", [("f", "f")]),
        ("../../f", [("f", "f")]),
        ("d/../../f/", [("f", "f")]),
        ("./d/./a", [("a", "d/a")]),
        ("/", [("", "")]),
        (".", [("", "")]),
        ("d/", [("d", "d")]),
        ("d/.", [("d", "d")]),
        ("to-f", [("to-f", "f")]),
        ("to-d", [("to-d", "d")]),
        ("to-d/a", [("a", "d/a")]),
        ("d/up", [("up", "f")]),
        ("f*", [("f", "f"), ("f2", "f2")]),
        ("to-?", [("to-d", "d"), ("to-f", "f")]),
        ("to-d/*.md", [("b.md", "d/b.md")]),
        ("d*/sub", [("sub", "d/sub"), ("sub", "d2/sub")]),
        ("*/sub/*", [("c", "d/sub/c"), ("e", "d2/sub/e")]),
        ("to*/a", []),  # links are followed before a wildcard and after it, not within it
        ("f/*", []),
        ("nothing*", []),
        ("[d]/[^b]", [("a", "d/a")]),
        ("a[[]b", [("a[b", "a[b")]),
        ("a\\[*", [("a[b", "a[b")]),
    ],
)
def test_sources_are_found_as_docker_finds_them(
    root: Path, source: str, expected: list[tuple[str, str]]
) -> None:
    """Clamped to the root, links followed within it, wildcards name by name and in order."""
    assert expected == found(root, source)


def test_without_wildcards_a_bracket_is_a_bracket(root: Path) -> None:
    """A source that allows no wildcards is taken literally."""
    assert found(root, "a[b", allows_wildcards=False) == [("a[b", "a[b")]


@pytest.mark.parametrize(
    "target", ["/etc/hostname", "../outside", "../../../../../../../outside", "/../outside"]
)
def test_a_link_out_of_the_tree_stays_inside(root: Path, target: str) -> None:
    """A hostile link reaches nothing beyond the root, alone, as a parent or found by a wildcard."""
    (root / "evil").symlink_to(target)
    (root / "evil-parent").symlink_to(os.path.dirname(target) or "/")
    sources = ["evil", "ev*l", f"evil-parent/{os.path.basename(target)}"]

    for source in sources:
        with pytest.raises(CopySourceMissing):
            found(root, source)


def test_a_link_to_itself_ends(root: Path) -> None:
    """A loop of links is an error like the kernel's."""
    (root / "loop").symlink_to("loop")

    with pytest.raises(TooManySymlinks):
        found(root, "loop/x")


def missing(tree: Tree, source: str, place: str = "the build context") -> tuple[str, str | None]:
    with pytest.raises(CopySourceMissing) as caught:
        select(tree, source, place=place)
    return caught.value.message, caught.value.hint


def test_a_missing_source_says_what_was_meant(root: Path) -> None:
    """The hint names the closest path, at whatever depth the mistake is."""
    tree = DirectoryTree(str(root))

    assert missing(tree, "/d/bb.md", 'stage "build"') == (
        'COPY source "/d/bb.md" is not in stage "build"',
        'did you mean "d/b.md"?',
    )
    assert missing(tree, "d2/sup/e")[1] == 'did you mean "d2/sub/e"?'
    assert missing(tree, "zzzzzz")[1] is None
    (root / "d" / "dangling").symlink_to("/nowhere")
    assert missing(tree, "to-d/dangling")[1] == 'it leads to "nowhere" through a symbolic link'
    assert missing(tree, "d/dang*")[1] == 'it leads to "nowhere" through a symbolic link'


def test_a_missing_source_says_which_rule_hides_it(root: Path) -> None:
    """An ignored source is told apart from a missing one."""
    rules = IgnoreRules.parse(b"# no docs\n*/*.md\n", ".dockerignore")
    tree = IgnoredTree(DirectoryTree(str(root)), rules)

    assert missing(tree, "d/b.md")[1] == 'it is excluded by "*/*.md", line 2 of .dockerignore'
    assert missing(tree, "to-d/b.md")[1] == 'it is excluded by "*/*.md", line 2 of .dockerignore'


names = st.sampled_from(["a", "b", "ab", "a.b", "[", "*"])
wildcards = st.sampled_from(["a", "*", "?", "a*", "[ab]*", "\\*", "*.b"])
shapes = st.dictionaries(names, st.none() | st.dictionaries(names, st.none(), max_size=4), max_size=5)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shapes, st.lists(st.sampled_from(["a", "*", "?", "a*", "[ab]*", "\\*", "*.b"]), min_size=1, max_size=2)
)
def test_wildcards_find_what_matches_name_by_name(
    tmp_path_factory: pytest.TempPathFactory, shape: dict[str, dict[str, None] | None], parts: list[str]
) -> None:
    """select agrees with trying the pattern on every path there is."""
    assume(has_wildcards(parts[0]) or (has_wildcards(parts[-1]) and "\\" not in parts[0]))
    root = tmp_path_factory.mktemp("select")
    everything = []
    for name, below in shape.items():
        everything.append(name)
        if below is None:
            (root / name).write_text("")
            continue
        (root / name).mkdir()
        for inner in below:
            everything.append(f"{name}/{inner}")
            (root / name / inner).write_text("")
    matcher = compile_match("/".join(parts))
    expected = sorted(path for path in everything if matcher.fullmatch(path))

    matches = select(DirectoryTree(str(root)), "/".join(parts))
    assert expected == sorted(match.entry.path for match in matches)
    names_in_order = [match.entry.path.split("/") for match in matches]
    assert names_in_order == sorted(names_in_order)


# --- digests ---


def digest(root: Path, *sources: str, keeps_owner: bool = False) -> Digest:
    return content_digest(DirectoryTree(str(root)), sources, keeps_owner=keeps_owner)


def record_of(kind: str, mode: str, size: int, rest: bytes, link: bytes = b"") -> bytes:
    facts = f"{kind} {mode} 0 0 {size} 0:0".encode()
    return sha256(b"\0".join([b"pybuild-content-1", facts, link, b"", rest])).digest()


def test_the_digest_is_what_the_format_says(root: Path) -> None:
    """The format is stable; a change here makes every cache cold."""
    os.chmod(root / "d2" / "sub" / "e", 0o4600)
    os.chmod(root / "d2" / "sub", 0o755)
    (root / "d2" / "sub" / "link").symlink_to("e")

    file = record_of("file", "4600", 8, sha256(b"d2/sub/e").digest())
    link = record_of("symlink", "777", 0, b"", b"e")
    directory = record_of("dir", "755", 0, sha256(b"1:e" + file + b"4:link" + link).digest())
    assert digest(root, "d2/sub/e").hex == file.hex()
    assert digest(root, "d2/sub").hex == directory.hex()
    assert digest(root, "d2/*").hex == sha256(b"pybuild-content-1 list\x003:sub" + directory).hexdigest()
    assert digest(root, "nothing*").hex == sha256(b"pybuild-content-1 list\0").hexdigest()


Change = Callable[[Path], object]

MISSES: dict[str, list[Change]] = {
    "bytes": [lambda root: (root / "d" / "a").write_text("b")],
    "mode": [lambda root: os.chmod(root / "d" / "a", 0o755)],
    "setuid": [lambda root: os.chmod(root / "d" / "a", 0o4644)],
    "directory mode": [lambda root: os.chmod(root / "d" / "sub", 0o700)],
    "new file": [lambda root: (root / "d" / "new").write_text("")],
    "new directory": [lambda root: (root / "d" / "new").mkdir()],
    "removed": [lambda root: os.unlink(root / "d" / "sub" / "c")],
    "renamed": [lambda root: os.rename(root / "d" / "a", root / "d" / "z")],
    "moved down": [lambda root: os.rename(root / "d" / "a", root / "d" / "sub" / "a")],
    "link target": [
        lambda root: os.unlink(root / "d" / "up"),
        lambda root: os.symlink("f2", root / "d" / "up"),
    ],
    "link for file": [
        lambda root: os.unlink(root / "d" / "a"),
        lambda root: os.symlink("b.md", root / "d" / "a"),
    ],
    "capability": [lambda root: os.setxattr(root / "d" / "a", "security.capability", CAPABILITY)],
    "fifo": [lambda root: os.unlink(root / "d" / "a"), lambda root: os.mkfifo(root / "d" / "a")],
}


@pytest.mark.parametrize("name", MISSES)
def test_what_a_copy_shows_changes_the_digest(root: Path, name: str) -> None:
    """Bytes, names below, modes, links, capabilities and kinds are content."""
    before = digest(root, "d"), digest(root, "d*"), digest(root, ".")
    for change in MISSES[name]:
        change(root)
    after = digest(root, "d"), digest(root, "d*"), digest(root, ".")

    assert all(old != new for old, new in zip(before, after, strict=True))


def same_mode(root: Path, path: str) -> None:
    os.chmod(root / path, stat.S_IMODE(os.stat(root / "d" / "a").st_mode))


HITS: dict[str, list[Change]] = {
    "mtime": [lambda root: os.utime(root / "d" / "a", (1, 1))],
    "directory mtime": [lambda root: os.utime(root / "d" / "sub", (1, 1))],
    "owner": [lambda root: os.chown(root / "d" / "a", 5, 6)],
    "inode": [
        lambda root: (root / "d" / "n").write_text("d/a"),
        lambda root: same_mode(root, "d/n"),
        lambda root: os.rename(root / "d" / "n", root / "d" / "a"),
    ],
    "hard link elsewhere": [lambda root: os.link(root / "d" / "a", root / "elsewhere")],
    "hard link for equal file": [
        lambda root: (root / "elsewhere").write_text("d/a"),
        lambda root: same_mode(root, "elsewhere"),
        lambda root: os.unlink(root / "d" / "a"),
        lambda root: os.link(root / "elsewhere", root / "d" / "a"),
    ],
    "user xattr": [lambda root: os.setxattr(root / "d" / "a", "user.note", b"x")],
    "a file beside": [lambda root: (root / "f").write_text("changed")],
    "target of an inner link": [lambda root: (root / "f").unlink()],
}


@pytest.mark.parametrize("name", HITS)
def test_what_a_copy_does_not_show_keeps_the_digest(root: Path, name: str) -> None:
    """Times, inodes, links' targets, owners in a context and files beside are not content."""
    before = digest(root, "d")
    for change in HITS[name]:
        change(root)

    assert before == digest(root, "d")


def test_owners_count_where_they_are_copied(root: Path) -> None:
    """A copy from a stage keeps owners, so its digest has them."""
    before = digest(root, "d", keeps_owner=True)
    os.chown(root / "d" / "sub" / "c", 5, 0)

    assert before != digest(root, "d", keeps_owner=True)


def test_the_name_of_the_source_is_not_its_content(root: Path) -> None:
    """A renamed file or directory has its old digest; found by a wildcard it has not."""
    literal, wildcard = digest(root, "f"), digest(root, "[f]")
    os.rename(root / "f", root / "g")

    assert literal == digest(root, "g")
    assert wildcard != digest(root, "[g]")


def test_the_mode_of_the_root_is_no_content(root: Path) -> None:
    """Nobody copies the root itself, so a clone under another umask is the same."""
    os.chmod(root, 0o755)
    before = digest(root, ".")
    os.chmod(root, 0o700)

    assert before == digest(root, "/")


def test_a_socket_is_an_empty_file(root: Path) -> None:
    """Which it is copied as."""
    (root / "empty").write_text("")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(root / "sock"))
    listener.close()
    for name in ("empty", "sock"):
        os.chmod(root / name, 0o640)

    assert digest(root, "empty") == digest(root, "sock")


def test_devices_differ_by_number(root: Path) -> None:
    """/dev/null is not /dev/zero."""
    os.mknod(root / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(root / "zero", stat.S_IFCHR | 0o600, os.makedev(1, 5))

    assert digest(root, "null") != digest(root, "zero")


def test_several_sources_are_a_list(root: Path) -> None:
    """Their order and their borders count."""
    digests = {digest(root, "f", "f2"), digest(root, "f2", "f"), digest(root, "f?", "f"), digest(root, "f*")}

    assert len(digests) == 4


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 7])
def test_files_of_all_sizes_are_read_whole(tmp_path: Path, size: int) -> None:
    """The last byte counts, on both sides of the buffer's size."""
    (tmp_path / "one").write_bytes(b"a" * size)
    (tmp_path / "two").write_bytes(b"a" * size)
    (tmp_path / "three").write_bytes(b"a" * max(size - 1, 0) + b"b")

    assert digest(tmp_path, "one") == digest(tmp_path, "two")
    assert digest(tmp_path, "one") != digest(tmp_path, "three")


def test_a_merged_tree_has_the_digest_of_the_plain_one(root: Path, tmp_path: Path) -> None:
    """Overlay lowers with a whiteout hash like the directory they show."""
    upper = tmp_path / "upper"
    (upper / "d").mkdir(parents=True)
    (upper / "d" / "new").write_text("x")
    os.mknod(upper / "d" / "a", stat.S_IFCHR, 0)
    merged = content_digest(StackedTree([str(upper), str(root)]), ["d"])
    (root / "d" / "new").write_text("x")
    (root / "d" / "a").unlink()

    assert digest(root, "d") == merged


def test_ignored_files_are_no_content(root: Path) -> None:
    """A change that .dockerignore hides keeps the digest."""
    tree = IgnoredTree(DirectoryTree(str(root)), IgnoreRules.parse(b"**/*.md", ".dockerignore"))
    before = content_digest(tree, ["."])
    (root / "d" / "b.md").write_text("changed")
    (root / "x.md").write_text("new")

    assert before == content_digest(tree, ["."])


def test_a_cache_saves_reading(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time no file is opened; a changed one is."""
    for path in root.rglob("*"):
        os.utime(path, ns=(1, 1), follow_symlinks=False)
    monkeypatch.setattr("builder.fs.statcache._MARGIN_NS", -(10**18))  # as if all this was long ago
    cold = digest(root, ".")
    opened: list[str] = []
    real = contenthash._hash_file

    def counting(entry: Entry) -> tuple[bytes, Entry]:
        opened.append(entry.path)
        return real(entry)

    monkeypatch.setattr(contenthash, "_hash_file", counting)
    digests = []
    for _ in range(2):
        with StatCache.open(str(tmp_path / "cache")) as cache:
            digests.append(content_digest(DirectoryTree(str(root)), ["."], cache=cache))
    first = len(opened)
    (root / "f2").write_text("longer than before")
    with StatCache.open(str(tmp_path / "cache")) as cache:
        content_digest(DirectoryTree(str(root)), ["."], cache=cache)

    assert digests == [cold, cold]
    assert first == 7
    assert opened[first:] == ["f2"]


def test_a_file_that_changes_while_it_is_read_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest is that of the file which held still."""
    real = contenthash._hash_bytes
    calls = []

    def slow(fd: int, size: int) -> bytes:
        result = real(fd, size)
        calls.append(size)
        if len(calls) == 1:
            (root / "f").write_text("changed meanwhile")
        return result

    monkeypatch.setattr(contenthash, "_hash_bytes", slow)
    record: ContentRecord = {}
    racing = content_digest(DirectoryTree(str(root)), ["f"], record=record)

    assert calls == [1, 17]
    assert racing == digest(root, "f")
    assert record["f"].size == 17


def test_a_file_that_vanishes_is_left_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary file that went away between listing and reading was never there."""
    real = contenthash._hash_file
    before = digest(root, ".")
    (root / "temporary").write_text("x")

    def vanishing(entry: Entry) -> tuple[bytes, Entry]:
        (root / "temporary").unlink(missing_ok=True)
        return real(entry)

    monkeypatch.setattr(contenthash, "_hash_file", vanishing)

    assert before == digest(root, ".")


def test_a_file_that_may_not_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission problems are the user's, and have the path."""

    def denied(entry: Entry) -> tuple[bytes, Entry]:
        raise PermissionError(13, "Permission denied", entry.real)

    monkeypatch.setattr(contenthash, "_hash_file", denied)
    with pytest.raises(UnreadableSource) as caught:
        digest(root, "d")

    assert caught.value.message == 'cannot read "d/a": Permission denied'


def test_the_record_has_every_path_that_was_hashed(root: Path) -> None:
    """By its path in the tree, links and directories too, the root not."""
    record: ContentRecord = {}
    content_digest(DirectoryTree(str(root)), ["d", "to-f"], record=record)

    assert sorted(record) == ["d", "d/a", "d/b.md", "d/sub", "d/sub/c", "d/up", "f"]
