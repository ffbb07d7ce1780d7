"""Explanations beside records of a shared cache, which may hold anything that is JSON."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from builder.cache.interface import CacheRecord
from builder.cache.memory import MemoryCache
from builder.core.digest import Digest
from builder.engine.history.record import BuildRecord, StepRecord
from builder.engine.why.explain import Explainer
from builder.engine.why.past import Past
from builder.solver.inputs import KeyInputs, KeyPart

_NAME = "[2/2] RUN x"
_FIELDS = ("is", "args", "env", "arguments", "platform", "actions", "mounts", "other_mounts", "cwd", "user")
_LEAF = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["CopyAction"])
_JSON = st.recursive(
    _LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=4),
    max_leaves=10,
)
_RUN: dict[str, Any] = {
    "is": "ExecOp", "args": ["/bin/sh", "-c", "x"], "env": [["A", "b"]], "arguments": ["A"],
    "mounts": [{"is": "InputMount", "target": "/m"}], "other_mounts": [{"is": "CacheMount", "target": "/c"}],
}  # fmt: skip
_COPY: dict[str, Any] = {
    "is": "FileOp",
    "actions": [{"is": "CopyAction", "destination": "/a", "input": 1, "source": "a"}],
}


def _inputs(plain: Any, op: bytes, source: Any) -> KeyInputs:
    part = KeyPart(
        by="key", digest=str(Digest.of(op)), key=str(Digest.of(op)), step="[1/2] FROM x", source=source
    )
    return KeyInputs(name=_NAME, op=Digest.of(op), plain=plain, parts=(part,))


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON), st.sampled_from([_RUN, _COPY]), _JSON, st.booleans())
def test_no_record_breaks_an_explanation(
    plain: dict[str, Any], own: dict[str, Any], source: Any, is_alike: bool
) -> None:
    """Whatever it says that a step was, there is one line of text about it."""
    if is_alike:
        plain = {**plain, "is": own["is"]}
    key, cache = Digest.of(b"key"), MemoryCache()
    cache.save(key, CacheRecord("", _inputs(plain, b"old", source).encode()))
    step = StepRecord(digest=str(key), name=_NAME, key=str(key), status="done")
    past = Past([BuildRecord(id="", started_at=0.0, steps=(step,))], [_NAME])
    new = _inputs(own, b"new", {"image": "x", "digest": "sha256:1", "platform": "linux/amd64"})
    causes = Explainer(lambda: past, cache).compare(new, str(Digest.of(b"other")))

    assert causes
    assert all(cause.text for cause in causes)
