"""Golden cache keys: a changed line here makes every cache in the world cold, so it needs a reason.

``vertex`` is of the definition; ``op`` counts in the key that outlives the job, with the keys or contents of
the inputs. Digests are cut to 16 hex digits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.core.digest import Digest
from builder.core.image import ImageConfig
from builder.core.job import Job
from builder.executor.interface import Executor
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.interface import FrontendRequest
from builder.llb.definition import Vertex
from builder.ops.resolve import OpResolver
from builder.solver.keys import cache_key
from builder.store.cachemounts import LocalCacheMounts
from tests.support.local_store import Store, open_store
from tests.unit.frontend.frontend_bridge import AMD64, ARM64, BUSYBOX, FakeBridge

KEYS = Path(__file__).parents[2] / "testdata/keys"


@pytest.fixture
def resolver(tmp_path: Path) -> Iterator[OpResolver]:
    def no_executor() -> Executor:
        raise AssertionError("a key needs no process")

    def image(digest: Digest) -> tuple[ImageConfig, str]:
        arm = Digest.of(b"docker.io/library/busybox:latest linux/arm64")
        return dataclasses.replace(BUSYBOX, platform=ARM64) if digest == arm else BUSYBOX, "base"

    with open_store(tmp_path) as store:
        yield make_resolver(store, no_executor, image)


def make_resolver(
    store: Store, executor: Callable[[], Executor], image: Callable[[Digest], tuple[ImageConfig, str]]
) -> OpResolver:
    return OpResolver(store.snapshots, executor, {}, image, LocalCacheMounts(store.state, store.database))


@pytest.mark.parametrize("case", sorted(KEYS.iterdir()), ids=lambda path: path.name)
def test_keys(case: Path, golden: Callable[[Path, str], None], resolver: OpResolver) -> None:
    """A Dockerfile has the keys that it had before."""
    request = FrontendRequest(source=(case / "Dockerfile").read_bytes(), platform=AMD64, build_platform=AMD64)
    converted = DockerfileFrontend().convert(request, FakeBridge())
    lines: list[str] = []
    for digest, vertex in converted.definition:
        lines += describe(digest, vertex, resolver)
    golden(case / "keys.txt", "\n".join(lines) + "\n")


def describe(digest: Digest, vertex: Vertex, resolver: OpResolver) -> Iterator[str]:
    cache_map = resolver.resolve(digest, vertex).cache_map(Job("keys"))
    yield vertex.name or "(unnamed)"
    yield f"  vertex {digest.hex[:16]}"
    yield f"  op {cache_map.digest.hex[:16] if cache_map.digest else 'none'}"
    for edge, dep in zip(vertex.inputs, cache_map.deps, strict=True):
        how = "key" if dep.content is None else f"content {dep.selector!r}"
        yield f"  input {edge.vertex.hex[:16]}/{edge.output} {how}"


def test_key_of_known_parts() -> None:
    """A key is the sha256 of its schema, its op and its inputs, line by line."""
    op, below, content = (Digest.of(text) for text in (b"op", b"below", b"content"))
    text = f"pybuild-key-v1\nop {op}\nkey {below} 1\ncontent {content} 0\n"

    assert cache_key(op, [("key", below, 1), ("content", content, 0)]) == Digest.of(text.encode())
