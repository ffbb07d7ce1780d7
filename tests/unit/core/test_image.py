"""Image configs: JSON both ways, what is kept, and what a hostile one does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.digest import Digest, InvalidDigest
from builder.core.image import Healthcheck, History, ImageConfig, chain_ids
from builder.core.platform import Platform

LINUX = Platform("linux", "amd64")
words = st.text(min_size=1, max_size=8)
argvs = st.none() | st.lists(words, max_size=3).map(tuple)
configs = st.builds(
    ImageConfig,
    platform=st.builds(
        Platform, st.just("linux"), st.sampled_from(["amd64", "arm"]), st.sampled_from(["", "v7"])
    ),
    created=st.sampled_from(["", "2024-01-02T03:04:05.000000006Z"]),
    author=st.text(max_size=5),
    user=st.text(max_size=5),
    env=st.lists(words, max_size=3).map(tuple),
    entrypoint=argvs,
    cmd=argvs,
    working_dir=st.sampled_from(["", "/", "/srv"]),
    labels=st.dictionaries(words, st.text(max_size=5), max_size=3),
    exposed_ports=st.lists(words, max_size=3, unique=True).map(lambda p: tuple(sorted(p))),
    volumes=st.lists(words, max_size=3, unique=True).map(lambda v: tuple(sorted(v))),
    stop_signal=st.sampled_from(["", "SIGQUIT"]),
    shell=argvs,
    healthcheck=st.none()
    | st.builds(
        Healthcheck, test=st.lists(words, min_size=1, max_size=2).map(tuple), retries=st.integers(0, 9)
    ),
    on_build=st.lists(words, max_size=2).map(tuple),
    args_escaped=st.booleans(),
    diff_ids=st.lists(st.binary(max_size=3).map(Digest.of), max_size=3).map(tuple),
    history=st.lists(
        st.builds(History, created_by=st.text(max_size=5), is_empty_layer=st.booleans()), max_size=3
    ).map(tuple),
    extra=st.just({}) | st.just({"Memory": 5}),
    extra_root=st.just({}) | st.just({"docker_version": "1", "container_config": {"Cmd": None}}),
)


@given(configs)
def test_json_leads_back(config: ImageConfig) -> None:
    """Reading what a config was written as gives that config, members that we do not know included."""
    assert ImageConfig.from_json(config.to_json()) == config


@given(configs)
def test_json_is_stable(config: ImageConfig) -> None:
    """An image that is read and written keeps its bytes, and with them its id."""
    data = config.to_json()

    assert ImageConfig.from_json(data).to_json() == data


def test_unset_is_not_empty() -> None:
    """ENTRYPOINT [] is another thing than no ENTRYPOINT."""
    unset = json.loads(ImageConfig(platform=LINUX).to_json())["config"]
    empty = json.loads(ImageConfig(platform=LINUX, entrypoint=(), cmd=()).to_json())["config"]

    assert "Entrypoint" not in unset
    assert empty["Entrypoint"] == []
    assert empty["Cmd"] == []


def test_label_order_is_no_identity() -> None:
    """Labels and ports are sets: the order in which they were given makes no other image."""
    one = ImageConfig(platform=LINUX, labels={"a": "1", "b": "2"}, exposed_ports=("80/tcp", "443/tcp"))
    two = ImageConfig(platform=LINUX, labels={"b": "2", "a": "1"}, exposed_ports=("443/tcp", "80/tcp"))

    assert one.to_json() == two.to_json()


def test_null_is_as_good_as_absent() -> None:
    """Go writes null for what is not set; it reads as not set."""
    nulls: dict[str, Any] = dict.fromkeys(
        ("User", "Env", "Entrypoint", "Cmd", "Labels", "ExposedPorts", "Volumes", "OnBuild", "Healthcheck")
    )
    document = {"os": "linux", "architecture": "amd64", "config": nulls, "rootfs": None, "history": None}

    assert ImageConfig.from_json(json.dumps(document).encode()) == ImageConfig(platform=LINUX)


def test_single_string_is_a_list_of_one() -> None:
    """Old images have a command that is just a string."""
    document = {"os": "linux", "architecture": "amd64", "config": {"Entrypoint": "/init"}}

    assert ImageConfig.from_json(json.dumps(document).encode()).entrypoint == ("/init",)


def test_bytes_that_are_no_text_become_question_marks() -> None:
    """A label that is not UTF-8 is written as Go writes it: U+FFFD for every byte."""
    config = ImageConfig(platform=LINUX, labels={"name": "caf\udce9"})

    assert json.loads(config.to_json())["config"]["Labels"] == {"name": "caf�"}


BAD_CONFIGS: list[object] = [
    [], "text", {"Env": 5}, {"Env": {"A": "b"}}, {"Env": [1]}, {"Cmd": 5}, {"Cmd": [{}]}, {"Labels": ["a"]},
    {"Labels": {"a": 1}}, {"ExposedPorts": ["80"]}, {"Volumes": "x"}, {"Healthcheck": "x"},
    {"Healthcheck": {"Interval": "1s"}}, {"OnBuild": {}}, {"User": 0},
]  # fmt: skip
BAD_MEMBERS: list[dict[str, object]] = [
    {"rootfs": []}, {"rootfs": {"diff_ids": 5}}, {"rootfs": {"diff_ids": [5]}}, {"history": {}},
    {"history": ["x"]}, {"history": [{"created_by": 5}]}, {"created": 0},
    *({"config": config} for config in BAD_CONFIGS),
]  # fmt: skip
BAD_DOCUMENTS = [
    [], "text", 5, {}, {"os": "linux"}, {"os": 5, "architecture": "x"}, {"os": "x", "architecture": ["x"]},
    *({"os": "linux", "architecture": "amd64", **members} for members in BAD_MEMBERS),
]  # fmt: skip


@pytest.mark.parametrize("document", BAD_DOCUMENTS, ids=json.dumps)
def test_hostile_document(document: object) -> None:
    """Whatever the JSON is, reading it either works or raises what the docstring names."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        ImageConfig.from_json(json.dumps(document).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 200_000])
def test_hostile_bytes(data: bytes) -> None:
    """What is no JSON, or nested without end, is a ValueError."""
    with pytest.raises(ValueError):
        ImageConfig.from_json(data)


def test_hostile_diff_id() -> None:
    """A diff ID that is no digest is refused where it is read."""
    document = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": ["sha256:../../x"]}}
    with pytest.raises(InvalidDigest):
        ImageConfig.from_json(json.dumps(document).encode())


def test_chain_ids() -> None:
    """The first chain id is the diff ID; every other is of the one below and the layer (OCI config.md)."""
    a, b, c = (Digest.of(x) for x in (b"a", b"b", b"c"))
    ab = Digest.of(f"{a} {b}".encode())

    assert chain_ids(()) == ()
    assert chain_ids((a, b, c)) == (a, ab, Digest.of(f"{ab} {c}".encode()))


@pytest.mark.parametrize("half", [b"\\ud800", b"\xed\xa0\x80"])
def test_half_a_character(half: bytes) -> None:
    """What no output could print is read as Docker reads it."""
    data = b'{"os": "linux", "architecture": "amd64", "author": "a%sb"}' % half

    assert ImageConfig.from_json(data).author in ("a\ufffdb", "a\ufffd\ufffd\ufffdb")
