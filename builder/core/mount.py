"""Mounts as data: nobody but the sandbox's child calls mount(2)."""

from __future__ import annotations

from typing import NamedTuple


class Mount(NamedTuple):
    """Arguments of one mount(2), in the shape of containerd's ``mount.Mount``.

    ``type`` is ``overlay``, ``bind``, ``tmpfs``, ``proc`` … ``target`` is absolute inside the new root.
    An overlay's options are ``lowerdir+=PATH`` (top first, one option each), ``upperdir=`` and ``workdir=``;
    without an upper it is read-only. A bind's options may hold ``ro``, ``nosuid``, ``nodev``, ``noexec``
    and ``rec``.
    """

    type: str
    source: str
    target: str
    options: tuple[str, ...] = ()
