"""`build --cache-to` and `--cache-from`: two stores as two machines, with a registry or a folder between."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.cache.document import MEMBER
from tests.support.cli import Outcome, Pybuild
from tests.support.registry import FakeRegistry
from tests.support.stores import Write, copy_store

pytestmark = pytest.mark.e2e

_DOCKERFILE = """\
FROM {base} AS tools
RUN head -c 3000000 /dev/urandom > /large && echo made > /tool
FROM {base}
COPY a /a
RUN head -c 200000 /dev/urandom > /noise
COPY --from=tools /tool /tool
COPY --link a /linked/a
RUN cat /tool /linked/a > /both
ENV WHERE=here
"""


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def other(tmp_path: Path) -> Pybuild:
    """A machine that has nothing."""
    return Pybuild(tmp_path / "other", tmp_path / "other-home")


@pytest.fixture
def project(pybuild: Pybuild, write: Write, registry: FakeRegistry) -> Path:
    """Its base image is at the registry."""
    base = f"{registry.host}/base:1"
    pybuild("tag", "busybox", base)
    pybuild("push", "-q", base)
    return write(_DOCKERFILE.format(base=base), {"a": "a\n"})


@pytest.fixture
def twin(base_store: Path, tmp_path: Path) -> Pybuild:
    """A machine with the same busybox, and nothing else."""
    return Pybuild(copy_store(base_store, tmp_path / "twin"), tmp_path / "twin-home")


def image_of(outcome: Outcome) -> str:
    """What the last line says."""
    return outcome.err.rpartition("built ")[2].split()[0]


def ran(outcome: Outcome) -> list[str]:
    return [
        name for name, state in outcome.steps.items() if state == "DONE" and not name.startswith("[internal]")
    ]


def sent(registry: FakeRegistry) -> list[str]:
    """What uploads there were, of blobs."""
    return [line for line in registry.requests if line.startswith(("PUT", "PATCH")) and "/blobs/" in line]


def fetched(registry: FakeRegistry) -> int:
    """Bytes of the blobs that somebody read."""
    names = {
        line.removeprefix("GET /v2/")
        for line in registry.requests
        if line.startswith("GET") and "/blobs/" in line
    }
    return sum(len(registry.blob(*name.split("/blobs/"))) for name in names)


def test_second_machine_runs_nothing(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, project: Path
) -> None:
    """Same layers, same config, same manifest; it fetches what the image needs, and says what that saved."""
    cache = f"{registry.host}/team/app:cache"
    first = pybuild.build(project, "--cache-to", f"type=registry,ref={cache},mode=max", "-t", "app")
    registry.log.clear()
    second = other.build(project, "--cache-from", cache, "-t", "app")

    assert len(ran(first)) == 6
    assert ran(second) == []
    assert image_of(second) == image_of(first)
    assert other.run("app", "cat", "/both") == "made\na\n"
    manifest = json.loads(registry.manifest("team/app", "cache"))
    layers = {entry["digest"]: entry["size"] for entry in manifest["layers"]}
    base = json.loads(registry.manifest("base", "1"))
    needed = sum(entry["size"] for entry in base["layers"]) + sum(layers.values()) - max(layers.values())
    assert fetched(registry) < needed * 1.1
    said = next(line for line in second.err.splitlines() if line.startswith("cache: "))
    assert said.startswith(f"cache: 7 of 7 steps came from {cache}, which saved ")
    assert "s; 20" in said
    assert "written to" in first.err

    # From now on it is this machine's own, and a change costs what it changes.
    assert ran(other.build(project)) == []
    (project / "a").write_text("b\n")
    third = other.build(project, "--cache-from", cache)
    assert sorted(name.partition("] ")[2] for name in ran(third)) == [
        "COPY --from=tools /tool /tool", "COPY --link a /linked/a", "COPY a /a",
        "RUN cat /tool /linked/a > /both", "RUN head -c 200000 /dev/urandom > /noise",
    ]  # fmt: skip


def test_manifest_is_the_same_with_an_epoch(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, project: Path
) -> None:
    """Pushed from either machine; the second sends no layer that the registry has, and fetches none."""
    cache, image = f"{registry.host}/cache:main", f"{registry.host}/app"
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    for number, (machine, option) in enumerate([(pybuild, "--cache-to"), (other, "--cache-from")]):
        registry.log.clear()
        machine.build(project, option, cache, "--push", "-t", f"{image}:{number}", env=epoch)

    assert registry.manifest("app", "0") == registry.manifest("app", "1")
    assert len([line for line in sent(registry) if "PATCH" in line]) == 0
    assert fetched(registry) < 20_000  # configs, and no layer
    for layer in json.loads(registry.manifest("cache", "main"))["layers"]:
        registry.forget("cache", layer["digest"])
    assert other.run(f"{image}:1", "cat", "/both") == "made\na\n"


def test_folder(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, project: Path, tmp_path: Path
) -> None:
    """An OCI layout, with tags; min has the steps of the image, and still none of them runs."""
    folder = tmp_path / "cache"
    first = pybuild.build(
        project, "--cache-to", f"type=local,dest={folder},tag=main,compression=zstd,force-compression=true",
        "--cache-to", f"type=local,dest={folder},mode=max",
    )  # fmt: skip
    index = json.loads((folder / "index.json").read_text())["manifests"]
    second = other.build(project, "--cache-from", f"type=local,src={folder},tag=main")
    digest = next(
        m["digest"] for m in index if m["annotations"]["org.opencontainers.image.ref.name"] == "latest"
    )
    shutil.rmtree(other.root)
    third = other.build(project, "--cache-from", f"type=local,src={folder},digest={digest}")

    assert sorted(m["annotations"]["org.opencontainers.image.ref.name"] for m in index) == ["latest", "main"]
    assert ran(second) == ran(third) == []
    assert image_of(first) == image_of(second) == image_of(third)


def test_changed_base_keeps_linked_layers(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, project: Path, write: Write
) -> None:
    """COPY --link from a shared cache goes over a base that nobody had when it was made."""
    cache = f"{registry.host}/cache:main"
    text = f"FROM {registry.host}/base:1\nRUN echo {{}} > /base\nCOPY --link a /new/a\n"
    first = pybuild.build(write(text.format("one")), "--cache-to", f"{cache}", "-t", "first")
    pybuild.build(write(text.format("one")), "--cache-to", f"type=registry,ref={cache},mode=max")
    second = other.build(write(text.format("two")), "--cache-from", cache, "-t", "second")

    assert len(ran(first)) == 2
    assert [name.partition("] ")[2] for name in ran(second)] == ["RUN echo two > /base"]
    assert other.run("second", "cat", "/base", "/new/a") == "two\na\n"
    layers = [machine.inspect(name)["RootFS"]["Layers"][-1] for machine, name in
              ((pybuild, "first"), (other, "second"))]  # fmt: skip
    assert layers[0] == layers[1]


def test_rewritten_timestamps_are_the_same(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, project: Path
) -> None:
    """Layers that came from a shared cache are clamped to the same bytes as those that were made here."""
    cache = f"{registry.host}/cache:main"
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    first = pybuild.build(project, "--cache-to", cache, "--rewrite-timestamp", env=epoch)
    second = other.build(project, "--cache-from", cache, "--rewrite-timestamp", env=epoch)

    assert ran(second) == []
    assert image_of(first) == image_of(second)


def test_inline(pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, project: Path) -> None:
    """The image carries its own cache; with an epoch its digest does not depend on when it was built."""
    image = f"{registry.host}/app:1"
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    first = pybuild.build(project, "--cache-to", "type=inline", "-t", image, "--push", env=epoch)
    again = pybuild.build(project, "--cache-to", "type=inline", env=epoch)
    plain = pybuild.build(project, env=epoch)
    second = other.build(project, "--cache-from", image, "--cache-to", "type=inline", env=epoch)
    config = json.loads(registry.blob("app", image_of(first)))

    assert image_of(first) == image_of(again) == image_of(second) != image_of(plain)
    assert ran(second) == []
    assert len(config[MEMBER]["records"]) == 5
    assert other.run(image, "cat", "/both") == "made\na\n"


def test_misses_are_explained_by_the_shared_cache(
    pybuild: Pybuild, twin: Pybuild, registry: FakeRegistry, write: Write
) -> None:
    """A machine that built nothing before says what is other than where the cache is from."""
    text = "FROM busybox\nARG LEVEL\nRUN echo $LEVEL > /level\nCOPY a /a\nRUN cat /a > {}\n"
    cache = f"{registry.host}/cache:main"
    project = write(text.format("/b"), {"a": "a\n"})
    pybuild.build(project, "--build-arg", "LEVEL=1", "--cache-to", cache)
    argument = twin.build(project, "--build-arg", "LEVEL=2", "--cache-from", cache)
    shutil.rmtree(twin.root / "logs-v1", ignore_errors=True)
    twin("builds", "rm", "--all")
    twin("prune", "--all", "--force")
    content = twin.build(
        write(text.format("/c"), {"a": "b\n"}), "--build-arg", "LEVEL=1", "--cache-from", cache
    )

    assert 'why: ARG LEVEL changed: "1" → "2"' in argument.err
    assert "why: what it reads of the build context changed" in content.err
    assert "why: never built" not in argument.err + content.err


def test_several_platforms(
    pybuild: Pybuild, twin: Pybuild, registry: FakeRegistry, write: Write, base_store: Path, tmp_path: Path
) -> None:
    """One cache has the steps of all; in an index each image carries its own."""
    project = write(
        "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH\nRUN echo $TARGETARCH > /out\n"
        "FROM scratch\nCOPY --from=build /out /out\n"
    )
    both, image = ("--platform", "linux/amd64,linux/arm64"), f"{registry.host}/app:1"
    to = ("--cache-to", f"{registry.host}/cache:main", "--cache-to", "type=inline", "-t", image, "--push")
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    first = pybuild.build(project, *both, *to, env=epoch)
    index = registry.manifest("app", "1")
    second = twin.build(project, *both, *to, "--cache-from", f"{registry.host}/cache:main", env=epoch)
    third = Pybuild(copy_store(base_store, tmp_path / "third"), tmp_path / "third-home")
    inline = third.build(project, *both, "--cache-from", image, env=epoch)

    assert len(ran(first)) == 4
    assert ran(second) == ran(inline) == []
    assert registry.manifest("app", "1") == index


def test_inline_cache_and_estargz_exclude_each_other(pybuild: Pybuild, write: Write) -> None:
    """The layers of such an image are not those of its steps."""
    said = pybuild.build(
        write("FROM busybox\nRUN echo x > /x\n"), "--cache-to", "type=inline",
        "-t", "registry.invalid/app", "--output", "type=image,compression=estargz", code=1,
    )  # fmt: skip

    assert "unsupported" in said.err
    assert "eStargz" in said.err


def test_export_of_what_was_imported(
    pybuild: Pybuild, other: Pybuild, registry: FakeRegistry, project: Path, tmp_path: Path
) -> None:
    """A machine that ran nothing passes the whole cache on, and sends nothing that is there."""
    cache = f"type=registry,ref={registry.host}/cache:main,mode=max"
    pybuild.build(project, "--cache-to", cache)
    before = registry.manifest("cache", "main")
    registry.log.clear()
    second = other.build(project, "--cache-from", cache.removesuffix(",mode=max"), "--cache-to", cache)
    layers = json.loads(before)["layers"]
    third = Pybuild(tmp_path / "third", tmp_path / "third-home")

    assert json.loads(registry.manifest("cache", "main"))["layers"] == layers
    assert not [line for line in sent(registry) if "PATCH" in line]
    assert "0 new blobs" in second.err
    assert ran(third.build(project, "--cache-from", f"{registry.host}/cache:main")) == []


def test_layers_of_the_image_are_mounted(pybuild: Pybuild, registry: FakeRegistry, project: Path) -> None:
    """The registry has them from the image; the cache's repository takes them from there."""
    pybuild.build(project, "--push", "-t", f"{registry.host}/app:1")
    registry.log.clear()
    said = pybuild.build(
        project, "--push", "-t", f"{registry.host}/app:1", "--cache-to", f"{registry.host}/cache:main"
    )

    assert len([line for line in registry.requests if "mount=" in line and "from=app" in line]) == 5
    assert "5 records written" in said.err
    assert "0 new blobs" in said.err


@pytest.mark.parametrize("kind", ["lost", "foreign", "no cache", "broken", "nothing there"])
def test_cache_that_cannot_be_used_is_a_warning(
    pybuild: Pybuild, twin: Pybuild, registry: FakeRegistry, write: Write, kind: str
) -> None:
    """The build goes on without it, and says why."""
    project = write("FROM busybox\nRUN echo x > /x\n")
    cache = f"{registry.host}/cache:main"
    match kind:
        case "lost":
            pybuild.build(project, "--cache-to", cache)
            registry.forget("cache", json.loads(registry.manifest("cache", "main"))["layers"][0]["digest"])
            expected = "is not there any more"
        case "foreign":
            registry.push_image("cache", "main", [b""], {"moby.buildkit.cache.v0": "e30="})
            expected = "cache of BuildKit"
        case "no cache":
            registry.push_image("cache", "main", [b""], {})
            expected = "it holds no cache"
        case "broken":
            registry.push_image("cache", "main", [b""], {MEMBER: {"layers": 1}})
            expected = "the cache cannot be used"
        case _:
            expected = "nothing has that name"
    outcome = twin.build(project, "--cache-from", cache)

    assert len(ran(outcome)) == 1
    assert expected in outcome.err


def test_hostile_record_cannot_give_other_layers_to_a_step(
    pybuild: Pybuild, twin: Pybuild, registry: FakeRegistry, write: Write
) -> None:
    """A record that was bent to a tree of another shape is not used; the step runs."""
    project = write("FROM busybox\nRUN echo x > /x\nRUN echo y > /y\n")
    cache = f"{registry.host}/cache:main"
    pybuild.build(project, "--cache-to", cache)
    manifest = json.loads(registry.manifest("cache", "main"))
    config = json.loads(registry.blob("cache", manifest["config"]["digest"]))
    records = config[MEMBER]["records"]
    results = [record["result"] for record in records]
    for record, result in zip(records, reversed(results), strict=True):
        record["result"] = result
    raw = json.dumps(config).encode()
    manifest["config"] = {
        **manifest["config"],
        "digest": str(registry.push_blob("cache", raw)),
        "size": len(raw),
    }
    registry.push_manifest("cache", "main", manifest, manifest["mediaType"])
    outcome = twin.build(project, "--cache-from", cache, "-t", "app")

    assert len(ran(outcome)) == 2
    assert outcome.err.count("does not stand on what its step does") == 2
    assert twin.run("app", "cat", "/x", "/y") == "x\ny\n"


def test_failing_export(pybuild: Pybuild, registry: FakeRegistry, write: Write) -> None:
    """A warning; an error only where it was said to be one. The image is there either way."""
    project = write("FROM busybox\nRUN echo x > /x\n")
    cache = f"type=registry,ref={registry.host}/cache:main"
    registry.refuse("/v2/cache/", 403)
    ignored = pybuild.build(project, "--cache-to", cache, "-t", "app")
    failed = pybuild.build(project, "--cache-to", f"{cache},ignore-error=false", "-t", "again", code=1)

    assert "the cache was not exported" in ignored.err
    assert image_of(ignored)
    assert "error[registry-denied]" in failed.err
    assert pybuild.run("again", "cat", "/x") == "x\n"
    assert "unsupported" in pybuild.build(project, "--cache-to", "type=s3,bucket=b", code=1).err


def test_secrets_do_not_travel(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """Neither those of mounts nor values of arguments that are named like one."""
    project = write(
        "FROM busybox\nARG API_TOKEN\nARG LEVEL\nRUN --mount=type=secret,id=key test -s /run/secrets/key\n"
    )
    (tmp_path / "key").write_text("canary-of-a-mount")
    pybuild.build(
        project, "--secret", f"id=key,src={tmp_path}/key", "--build-arg", "API_TOKEN=canary-of-an-argument",
        "--build-arg", "LEVEL=seen-as-it-is", "--cache-to", f"type=local,dest={tmp_path}/cache,mode=max",
    )  # fmt: skip
    written = b"".join(path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file())

    assert b"seen-as-it-is" in written
    assert b"canary" not in written
