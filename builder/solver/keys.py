"""From an op's digest and the keys of its inputs to the key that outlives the job."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from builder.core.digest import Digest

# Counts in every key: a change here makes every cache in the world cold.
_SCHEMA = b"pybuild-key-v1\n"


def cache_key(op: Digest, components: Sequence[tuple[str, Digest, int]]) -> Digest:
    """The key of a step.

    Components are ("key", input's key, input's output) or ("content", content digest, 0), in input order.
    """
    h = hashlib.sha256(_SCHEMA)
    h.update(f"op {op}\n".encode())
    for kind, digest, output in components:
        h.update(f"{kind} {digest} {output}\n".encode())
    return Digest("sha256", h.hexdigest())
