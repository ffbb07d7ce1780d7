"""Trees that are read, and the one that is edited."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.fs.editor import Attributes, CopyConflict, TreeEditor
from builder.fs.tree import OPAQUE_XATTRS, DirectoryTree, StackedTree, TooManySymlinks, Tree, resolve


def walk(tree: Tree, directory: str = "") -> dict[str, str]:
    found = {}
    for entry in tree.children(directory):
        found[entry.path] = entry.kind
        if entry.kind == "file":
            found[entry.path] = Path(entry.real).read_text()
        elif entry.kind == "dir":
            found |= walk(tree, entry.path)
    return found


def put(root: Path, path: str, data: str = "x") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(data)


def whiteout(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    os.mknod(root / path, stat.S_IFCHR, 0)


def test_a_directory_tree_follows_no_links(tmp_path: Path) -> None:
    """A path through a link is absent, a link itself is there; children come in byte order."""
    put(tmp_path, "d/f")
    (tmp_path / "link").symlink_to("d")
    (tmp_path / "Z").mkdir()
    (tmp_path / "caf\udce9").mkdir()
    (tmp_path / "caf\u00e9").mkdir()
    tree = DirectoryTree(str(tmp_path))

    assert [entry.path for entry in tree.children("")] == ["Z", "caf\u00e9", "caf\udce9", "d", "link"]
    assert tree.lookup("link/f") is None
    assert tree.lookup("d/f/g") is None
    assert tree.lookup("none") is None
    assert tree.children("link") == tree.children("d/f") == tree.children("none") == []
    kinds = [entry.kind for path in ("", "d", "d/f", "link") if (entry := tree.lookup(path))]
    assert kinds == ["dir", "dir", "file", "symlink"]


def test_a_stack_is_merged_as_overlayfs_would(tmp_path: Path) -> None:
    """Upper files win, directories merge, whiteouts and opaque directories hide, files hide directories."""
    top, middle, bottom = (tmp_path / name for name in ("top", "middle", "bottom"))
    for root, path, data in [
        (bottom, "same", "bottom"), (bottom, "dir/b", "bottom"), (bottom, "gone", "bottom"),
        (bottom, "opaque/b", "bottom"), (bottom, "hidden/b", "bottom"), (bottom, "back/b", "bottom"),
        (middle, "same", "middle"), (middle, "dir/m", "middle"), (middle, "opaque/m", "middle"),
        (top, "dir/t", "top"), (top, "opaque/t", "top"), (top, "hidden", "top"), (top, "back/t", "top"),
    ]:  # fmt: skip
        put(root, path, data)
    whiteout(top, "gone")
    whiteout(middle, "back")
    os.setxattr(top / "opaque", OPAQUE_XATTRS[0], b"y")
    tree = StackedTree([str(top), str(middle), str(bottom)])

    assert walk(tree) == {
        "back": "dir", "back/t": "top", "dir": "dir", "dir/b": "bottom", "dir/m": "middle", "dir/t": "top",
        "hidden": "top", "opaque": "dir", "opaque/t": "top", "same": "middle",
    }  # fmt: skip
    assert tree.lookup("gone") is None
    assert tree.lookup("hidden/b") is None
    assert tree.lookup("opaque/b") is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("abs/x", "d/x"),
        ("rel/../y", "y"),  # of d, not of the text
        ("out/etc", "etc"),
        ("chain", "d"),
        ("none/../x", "x"),
        ("/../..//d/./f", "d/f"),
        ("", ""),
    ],
)
def test_links_are_resolved_inside_the_tree(tmp_path: Path, path: str, expected: str) -> None:
    """The root stops everything; what does not exist is kept."""
    put(tmp_path, "d/f")
    for name, target in [("abs", "/d"), ("rel", "d"), ("out", "../../.."), ("chain", "abs")]:
        (tmp_path / name).symlink_to(target)

    assert expected == resolve(DirectoryTree(str(tmp_path)), path)


def test_loops_of_links_end(tmp_path: Path) -> None:
    """After forty links, as in the kernel."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(TooManySymlinks):
        resolve(DirectoryTree(str(tmp_path)), "a/x")
    assert resolve(DirectoryTree(str(tmp_path)), "a", follow_last=False) == "a"


# --- the editor ---


class Edited:
    def __init__(self, root: Path, lowers: int = 1) -> None:
        self.upper = root / "upper"
        self.lowers = [root / f"lower{number}" for number in range(lowers)]
        for directory in (self.upper, *self.lowers):
            directory.mkdir(parents=True)
        self.editor = TreeEditor(str(self.upper), StackedTree([str(lower) for lower in self.lowers]))

    def merged(self) -> dict[str, str]:
        """What overlayfs would show, read afresh."""
        return walk(StackedTree([str(self.upper), *map(str, self.lowers)]))

    def put(self, path: str, data: str = "new", *, replaces_directory: bool = False) -> None:
        fd = self.editor.create_file(path, replaces_directory=replaces_directory)
        os.write(fd, data.encode())
        self.editor.seal(fd, path, Attributes(0o644, 0, 0))
        os.close(fd)


@pytest.fixture
def edited(tmp_path: Path) -> Edited:
    return Edited(tmp_path)


def test_a_file_may_replace_a_directory_and_back(edited: Edited) -> None:
    """A directory made where a file hid one does not show the hidden contents again."""
    put(edited.lowers[0], "d/sub/old")
    edited.put("d/sub/new")
    edited.put("d", replaces_directory=True)
    assert edited.merged() == {"d": "new"}
    assert edited.editor.lookup("d/sub/old") is None

    edited.editor.make_directory("d")
    edited.put("d/fresh")
    assert edited.merged() == {"d": "dir", "d/fresh": "new"}
    assert edited.editor.lookup("d/sub") is None


def test_an_upper_that_was_written_before_is_understood(edited: Edited) -> None:
    """A second editor finds directories, whiteouts and opaque marks of an earlier one."""
    lower, upper = edited.lowers[0], edited.upper
    for path in ("merged/low", "opaque/low", "gone/low", "file/low"):
        put(lower, path)
    put(upper, "merged/up")
    put(upper, "opaque/up")
    put(upper, "file")
    whiteout(upper, "gone")
    os.setxattr(upper / "opaque", OPAQUE_XATTRS[0], b"y")
    found = {path: edited.editor.lookup(path) is not None for path in (
        "merged/low", "merged/up", "opaque/low", "opaque/up", "gone", "gone/low", "file/low",
    )}  # fmt: skip

    assert found == {
        "merged/low": True, "merged/up": True, "opaque/low": False, "opaque/up": True, "gone": False,
        "gone/low": False, "file/low": False,
    }  # fmt: skip
    edited.editor.make_directories("gone/again")
    assert edited.merged()["gone/again"] == "dir"
    assert "gone/low" not in edited.merged()


def test_directories_cannot_be_made_below_a_file(edited: Edited) -> None:
    """Nor can anything else."""
    put(edited.lowers[0], "f")

    with pytest.raises(CopyConflict):
        edited.editor.make_directories("f/x/y")
    with pytest.raises(CopyConflict):
        edited.put("f/x")


def test_a_link_copies_its_target_up(edited: Edited) -> None:
    """Both names are one file in the upper, with the old attributes; the directory keeps its time."""
    lower = edited.lowers[0]
    put(lower, "d/f", "low")
    (lower / "d" / "f").chmod(0o4711)
    os.chown(lower / "d" / "f", 3, 4)
    (lower / "d" / "f").chmod(0o4711)
    os.utime(lower / "d", ns=(5, 5))
    edited.editor.link("e", "d/f")
    entry = edited.editor.lookup("d/f")

    assert entry is not None
    assert (entry.mode, entry.uid, entry.gid, entry.nlink) == (0o4711, 3, 4, 2)
    assert edited.merged() == {"d": "dir", "d/f": "low", "e": "low"}
    assert os.stat(edited.upper / "d").st_mtime_ns == 5


@pytest.mark.parametrize("target", ["none", "d"])
def test_only_files_can_be_linked_to(edited: Edited, target: str) -> None:
    """Not what is absent, and no directory."""
    (edited.lowers[0] / "d").mkdir()

    with pytest.raises(CopyConflict):
        edited.editor.link("e", target)


def test_without_a_parent_the_upper_is_all(tmp_path: Path) -> None:
    """FROM scratch."""
    editor = TreeEditor(str(tmp_path))
    editor.make_directories("a/b", 0o700, (3, 4))
    editor.put_symlink("a/b/c", "/a", Attributes(0o777, 5, 6, 7))
    link = editor.lookup("a/b/c")

    assert editor.resolve("a/b/c/b") == "a/b"
    assert link is not None
    assert (link.kind, link.uid, link.mtime_ns) == ("symlink", 5, 7)
    assert [(entry.path, entry.mode, entry.uid) for entry in editor.children("a")] == [("a/b", 0o700, 3)]


actions = st.lists(
    st.tuples(
        st.sampled_from(["file", "dir", "dirs", "link", "hard"]),
        st.sampled_from(["a", "b", "a/b", "b/a", "a/a", "a/b/a"]),
    ),
    max_size=12,
)
layers = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "a/b", "b/a", "a/a", "a/b/a"]), st.sampled_from("fdw")),
    max_size=2,
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layers, actions)
def test_the_editor_sees_what_overlayfs_shows(
    tmp_path_factory: pytest.TempPathFactory,
    shape: list[dict[str, str]],
    todo: list[tuple[str, str]],
) -> None:
    """After any changes, each lookup agrees with the merged directories, and each change took effect."""
    edited = Edited(tmp_path_factory.mktemp("edited"), max(len(shape), 1))
    for lower, content in zip(edited.lowers, shape, strict=False):
        for path, kind in sorted(content.items()):
            if not (lower / path).parent.is_dir():
                continue
            if kind == "d":
                (lower / path).mkdir()
            elif kind == "f":
                (lower / path).write_text(lower.name)
            else:
                whiteout(lower, path)
    expected = edited.merged()

    for action, path in todo:
        parent, _, _ = path.rpartition("/")
        if parent and expected.get(parent) != "dir" and action != "dirs":
            continue
        model_apply(edited, expected, action, path)

    assert expected == edited.merged()
    for path in ("a", "b", "a/b", "b/a", "a/a", "a/b/a", "a/b/a/x"):
        entry = edited.editor.lookup(path)
        assert (entry is not None) == (path in expected)


def model_apply(edited: Edited, model: dict[str, str], action: str, path: str) -> None:
    """One change to the editor and to a plain dictionary."""

    def drop(gone: str) -> None:
        for name in [name for name in model if name == gone or name.startswith(f"{gone}/")]:
            del model[name]

    match action:
        case "file":
            edited.put(path, replaces_directory=True)
            drop(path)
            model[path] = "new"
        case "link":
            edited.editor.put_symlink(path, "x", Attributes(0, 0, 0), replaces_directory=True)
            drop(path)
            model[path] = "symlink"
        case "dir":
            if model.get(path) != "dir":
                edited.editor.make_directory(path)
                model[path] = "dir"
        case "dirs":
            parents = ["/".join(path.split("/")[: n + 1]) for n in range(path.count("/") + 1)]
            if any(model.get(name, "dir") != "dir" for name in parents):
                with pytest.raises(CopyConflict):
                    edited.editor.make_directories(path)
                blocked = next(n for n, name in enumerate(parents) if model.get(name, "dir") != "dir")
                parents = parents[:blocked]
            else:
                edited.editor.make_directories(path)
            model.update(dict.fromkeys(parents, "dir"))
        case _:
            source = "a" if path != "a" else "b"
            if model.get(source) in (None, "dir") or path.startswith(f"{source}/"):
                return
            edited.editor.link(path, source, replaces_directory=True)
            content = model[source]
            drop(path)
            model[path] = content
