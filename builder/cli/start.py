"""Where the command begins: what can start early starts, and the shortest way to the work is taken."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from builder.cli.settings import Settings

if TYPE_CHECKING:
    from builder.engine.early import Launcher

_GARBAGE_THRESHOLD = 50_000  # objects; Python's own is 700


def main() -> None:
    """Run the command line of this process and exit with its code."""
    # Modules are full of cycles that stay: looking for garbage among them costs a short command dearly.
    gc.set_threshold(_GARBAGE_THRESHOLD)
    arguments = sys.argv[1:]
    launcher = None
    uid = os.geteuid()
    if uid:
        code = guarded(_become_root)
        if code:
            sys.exit(code)
    if "run" in arguments[:3]:
        from builder.cli.quick import read_run
        from builder.engine.early import start_launcher

        # A container needs it in any case, and it boots beside our imports; a wrong guess costs 20 ms.
        launcher = start_launcher()
        quick = read_run(arguments)
        if quick is not None:
            from builder.cli.container_run import execute

            sys.exit(guarded(lambda: execute(Settings(quick.root, launcher, uid=uid), quick.values)))
    sys.exit(guarded(lambda: _with_typer(arguments, launcher, uid)))


def _become_root() -> int:
    from builder.engine.early import become_root

    become_root()
    return 0


def _with_typer(arguments: list[str], launcher: Launcher | None, uid: int) -> int:
    # Inside the guard: an interrupt while it loads is an interrupt like any other.
    from builder.cli.app import run

    return run(arguments, launcher, uid)


def guarded(work: Callable[[], int]) -> int:
    """The exit code of ``work``, whatever becomes of it; errors are explained on standard error."""
    try:
        code = work()
        sys.stdout.flush()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BrokenPipeError:
        # The reader went away, as `head` does: nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except BaseException as error:  # noqa: BLE001 (this is where every error ends)
        from builder.cli.failures import explain

        return explain(error, sys.stderr, os.environ)
    return code
