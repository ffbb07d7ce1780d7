"""What the operations of a sandbox's plan have in common."""

from __future__ import annotations

from builder.sandbox import rootpath, users


class Sandbox:
    """What the operations find out for each other and for the program."""

    __slots__ = ("has_device_group", "identity", "null", "stubs")

    def __init__(self) -> None:
        self.null = -1  # a descriptor of our own /dev/null
        self.has_device_group = False  # a control group decides which devices open
        self.stubs: list[rootpath.Stub] = []
        self.identity = users.Identity(0, 0, (), "/")


class Operation:
    """One thing to do: ``prepare`` sees the host's files, ``execute`` the new root. Both raise OSError."""

    def describe(self) -> str:
        """What an error message and ``--describe`` call it."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Before pivot_root, for all operations in order."""

    def execute(self, sandbox: Sandbox) -> None:
        """After pivot_root, for all operations in order."""
