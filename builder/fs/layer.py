"""What the tar form of a layer adds to tar (OCI image-spec, layer.md), in words for writer and reader."""

from __future__ import annotations

from typing import NamedTuple

WHITEOUT_PREFIX = ".wh."
OPAQUE_MARKER = ".wh..wh..opq"
# Names that aufs kept for itself; readers pass over them.
META_PREFIX = ".wh..wh."

CAPABILITY = "security.capability"


class LayerStats(NamedTuple):
    """What went by while a layer was written or applied."""

    entries: int  # members of the tar, whiteouts and opaque markers included
    whiteouts: int  # names deleted and directories made opaque
    data_size: int  # bytes of file data
    size: int  # bytes of the tar as written; 0 when applied, where only the stream's owner knows
    skipped: int = 0  # sockets when written; devices that the host does not let us make when applied
