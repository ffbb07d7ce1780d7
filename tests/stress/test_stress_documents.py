"""Documents of a registry, changed at random: whatever is in them, a command works or says one thing."""

from __future__ import annotations

import copy
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from builder.core.descriptor import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from builder.core.digest import Digest
from tests.support.cli import BUG, Outcome, write_project
from tests.support.driven import Driven
from tests.support.faults import scale, seed
from tests.support.images import layer_of
from tests.support.processes import assert_intact
from tests.support.registry import FakeRegistry

pytestmark = [pytest.mark.stress, pytest.mark.timeout(0)]

_STRANGE: list[object] = [
    None, True, 0, -1, 1 << 70, 1.5, "", "x", "\x00", "\ud800", "..", "/etc/passwd", [], {}, [[]], [None],
    {"a": 1}, f"sha256:{'0' * 64}", "a" * 5000, ["\x1b[2J"], "9" * 400, "2026-13-45T99:99:99Z", {"": None},
]  # fmt: skip
_CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-01-01T00:00:00Z",
    "config": {
        "User": "a",
        "Env": ["A=b"],
        "Cmd": ["x"],
        "Entrypoint": ["y"],
        "WorkingDir": "/",
        "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/v": {}},
        "Shell": ["sh"],
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1, "Retries": 3},
        "OnBuild": ["ENV x=y"],
    },
    "rootfs": {"type": "layers", "diff_ids": []},
    "history": [
        {"created": "2026-01-01T00:00:00Z", "created_by": "x", "empty_layer": True},
        {"created_by": "y"},
    ],
}


def test_documents_at_random(tmp_path: Path) -> None:
    """No traceback, no control character, no second error, no wrong byte in the store."""
    number = seed()
    chooser = random.Random(number)
    rounds = max(20, round(1500 * scale()))
    print(f"PYBUILD_SEED={number}: {rounds} rounds")
    worked = 0
    with FakeRegistry() as registry:
        for count in range(rounds):
            registry.heal()
            documents = _push(registry, chooser)
            command = Driven(tmp_path / "store", tmp_path / "home")
            outcomes = [command("pull", f"{registry.host}/app:1", code=None)]
            if outcomes[0].code == 0:
                worked += 1
                outcomes += _use(command, registry, tmp_path)
            assert_intact(command.root)
            for outcome in outcomes:
                assert _is_fine(outcome), f"PYBUILD_SEED={number}, round {count}: {documents}\n{outcome.err}"
            shutil.rmtree(command.root)

    assert 0 < worked < rounds


def _push(registry: FakeRegistry, chooser: random.Random) -> object:
    """An image, one of whose documents is strange."""
    strange = chooser.choice(["config", "manifest", "index", "token"])

    def maybe(name: str, document: dict[str, Any]) -> Any:
        return _changed(document, chooser) if name == strange else document

    layer = layer_of({"a": b"a"})
    known = {**_CONFIG, "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(layer))]}}
    config = maybe("config", known)
    manifest = maybe("manifest", {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": _entry(registry, OCI_CONFIG, json.dumps(config).encode()),
        "layers": [_entry(registry, OCI_LAYER, layer)],
        "annotations": {"a": "b"},
    })  # fmt: skip
    raw = json.dumps(manifest).encode()
    digest = registry.push_manifest("app", "1", raw, OCI_MANIFEST)
    platform = {"os": "linux", "architecture": "amd64"}
    entry = {"mediaType": OCI_MANIFEST, "digest": str(digest), "size": len(raw), "platform": platform}
    index = maybe("index", {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]})
    if strange == "index":
        registry.push_manifest("app", "1", json.dumps(index).encode(), OCI_INDEX)
    token = maybe("token", {"token": "x", "access_token": "x", "expires_in": 3, "refresh_token": "r"})
    if strange == "token":
        registry.require_token()
        registry.accept_token("x")
        registry.change("/token", lambda a: a._replace(body=json.dumps(token).encode()))
    return {"config": config, "manifest": manifest, "index": index, "token": token}[strange]


def _entry(registry: FakeRegistry, media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": str(registry.push_blob("app", data)), "size": len(data)}


def _changed(document: Any, chooser: random.Random) -> Any:
    changed = json.loads(json.dumps(document))
    for _ in range(chooser.choice([1, 1, 1, 2, 3])):
        places = _places(changed)
        if not places:
            break
        holder, key = chooser.choice(places)
        if chooser.random() < 0.75:
            holder[key] = copy.deepcopy(chooser.choice(_STRANGE))
        else:
            del holder[key]
    return changed


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every member, as what holds it and its key."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [(value, key) for key in keys] + [place for key in keys for place in _places(value[key])]


def _use(command: Driven, registry: FakeRegistry, directory: Path) -> list[Outcome]:
    name = f"{registry.host}/app:1"
    context = write_project(directory / "context", f"FROM {name}\nENV x=y\nCOPY Dockerfile /z\n")
    return [
        command(*words, code=None)
        for words in (
            ("inspect", name),
            ("history", name),
            ("images",),
            ("save", "-o", directory / "saved.tar", name),
            ("build", "--progress", "plain", context),
            ("index", "inspect", name),
        )
    ]


def _is_fine(outcome: Outcome) -> bool:
    errors = outcome.err.count("error[")
    return BUG not in outcome.err and "\x1b" not in outcome.err and errors == (1 if outcome.code else 0)
