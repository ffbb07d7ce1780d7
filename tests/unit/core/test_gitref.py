from __future__ import annotations

import pytest

from builder.core.gitref import GitReference, InvalidGitReference, is_git, parse_git, with_checksum

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_REPO = "https://h/r.git"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/r.git", True),
        ("http://h/r.git#main:d", True),
        ("https://h/r.git?ref=main", True),
        ("https://h/r", False),
        ("https://h/r.git/x", False),
        ("https://h/x#r.git", False),
        ("git://h/r", True),
        ("ssh://git@h/r", True),
        ("git@h:o/r.git", True),
        ("git@h:o/r", True),
        ("file:///r.git", False),
        ("ext::sh -c x", False),
        ("./r.git", False),
        ("github.com/o/r", False),
    ],
)
def test_is_git(text: str, expected: bool) -> None:
    """Only what BuildKit takes for a repository is one."""
    assert is_git(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_REPO, GitReference(_REPO)),
        (f"{_REPO}#main", GitReference(_REPO, "main")),
        (f"{_REPO}#main:/a/../b/", GitReference(_REPO, "main", "b")),
        (f"{_REPO}#:d", GitReference(_REPO, "", "d")),
        (f"{_REPO}?ref=a&subdir=d", GitReference(_REPO, "a", "d")),
        (f"{_REPO}?tag=v1", GitReference(_REPO, "refs/tags/v1")),
        (f"{_REPO}?branch=b", GitReference(_REPO, "refs/heads/b")),
        (f"{_REPO}?commit={COMMIT}", GitReference(_REPO, commit=COMMIT)),
        (f"{_REPO}?checksum=0123456", GitReference(_REPO, commit="0123456")),
        (f"{_REPO}?keep-git-dir=1", GitReference(_REPO, keeps_git_dir=True)),
        (f"{_REPO}?keep-git-dir", GitReference(_REPO, keeps_git_dir=True)),
        (f"{_REPO}?submodules=false", GitReference(_REPO, has_submodules=False)),
        (f"{_REPO}?mtime=commit", GitReference(_REPO, has_commit_times=True)),
        ("https://u:p@h/r.git#x", GitReference(_REPO, "x", login="u:p")),
        ("git@h:o/r.git#x:y", GitReference("git@h:o/r.git", "x", "y")),
        ("ssh://git@h:22/r#x", GitReference("ssh://git@h:22/r", "x")),
    ],
)
def test_parse(text: str, expected: GitReference) -> None:
    """Every form of a reference means what BuildKit's documentation says."""
    assert parse_git(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"{_REPO}#--upload-pack=touch",
        f"{_REPO}#-x",
        f"{_REPO}?ref=-x",
        f"{_REPO}#a..b",
        f"{_REPO}#a b",
        f"{_REPO}#a~1",
        f"{_REPO}#a@{{1}}",
        f"{_REPO}#a\nb",
        f"{_REPO}#/a",
        f"{_REPO}#a/",
        f"{_REPO}?ref=a&tag=b",
        f"{_REPO}?subdir=a&subdir=b",
        f"{_REPO}#:a?x",
        f"{_REPO}?ref=a#b",
        f"{_REPO}?depth=1",
        f"{_REPO}?mtime=now",
        f"{_REPO}?submodules=some",
        f"{_REPO}?commit=xyz",
        f"{_REPO}?commit={COMMIT}&checksum=fffffff",
        "ssh://-oProxyCommand=x/r",
        "ssh://-o@h/r",
        "ssh://h/-r",
        "ssh://u:p@h/r",
        "git@-h:r",
        "-git@h:r",
        "git@h:-r",
        "git://h",
        "git:///r",
        "git://h:x/r",
    ],
)
def test_refused(text: str) -> None:
    """Nothing that git or ssh could take for an option, and no ref that cannot be, gets through."""
    if text.endswith("?x"):
        assert parse_git(text).subdirectory == "a?x"
        return
    with pytest.raises(InvalidGitReference):
        parse_git(text)


def test_pinned() -> None:
    """A whole commit id needs nobody to be asked; the beginning of one does."""
    assert parse_git(f"{_REPO}#{COMMIT}").pinned == COMMIT
    assert parse_git(f"{_REPO}?commit={COMMIT}").pinned == COMMIT
    assert parse_git(f"{_REPO}?commit={COMMIT}&ref=main").pinned == ""
    assert parse_git(f"{_REPO}?commit=0123456").pinned == ""


def test_checksum() -> None:
    """--checksum and ?commit= must agree; the longer one counts."""
    reference = parse_git(f"{_REPO}?commit=0123456")

    assert with_checksum(reference, COMMIT).commit == COMMIT
    for wrong in ("fffffff", "0123", "sha256:" + 64 * "0"):
        with pytest.raises(InvalidGitReference):
            with_checksum(reference, wrong)


def test_login_is_not_shown() -> None:
    """Whatever is said about a repository leaves its login out."""
    with pytest.raises(InvalidGitReference) as caught:
        parse_git("https://u:canary@h/r.git#-x")

    assert "canary" not in str(caught.value)
    assert "canary" not in parse_git("https://u:canary@h/r.git#x").shown
