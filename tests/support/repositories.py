"""Git repositories for tests, made by the git of this machine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_WHO = {
    "GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "n@localhost", "GIT_AUTHOR_DATE": "1600000000 +0000",
    "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "n@localhost", "GIT_COMMITTER_DATE": "1600000000 +0000",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


def git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **_WHO},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


class Repository:
    """A bare repository that a web server can show, and a checkout to commit in."""

    def __init__(self, root: Path, name: str) -> None:
        self.work = root.with_name(f"{root.name}-work") / name
        self.bare = root / f"{name}.git"
        self.work.mkdir(parents=True)
        root.mkdir(exist_ok=True)
        git(self.work, "init", "--quiet")
        git(root, "init", "--quiet", "--bare", self.bare.name)

    def commit(self, files: Mapping[str, str], *, branch: str = "main") -> str:
        """The id; a file whose content begins with "-> " is a link, one with "#!" a program."""
        if git(self.work, "branch", "--show-current") != branch:
            git(self.work, "checkout", "--quiet", "-B", branch)
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("-> "):
                path.symlink_to(content[3:])
                continue
            path.write_text(content)
            path.chmod(0o755 if content.startswith("#!") else 0o644)
        git(self.work, "add", "--all")
        git(self.work, "commit", "--quiet", "--message", "change")
        self.publish()
        return git(self.work, "rev-parse", "HEAD")

    def tag(self, name: str, *, is_annotated: bool) -> str:
        """The id of what the tag's name stands for: the tag object, if there is one."""
        git(self.work, "tag", *(("-a", "-m", name) if is_annotated else ()), name)
        self.publish()
        return git(self.work, "rev-parse", name)

    def add_submodule(self, path: str, url: str, commit: str) -> str:
        """As `git submodule add` writes it, whatever the address."""
        (self.work / ".gitmodules").write_text(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
        git(self.work, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        git(self.work, "add", ".gitmodules")
        git(self.work, "commit", "--quiet", "--message", "submodule")
        self.publish()
        return git(self.work, "rev-parse", "HEAD")

    def publish(self) -> None:
        git(self.work, "push", "--quiet", "--force", "--mirror", str(self.bare))
        git(self.bare, "symbolic-ref", "HEAD", "refs/heads/main")
        git(self.bare, "update-server-info")
