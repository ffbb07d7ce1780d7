"""The plain inputs of a key: what a person needs to see why another key is another one.

As bytes, in cache records, one JSON object in ASCII:

    {"name": the step's name, "op": digest, "plain": what counts of the operation, "inputs": [
        {"by": "key" or "content", "digest": …, "output": 0, "key": the input's own key,
         "step": the input's name, "part": which part of it, "source": what a source is}, …]}

where members that are empty are left out. Values that have a secret's name are digests in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from builder.core.canonical import Plain
from builder.core.digest import Digest, InvalidDigest

_TEXTS = ("by", "digest", "key", "step", "part")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPart:
    """How one input entered the key.

    ``key`` is the input's own, also where it did not count; "" if it has none.
    """

    by: Literal["key", "content"]
    digest: str
    output: int = 0
    key: str = ""
    step: str = ""
    part: str = ""
    source: Plain = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInputs:
    """All that one key is of."""

    name: str
    op: Digest
    plain: Plain
    parts: tuple[KeyPart, ...] = ()

    @property
    def components(self) -> list[tuple[str, Digest, int]]:
        """As ``cache_key`` takes them."""
        return [(part.by, Digest.parse(part.digest), part.output) for part in self.parts]

    def encode(self) -> bytes:
        document = {
            "name": self.name,
            "op": str(self.op),
            "plain": self.plain,
            "inputs": [
                {name: value for name in KeyPart.__slots__ if (value := getattr(part, name)) or name == "by"}
                for part in self.parts
            ],
        }
        return json.dumps(document, separators=(",", ":")).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> KeyInputs | None:
        """None: something else, such as what an older pybuild kept, or a cache from elsewhere holds."""
        try:
            document = json.loads(data)
            if b"\\u" in data:
                # Half a character raises, which no output takes; names that are no UTF-8 do not.
                json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogateescape")
            parts = tuple(KeyPart(**part) for part in document["inputs"])
            for part in parts:
                Digest.parse(part.digest)
                if not all(isinstance(getattr(part, name), str) for name in _TEXTS):
                    return None
            if not isinstance(document["name"], str):
                return None
            op = Digest.parse(document["op"])
            return cls(name=document["name"], op=op, plain=document["plain"], parts=parts)
        except (ValueError, TypeError, KeyError, RecursionError, InvalidDigest):
            return None
