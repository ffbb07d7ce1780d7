"""The child, from clone(2) to execve(2): carries out the plan and becomes the program."""

from __future__ import annotations

import errno
import fcntl
import marshal
import os
import stat
import sys

from builder.sandbox import signals, syscalls
from builder.sandbox.operation import Sandbox
from builder.sandbox.steps import plan
from builder.sandbox.users import UserNotFound

TYPE_CHECKING = False  # importing typing takes longer than a step
if TYPE_CHECKING:
    from collections.abc import Sequence

    from builder.sandbox.spec import RawSpec

# What `docker run` answers: 125 the sandbox failed, 126 it cannot be executed, 127 there is no such program.
SANDBOX_FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_TIOCSCTTY = 0x540E  # asm-generic/ioctls.h
# kind ("setup", "user" or "exec"), stage, errno, message, hint, exit code
Failure = tuple[str, str, int, str, str, int]


class NotExecuted(Exception):
    """The program cannot be run; the text is what runc says."""

    def __init__(self, message: str, exit_code: int, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.hint = hint


def become(spec: RawSpec, descriptors: Sequence[int], report: int) -> None:
    """Never returns: it is the program, or has written a failure to ``report`` and ended with 125.

    ``descriptors`` are stdout and stderr, and stdin before them if the spec says so.
    """
    stage = "start"
    failure: Failure | None = None
    try:
        os.setsid()
        os.umask(0)  # the modes below are meant; the program gets 022
        _take_descriptors(spec, descriptors)
        sandbox = Sandbox()
        operations = plan(spec)
        for operation in operations:
            stage = operation.describe()
            operation.prepare()
        for operation in operations:
            stage = operation.describe()
            operation.execute(sandbox)
        stage = "run the program"
        _leave_no_trace(spec, sandbox.null)
        os.write(report, marshal.dumps(("stubs", sandbox.stubs)))
        _execute(spec, sandbox.identity.home)
    except UserNotFound as error:
        failure = ("user", stage, 0, str(error), "", SANDBOX_FAILED)
    except NotExecuted as error:
        failure = ("exec", stage, 0, str(error), error.hint, error.exit_code)
    except OSError as error:
        failure = ("setup", stage, error.errno or 0, _text(error), "", SANDBOX_FAILED)
    finally:
        # Nothing may return into the launcher's loop, not even a bug.
        if failure is None:
            failure = ("setup", stage, 0, f"internal error: {sys.exc_info()[1]!r}", "", SANDBOX_FAILED)
        try:
            os.write(report, marshal.dumps(("failed", failure)))
        finally:
            os._exit(SANDBOX_FAILED)


def find_program(name: bytes, search: bytes) -> bytes:
    """The path to execute, by the rules of Go's ``exec.LookPath``; raises NotExecuted."""
    shown = name.decode("utf-8", "replace")
    if b"/" not in name:
        for directory in search.split(b":"):
            path = os.path.join(directory, name)
            # A relative entry would run what happens to lie in the working directory.
            if directory.startswith(b"/") and os.path.isfile(path) and os.access(path, os.X_OK):
                return path
        raise NotExecuted(
            f'exec: "{shown}": executable file not found in $PATH',
            NOT_FOUND,
            f'PATH is "{search.decode("utf-8", "replace")}"',
        )
    try:
        mode = os.stat(name).st_mode
    except OSError as error:
        code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
        raise NotExecuted(f'exec: "{shown}": stat {shown}: {_lower(error)}', code) from error
    if stat.S_ISDIR(mode):
        raise NotExecuted(f'exec: "{shown}": is a directory', NOT_EXECUTABLE)
    if not os.access(name, os.X_OK):
        raise NotExecuted(f'exec: "{shown}": permission denied', NOT_EXECUTABLE, "is it marked executable?")
    return name


def _take_descriptors(spec: RawSpec, descriptors: Sequence[int]) -> None:
    first = 0 if spec["has_stdin"] else 1
    for number, fd in enumerate(descriptors, first):
        os.dup2(fd, number)
    if spec["is_terminal"]:
        fcntl.ioctl(0, _TIOCSCTTY, 0)


def _leave_no_trace(spec: RawSpec, null: int) -> None:
    """What the set-up changed in the process and execve keeps; signals are the launcher's to reset."""
    if not spec["has_stdin"]:
        os.dup2(null, 0)
    os.umask(0o022)
    syscalls.close_from(3, on_exec=True)
    # After the change of user, which clears it, prctl(2).
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signals.SIGKILL)


def _execute(spec: RawSpec, home: str) -> None:
    env = dict(variable.split(b"=", 1) for variable in spec["env"])
    env.setdefault(b"HOME", home.encode("utf-8", "surrogateescape"))
    path = find_program(spec["args"][0], env.get(b"PATH", DEFAULT_PATH))
    try:
        os.execve(path, spec["args"], env)  # noqa: S606 - no shell is meant
    except OSError as error:
        shown = path.decode("utf-8", "replace")
        code = NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE
        raise NotExecuted(f"exec {shown}: {_lower(error)}", code, _why(error.errno)) from error


def _why(number: int | None) -> str:
    if number == errno.ENOENT:
        return "the file is there; the interpreter of its first line or its dynamic loader is not"
    if number == errno.ENOEXEC:
        return "a script needs a #! line, and a program has to be for this machine's architecture"
    return ""


def _text(error: OSError) -> str:
    where = f": {os.fsdecode(error.filename)}" if isinstance(error.filename, (str, bytes)) else ""
    return f"{error.strerror}{where}"


def _lower(error: OSError) -> str:
    return (error.strerror or "").lower()
