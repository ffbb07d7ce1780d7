"""The launcher program: ``python -I -S launcher.py FD PARENT``; for people ``--describe`` and ``--run``.

It stands beside the build and starts every sandbox: a process of its own that has one thread, few modules and
no environment, so that a clone of it is cheap and carries nothing of the caller. It imports only what a test
allows. ``docs/hacking/replay.md`` shows the two other uses.
"""

from __future__ import annotations

import os
import resource
import sys


def main(arguments: list[str]) -> int:
    """Serves until the parent goes, or does one of the things for people."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # Last, so that nothing beside the package can stand in for a module of the standard library.
    sys.path.append(root)
    from builder.sandbox import signals, syscalls

    # For all children at once: Python ignores SIGPIPE and the caller may ignore more, and execve keeps that.
    syscalls.reset_signals()
    signals.unblock()
    if arguments[:1] in (["--describe"], ["--run"]):
        return _by_hand(arguments[0])
    connection, parent = map(int, arguments)
    os.chdir("/")
    os.umask(0o022)
    from builder.sandbox import confinement
    from builder.sandbox.serve import Server

    syscalls.close_from(connection + 1, on_exec=False)
    # A soft limit that the caller set for itself is no business of the steps; the hard one stands.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    Server(connection, parent, confinement.enter()).run()
    return 0


def _by_hand(action: str) -> int:
    """Print a recorded spec's plan, or run it with this process's stdout and stderr."""
    import marshal

    from builder.sandbox import child, steps, syscalls

    spec = marshal.loads(sys.stdin.buffer.read())  # noqa: S302 - the user's own file
    if action == "--describe":
        for operation in steps.plan(spec):
            sys.stdout.write(f"{operation.describe()}\n")
        sys.stdout.write(f"run {' '.join(ascii(os.fsdecode(word)) for word in spec['args'])}\n")
        return 0
    spec.update(has_stdin=False, is_terminal=False)
    namespaces = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
    if spec["network"] == "none":
        namespaces |= syscalls.CLONE_NEWNET
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid, _ = syscalls.clone(namespaces)
    if pid == 0:
        child.become(spec, (1, 2), write_end)
    os.close(write_end)
    failed = 0
    with open(read_end, "rb") as report:
        while report.peek(1):
            kind, value = marshal.load(report)  # noqa: S302 - written by child.become
            if kind == "failed":
                _, stage, _, message, _, failed = value
                sys.stderr.write(f"{stage}: {message}\n")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return failed or (status if status >= 0 else 128 - status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
