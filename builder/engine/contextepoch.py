"""SOURCE_DATE_EPOCH=context: the time of what is built from, where that has one."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from builder.core.errors import Unsupported
from builder.core.gitref import GitReference
from builder.frontend.dockerfile.epoch import EPOCH_NAME

_CONTEXT = "context"


def wants_context_epoch(build_args: Mapping[str, str]) -> bool:
    """Whether the time of the context is asked for."""
    return build_args.get(EPOCH_NAME) == _CONTEXT


def with_epoch(build_args: Mapping[str, str], epoch_s: int | None) -> Mapping[str, str]:
    """The number in its place; a context without a time is as if nothing had been said, as in BuildKit."""
    if not wants_context_epoch(build_args):
        return build_args
    rest = {name: value for name, value in build_args.items() if name != EPOCH_NAME}
    return rest if epoch_s is None else {**rest, EPOCH_NAME: str(epoch_s)}


def with_commit_times(reference: GitReference, text: str) -> GitReference:
    """Files as old as their commit, whose time is asked for. Raises Unsupported."""
    if "mtime=checkout" in text:
        raise Unsupported(
            f"{EPOCH_NAME}={_CONTEXT} needs the times of the commit, and the address says mtime=checkout",
            hint="leave that out, or give a number of seconds",
        )
    return reference._replace(has_commit_times=True)


def newest_s(directory: str) -> int | None:
    """The time of the newest file below; None: there is none."""
    newest: int | None = None
    pending = [directory]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                st = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(st.st_mode):
                    pending.append(entry.path)
                else:
                    newest = max(newest or 0, st.st_mtime_ns // 10**9)
    return newest
