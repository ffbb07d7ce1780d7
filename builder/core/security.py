"""What `--security-opt` says of every process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from builder.core.errors import Kind, PybuildError

UNCONFINED = "unconfined"
_KNOWN = "seccomp=unconfined, seccomp=FILE, no-new-privileges and systempaths=unconfined"


class InvalidSecurityOption(PybuildError):
    """A --security-opt that there is not."""

    kind = Kind.INVALID
    code = "invalid-security-option"

    def __init__(self, text: str) -> None:
        super().__init__(f'"{text}" is not a security option', hint=f"there are {_KNOWN}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """``seccomp`` is the text of a profile, "" for our own, or "unconfined"; None: as usual."""

    seccomp: str | None = None
    has_no_new_privileges: bool = False
    are_paths_masked: bool = True


def security_of(texts: Sequence[str], read: Callable[[str], str]) -> Security:
    """The last of each counts; a ``:`` for ``=`` is an old spelling. ``read`` gives the text of a file.

    Raises InvalidSecurityOption, and what ``read`` does.
    """
    security = Security()
    for text in texts:
        name, _, value = text.replace(":", "=", 1).partition("=")
        match name, value.lower():
            case "seccomp", "unconfined":
                security = replace(security, seccomp=UNCONFINED)
            case "seccomp", file if file:
                security = replace(security, seccomp=read(value))
            case "no-new-privileges", "" | "true" | "false":
                security = replace(security, has_no_new_privileges=value.lower() != "false")
            case "systempaths", "unconfined":
                security = replace(security, are_paths_masked=False)
            case _:
                raise InvalidSecurityOption(text)
    return security
