"""Base images of builds, and mirrors, as bad as they can be: FROM takes what is right, or says why not."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.core.descriptor import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST
from builder.core.digest import Digest
from tests.support.cli import BUG, Outcome, write_project
from tests.support.driven import Driven
from tests.support.faulty import Endless, Fault, Trickle, all_of, head, raw, reset, spoken
from tests.support.images import layer_of, read_archive
from tests.support.processes import assert_intact
from tests.support.registry import FakeRegistry

pytestmark = pytest.mark.e2e

_PASSWORD = "hunter2-canary"
_FILES = {"a": b"a\n", "deep/b": b"b" * 10_000}
_TAR = layer_of(_FILES)


class Place(NamedTuple):
    """A registry with a base image, another one that has nothing, and the command with a login for both."""

    registry: FakeRegistry
    mirror: FakeRegistry
    command: Driven
    context: Path

    def build(self, base: str, *, code: int = 0) -> Outcome:
        write_project(self.context, f"FROM {self.registry.host}/{base}\nCOPY Dockerfile /\n")
        return self.command("build", "--progress", "plain", "-t", "made", self.context, code=code)

    def check(self) -> None:
        """What was made has the files of the base."""
        self.command("save", "-o", self.context.with_name("made.tar"), "made")
        tree = read_archive(self.context.with_name("made.tar")).tree()
        assert {name for name, node in tree.items() if node.kind == "0"} == {*_FILES, "Dockerfile"}
        assert_intact(self.command.root)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FakeRegistry() as registry, FakeRegistry() as mirror:
        registry.push_image("app", "1", [gzip.compress(_TAR)], {})
        command = Driven(tmp_path / "store", tmp_path / "home")
        docker = command.home / ".docker/config.json"
        docker.parent.mkdir()
        auth = base64.b64encode(f"me:{_PASSWORD}".encode()).decode()
        docker.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
        yield Place(registry, mirror, command, tmp_path / "context")


def _check_failed(outcome: Outcome, code: str) -> None:
    assert outcome.err.count("error[") == 1, outcome.err
    assert f"error[{code}]" in outcome.err, outcome.err
    assert BUG not in outcome.err
    assert "canary" not in outcome.err
    assert "\x1b" not in outcome.err


@pytest.mark.parametrize("status", [408, 429, 503])
def test_busy_registry(status: int, place: Place) -> None:
    """As with pull."""
    place.registry.fail("GET ", status, times=3)
    place.build("app:1")

    place.check()


@pytest.mark.parametrize("reference", ["app:1@{}", "app@{}"])
def test_pinned_base_of_other_bytes(reference: str, place: Place) -> None:
    """Whatever the tag leads to: the digest decides."""
    digest = Digest.of(place.registry.manifest("app", "1"))
    place.registry.corrupt("/manifests/", times=1)
    failed = place.build(reference.format(digest), code=1)

    _check_failed(failed, "digest-mismatch")
    place.build(reference.format(digest))
    place.check()


def _bomb() -> bytes:
    """Two hundred mebibytes in two hundred kilobytes."""
    return gzip.compress(layer_of({"zeros": bytes(1 << 20)})[:-1024], 9) * 200


# What lies at the layer's digest, and its media type: no tar of the config's diff ID.
LAYERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "another-tar": (lambda: gzip.compress(layer_of({"a": b"x"})), OCI_LAYER_GZIP),
    "bomb": (_bomb, OCI_LAYER_GZIP),
    "html": (lambda: b"<html>", OCI_LAYER_GZIP),
    "empty": (lambda: b"", OCI_LAYER_GZIP),
    "gzip-cut": (lambda: gzip.compress(_TAR)[:-30], OCI_LAYER_GZIP),
    "gzip-of-noise": (lambda: gzip.compress(bytes(range(1, 256)) * 9), OCI_LAYER_GZIP),
    "zstd-cut": (lambda: b"\x28\xb5\x2f\xfd\x04\x00", OCI_LAYER_ZSTD),
    "zstd-of-two-gigabytes": (
        # A frame whose window is of 2^41 bytes.
        lambda: b"\x28\xb5\x2f\xfd\x00\xf8" + bytes(9),
        OCI_LAYER_ZSTD,
    ),
    "tar-cut": (lambda: _TAR[:700], OCI_LAYER),
    "path-outside": (lambda: layer_of({"../../outside": b"x"}), OCI_LAYER),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_that_are_none(name: str, place: Place) -> None:
    """One error; nothing of it is in a tree, and the right layer is taken afterwards."""
    make, media_type = LAYERS[name]
    good = place.registry.manifest("app", "1")
    document, blob = json.loads(good), make()
    document["layers"] = [
        {
            "mediaType": media_type,
            "digest": str(place.registry.push_blob("app", blob)),
            "size": len(blob),
        }
    ]
    place.registry.push_manifest("app", "1", json.dumps(document).encode(), OCI_MANIFEST)
    _check_failed(place.build("app:1", code=1), "broken-image")
    assert not list(place.context.parent.rglob("outside"))

    place.registry.push_manifest("app", "2", good, OCI_MANIFEST)
    place.build("app:2")
    place.check()


def test_hundreds_of_layers(place: Place) -> None:
    """They are all the same one, as of steps that do nothing; it is fetched and unpacked."""
    place.registry.push_image("app", "1", [gzip.compress(_TAR)] * 300, {})
    place.build("app:1")

    place.check()
    assert sum("/blobs/" in line for line in place.registry.requests) == 2


_MANIFEST = "/manifests/"
MIRRORS: dict[str, Fault] = {
    "empty": lambda m: m.empty("app"),
    "busy": lambda m: m.fail(".", 503),
    "limited": lambda m: m.fail(".", 429, headers={"Retry-After": "3000"}),
    "forbids": lambda m: m.fail(".", 403),
    "wants-a-login": lambda m: m.require_basic("me", _PASSWORD),
    "wants-a-token-of-a-login": lambda m: m.require_token("me", _PASSWORD),
    "resets": spoken(".", reset()),
    "stalls": spoken(".", Trickle(b"", b"")),
    "trickles": spoken(_MANIFEST, Trickle(head())),
    "is-a-hotel": lambda m: m.fail("/blobs/", 500, body=b"<html>log in</html>"),
    "speaks-no-http": spoken(".", raw(b"220 mail\r\n")),
    "redirects-in-circles": lambda m: m.redirect(".", f"{m.url}*"),
    "manifest-without-end": spoken(_MANIFEST, Endless(head(), b"x" * 65536)),
    "loses-blobs": lambda m: m.fail("/blobs/", 404),
    "cuts-blobs": lambda m: m.truncate("/blobs/", 20, times=None),
    "fails-after-a-while": all_of(
        lambda m: m.change("/blobs/", lambda a: a, times=1), lambda m: m.fail("/blobs/", 500)
    ),
}


@pytest.mark.parametrize("name", MIRRORS)
def test_mirror_that_fails(name: str, place: Place) -> None:
    """The registry has it; its login is shown to no mirror, nor one that was made for another name."""
    place.mirror.push_image("app", "1", [gzip.compress(_TAR)], {})
    place.registry.require_basic("me", _PASSWORD)
    (place.command.home / "config.toml").write_text(
        f'[registry."{place.registry.host}"]\nmirrors = ["{place.mirror.url}"]\n'
    )
    MIRRORS[name](place.mirror)
    if name in ("stalls", "trickles"):
        place.command.patience = place.command.patience._replace(silence_s=0.15, document_s=0.3)
    place.build("app:1")

    place.check()
    assert place.mirror.log
    assert not [request for request in place.mirror.log if "authorization" in request.headers]
    assert "authorization" in place.registry.log[-1].headers


def test_mirror_with_a_login_of_its_own(place: Place) -> None:
    """Each server gets the login that was made for it."""
    place.mirror.push_image("app", "1", [gzip.compress(_TAR)], {})
    auths = {
        place.registry.host: {"auth": base64.b64encode(f"me:{_PASSWORD}".encode()).decode()},
        place.mirror.host: {"auth": base64.b64encode(b"you:another").decode()},
    }
    (place.command.home / ".docker/config.json").write_text(json.dumps({"auths": auths}))
    (place.command.home / "config.toml").write_text(
        f'[registry."{place.registry.host}"]\nmirrors = ["{place.mirror.url}"]\n'
    )
    place.mirror.require_basic("you", "another")
    place.build("app:1")

    place.check()
    assert place.registry.log == []
