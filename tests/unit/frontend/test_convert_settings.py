"""What the command line says of every RUN, and which of it is identity."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from builder.core.errors import PybuildError, Unsupported
from builder.core.limits import Limits, StepSettings, Ulimit
from builder.llb.definition import Vertex
from builder.llb.ops import ExecOp
from tests.unit.frontend.frontend_bridge import convert

_TEXT = "FROM busybox\nRUN make\n"
_GRANTED = StepSettings(entitlements=frozenset({"security.insecure"}))


def _run(text: str = _TEXT, **options: Any) -> tuple[Vertex, ExecOp]:
    vertex = list(convert(text, **options).definition)[-1][1]
    assert isinstance(vertex.op, ExecOp)
    return vertex, vertex.op


def _digest(**values: Any) -> str:
    return str(_run(settings=StepSettings(**values))[0].digest())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"hosts": (("db", "10.0.0.1"),)}),
        ({"hosts": (("db", "10.0.0.1"),)}, {"hosts": (("web", "10.0.0.1"),)}),
        ({}, {"ulimits": (Ulimit("nofile", 1, 2),)}),
        ({"ulimits": (Ulimit("nofile", 1, 1),)}, {"ulimits": (Ulimit("nofile", 1, 2),)}),
        ({}, {"shm_size": 1 << 20}),
        ({}, {"cgroup_parent": "a"}),
    ],
)
def test_settings_that_are_identity(one: dict[str, Any], other: dict[str, Any]) -> None:
    """2.1: names of hosts, ulimits, the size of /dev/shm and the cgroup parent are in the key."""
    assert _digest(**one) != _digest(**other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"hosts": (("db", "10.0.0.1"),)}, {"hosts": (("db", "10.0.0.2"),)}),
        ({}, {"limits": Limits(memory=64 << 20, nano_cpus=1, cpu_shares=2, cpuset_cpus="0", pids=3)}),
        ({}, {"entitlements": frozenset({"network.host", "security.insecure"})}),
    ],
)
def test_settings_that_are_not(one: dict[str, Any], other: dict[str, Any]) -> None:
    """2.1: addresses and limits of memory and processors are not; nor is what --allow grants."""
    assert _digest(**one) == _digest(**other)


def test_settings_reach_every_run() -> None:
    """Addresses and limits too, though no identity tells of them."""
    settings = StepSettings(hosts=(("db", "::1"), ("db", "10.0.0.2")), limits=Limits(pids=3))
    _, op = _run(settings=settings)

    assert (("db", "db"), ("::1", "10.0.0.2"), 3) == (op.host_names, op.host_addresses, op.limits.pids)


def test_security() -> None:
    """1.8 --security: sandbox needs nothing, insecure the caller's consent; the two are different steps."""
    plain = _run("FROM busybox\nRUN --security=sandbox make\n")
    insecure = _run("FROM busybox\nRUN --security=insecure make\n", settings=_GRANTED)

    assert ("sandbox", "insecure") == (plain[1].security, insecure[1].security)
    assert plain[0].digest() == _run()[0].digest()
    assert plain[0].digest() != insecure[0].digest()


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("RUN --security=insecure x", "not-allowed", "security.insecure is not allowed"),
        ("RUN --security=none x", "invalid-flag", 'invalid security mode "none"'),
        ("RUN --device=vendor.com/class=gpu x", "unsupported", "RUN --device is not supported yet"),
    ],
)
def test_refused_flags_of_run(line: str, code: str, message: str) -> None:
    """With the flag's place; and in a trigger of a stage as well."""
    with pytest.raises(PybuildError) as caught:
        convert(f"FROM busybox\n{line}\n")
    with pytest.raises(PybuildError) as triggered:
        convert(f"FROM busybox AS one\nONBUILD {line}\nFROM one\n")

    assert (code, message) == (caught.value.code, caught.value.message)
    assert caught.value.location is not None
    assert (2, 5) == (caught.value.location.start_line, caught.value.location.start_column)
    assert code == triggered.value.code


def test_insecure_in_a_stage_that_is_not_built() -> None:
    """Nobody has to allow what does not run."""
    convert("FROM busybox AS unused\nRUN --security=insecure x\nFROM busybox\n")


def test_hostname() -> None:
    """1.5 BUILDKIT_SANDBOX_HOSTNAME names the machine that RUN sees, and is in the key."""
    vertex, op = _run(build_args={"BUILDKIT_SANDBOX_HOSTNAME": "box"})

    assert op.hostname == "box"
    assert vertex.digest() != _run()[0].digest()
    assert convert(_TEXT, build_args={"BUILDKIT_SANDBOX_HOSTNAME": "box"}).warnings == ()


@pytest.mark.parametrize(
    "value", ["docker/dockerfile:1", "docker.io/docker/dockerfile:labs", "dockerfile.v0"]
)
def test_syntax_argument(value: str) -> None:
    """1.5 BUILDKIT_SYNTAX with Docker's own frontend is the language built in."""
    assert convert(_TEXT, build_args={"BUILDKIT_SYNTAX": value}).warnings == ()


def test_syntax_argument_with_another_frontend() -> None:
    """It is refused, and counts more than the directive."""
    text = f"# syntax=docker/dockerfile:1\n{_TEXT}"
    with pytest.raises(Unsupported, match="other/frontend"):
        convert(text, build_args={"BUILDKIT_SYNTAX": "other/frontend"})
    convert("# syntax=other/frontend\n" + _TEXT, build_args={"BUILDKIT_SYNTAX": "docker/dockerfile"})


_STAGES = """\
FROM busybox AS one
RUN 1
COPY a /
WORKDIR /w
FROM one AS Two
RUN 2
FROM busybox
COPY --from=two / /
RUN 3
"""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"one"}, ["RUN 1", "COPY a /"]),
        ({"TWO"}, ["RUN 2"]),
        ({"one", "two"}, ["RUN 1", "COPY a /", "RUN 2"]),
        ({"2"}, []),
    ],
)
def test_no_cache_filter(names: set[str], expected: list[str]) -> None:
    """2.1 --no-cache-filter: RUN and COPY of the stages of these names; not of their children."""
    converted = convert(_STAGES, uncached_stages=frozenset(names))
    found = [vertex.name.partition("] ")[2] for _, vertex in converted.definition if vertex.ignores_cache]

    assert expected == found


def test_no_cache_filter_of_no_stage() -> None:
    """A name that no stage has is mentioned."""
    warnings = convert(_STAGES, uncached_stages=frozenset({"one", "three"})).warnings
    (warning,) = (warning for warning in warnings if warning.rule is None)

    assert warning.message == 'no stage is called "three"'


def test_old_digests_stay() -> None:
    """A field that is at its default is left out: the digests of before hold."""
    op = ExecOp(args=("make",))
    spelled = dataclasses.replace(op, ulimits=(), shm_size=0, cgroup_parent="", host_addresses=())

    assert Vertex(op=op).digest() == Vertex(op=spelled).digest()
