"""The sources of trees from elsewhere, wired to this command's store, network and record."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from builder.core.job import Job
from builder.engine.assemble import Engine
from builder.engine.lockfile import Lock
from builder.engine.recorder import Recorder
from builder.ops.remote import RemoteSources

if TYPE_CHECKING:  # made when a step needs them
    from builder.source.interface import FileSource, GitSource


def open_remote(engine: Engine, recorder: Recorder, blobs: Mapping[str, Path], lock: Lock) -> RemoteSources:
    """``blobs`` are files of scratch that the request brought, by digest."""

    @cache
    def files() -> FileSource:
        from builder.source.http import HttpFiles

        def note(url: str, digest: str) -> None:
            recorder.note("url", url, digest)
            lock.note("urls", url, digest)

        def locked(url: str) -> str | None:
            return lock.find("urls", url)

        return HttpFiles(engine.web, engine.database, engine.state.scratch, note, locked=locked)

    @cache
    def git() -> GitSource:
        from builder.source.git import GitRepositories

        def note(reference: str, commit: str) -> None:
            recorder.note("commit", reference, commit)
            lock.note("git", reference, commit)

        return GitRepositories(
            engine.state.scratch,
            note,
            path=engine.config.path,
            proxies=engine.config.proxies,
            ca_bundle=engine.config.ca_bundle,
            agent=_agent,
            locked=lambda reference: lock.find("git", reference),
        )

    return RemoteSources(files, git, blobs)


@contextlib.contextmanager
def _agent(job: Job, directory: Path) -> Iterator[Path | None]:
    """The agent that --ssh calls "default", for git to talk to."""
    from builder.ops.ssh import forwarded

    agent = job.session.ssh.get("default")
    if agent is None:
        yield None
        return
    agent.connect().close()  # now, while somebody is told why not
    with forwarded(agent, directory, mode=0o600, uid=os.geteuid(), gid=os.getegid()) as path:
        yield path
