"""The operations that make the child what the program shall be: its groups, limits, user and privileges."""

from __future__ import annotations

import errno
import os
import resource

from builder.sandbox import capabilities, confinement, rootpath, syscalls, users
from builder.sandbox.operation import Operation, Sandbox

# Far above any real file; an image must not make the set-up eat memory.
_USER_FILE_LIMIT = 16 << 20


class JoinGroups(Operation):
    """The control groups that limit the program; first of all, so that everything it costs counts."""

    def __init__(self, directories: tuple[bytes, ...], program: int) -> None:
        """``program`` keeps devices from a group of v2; -1: nothing has to."""
        self.directories = directories
        self.program = program

    def describe(self) -> str:
        return f"join {' '.join(map(os.fsdecode, self.directories))}"

    def prepare(self) -> None:
        for directory in self.directories:
            if self.program >= 0:
                self._keep_devices_away(directory)
            confinement.join(directory)
        # Its own groups become the roots that it sees, and not those of the launcher.
        syscalls.unshare(syscalls.CLONE_NEWCGROUP)

    def _keep_devices_away(self, directory: bytes) -> None:
        """For joining it leaves the launcher's group of v2, and that one's rules with it."""
        group = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if syscalls.statfs_type(group) == syscalls.CGROUP2_SUPER_MAGIC:
            confinement.forbid(self.program, group)
        os.close(group)


class Identify(Operation):
    """Looks up the user in the image's files."""

    def __init__(self, user: str) -> None:
        self.user = user

    def describe(self) -> str:
        return f'look up user "{self.user or "0"}"'

    def execute(self, sandbox: Sandbox) -> None:
        passwd = rootpath.read_file(b"/etc/passwd", _USER_FILE_LIMIT)
        group = rootpath.read_file(b"/etc/group", _USER_FILE_LIMIT)
        sandbox.identity = users.lookup_user(self.user, passwd, group)


class ResourceLimit(Operation):
    """One of setrlimit(2). After the last file is opened; before the privilege to raise it is gone."""

    def __init__(self, name: str, number: int, soft: int, hard: int) -> None:
        self.name = name
        self.number = number
        self.values = (soft, hard)

    def describe(self) -> str:
        return f"set the ulimit {self.name}={self.values[0]}:{self.values[1]}"

    def execute(self, sandbox: Sandbox) -> None:
        before = resource.getrlimit(self.number)[1]
        try:
            resource.setrlimit(self.number, self.values)
        except (OSError, ValueError) as error:  # ValueError: EPERM, in the words of the module
            shown = "none" if before == resource.RLIM_INFINITY else str(before)
            why = f"raising the hard limit ({shown} here) takes CAP_SYS_RESOURCE, and nofile has fs.nr_open"
            raise OSError(errno.EPERM, f"not permitted: {why}") from error


class Become(Operation):
    """The user, its groups, filter and capabilities; from here on nothing privileged works."""

    def __init__(
        self, user: str, *, is_privileged: bool, filter_program: bytes, has_no_new_privileges: bool
    ) -> None:
        self.user = user
        self.is_privileged = is_privileged
        self.filter_program = filter_program
        self.has_no_new_privileges = has_no_new_privileges
        self.owned = 0

    def describe(self) -> str:
        capability = "all capabilities" if self.is_privileged else "the default capabilities"
        size = len(self.filter_program) // 8
        calls = f"a seccomp filter of {size} instructions" if size else "no seccomp filter"
        fixed = " and no new privileges" if self.has_no_new_privileges else ""
        return f'become user "{self.user or "0"}" with {capability}, {calls}{fixed}'

    def prepare(self) -> None:
        self.owned = syscalls.capget()

    def execute(self, sandbox: Sandbox) -> None:
        identity = sandbox.identity
        kept = self.owned if self.is_privileged else capabilities.mask(capabilities.DEFAULT) & self.owned
        # Over the change of user, so that a filter can be set after it: that takes CAP_SYS_ADMIN, and what
        # comes before needs calls that the filter may refuse.
        syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)
        os.setgroups(list(dict.fromkeys((identity.gid, *identity.groups))))
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
        syscalls.capset(self.owned, self.owned, 0)
        syscalls.join_session_keyring()
        capabilities.bound(kept)
        if self.has_no_new_privileges:
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        if self.filter_program:
            syscalls.filter_calls(self.filter_program)
        if self.is_privileged:
            capabilities.keep(kept)
        else:
            # Another user than 0 has none, whatever it could get back, capabilities(7).
            remaining = 0 if identity.uid else kept
            syscalls.capset(remaining, remaining, 0)
