"""RUN --mount: what its keys may be, what they become, and which of them are refused."""

from __future__ import annotations

import pytest
from frontend_bridge import convert

from builder.core.errors import PybuildError
from builder.core.location import Location
from builder.frontend.dockerfile.mount_flags import MountFlag, read_mount
from builder.frontend.dockerfile.node import Word
from builder.frontend.interface import FrontendResult
from builder.llb.ops import CacheMount, ExecOp, InputMount, OtherMount, SecretMount, SshMount, TmpfsMount

_PLACE = Location(1, 1, 1, 1)


def read(text: str) -> MountFlag:
    return read_mount(Word(text, _PLACE), lambda word: word.text)


def op_of(flags: str, before: str = "", **options: object) -> ExecOp:
    build_args = options.get("build_args")
    result = convert(
        f"FROM busybox AS tools\nFROM busybox\n{before}\nRUN {flags} x",
        build_args=build_args if isinstance(build_args, dict) else None,
    )
    return last(result)


def last(result: FrontendResult) -> ExecOp:
    op = list(result.definition)[-1][1].op
    assert isinstance(op, ExecOp)
    return op


def trees(op: ExecOp) -> list[InputMount]:
    return list(op.mounts[1:])


def other(flags: str, before: str = "", **options: object) -> OtherMount:
    (mount,) = op_of(flags, before, **options).other_mounts
    return mount


def test_type_is_bind_unless_it_is_said() -> None:
    """Keys and types in any case; aliases; a bind is read-only, the others are not."""
    flag = read("TYPE=Cache,DST=/x,SRC=/y,RO")

    assert ("cache", "/x", "/y", True) == (flag.type, flag.target, flag.source, flag.is_read_only)
    assert "bind" == read("target=/x").type
    assert "/x" == read("destination=/x").target


@pytest.mark.parametrize(
    ("text", "is_read_only"),
    [
        ("target=/x", None), ("target=/x,ro", True), ("target=/x,readonly=true", True),
        ("target=/x,rw", False),
        ("target=/x,readwrite=false", True), ("target=/x,ro=0", False),
        ("target=/x,ro,rw", False),
        ("target=/x,rw,ro", True),
    ],
)  # fmt: skip
def test_read_only_and_read_write(text: str, is_read_only: bool | None) -> None:
    """The last of both counts."""
    assert is_read_only == read(text).is_read_only


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1), ("10b", 10), ("1k", 1024), ("1KB", 1024), ("64m", 64 << 20), ("1.5GiB", 3 << 29),
        ("2 g", 2 << 30),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    """In powers of 1024, with or without the b."""
    assert size == read(f"type=tmpfs,target=/x,size={text}").size


def test_fields_are_csv() -> None:
    """A comma in a value is possible in quotes around the whole field."""
    flag = read('type=cache,"target=/a,b","id=say ""x"""')

    assert ("/a,b", 'say "x"') == (flag.target, flag.id)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type=cach,target=/x", 'did you mean "cache"?'),
        ("targt=/x", 'did you mean "target"?'),
        ("type=cache,target=/x,sharing=lock", 'unsupported sharing value "lock"'),
        ("type=cache,target=/x,sharing=lockd", 'did you mean "locked"?'),
        ("target", "must be a key=value pair"),
        ("target=/x,mode=0700", '"mode" is not allowed for a bind mount'),
        ("type=tmpfs,target=/x,uid=1", '"uid" is not allowed for a tmpfs mount'),
        ("type=bind,target=/x,size=1", '"size" is not allowed for a bind mount'),
        ("type=bind,target=/x,sharing=shared", '"sharing" is not allowed for a bind mount'),
        ("type=cache,target=/x,required", '"required" is not allowed for a cache mount'),
        ("type=tmpfs,target=/x,source=/y", '"source" is not allowed for a tmpfs mount'),
        ("type=secret,id=x,from=y", '"from" is not allowed for a secret mount'),
        ("type=secret,id=x,sharing=shared", '"sharing" is not allowed for a secret mount'),
        ("type=ssh,source=y", '"source" is not allowed for a ssh mount'),
        ("type=cache,target=/x,mode=rwx", 'invalid value "rwx" for "mode"'),
        ("type=cache,target=/x,mode=0999", 'invalid value "0999" for "mode"'),
        ("type=cache,target=/x,uid=nobody", "names are not known"),
        ("type=cache,target=/x,gid=-1", 'invalid value "-1" for "gid"'),
        ("type=cache,target=/x,uid=4294967296", "invalid value"),
        ("target=/x,ro=perhaps", 'the value of "readonly" is "perhaps"'),
        ("type=tmpfs,target=/x,size=big", 'invalid size "big"'),
        ("type=tmpfs,target=/x,size=-1", "invalid size"),
        ('target="/x', "a quote in the middle"),
        ('"target=/x', "is not closed"),
        ("", 'unexpected key ""'),
        ("bind-propagation=shared,target=/x", "unexpected key"),
    ],
)
def test_wrong_values(text: str, message: str) -> None:
    """Each is refused at its place, with a hint."""
    with pytest.raises(PybuildError) as caught:
        read(text)

    assert "invalid-flag" == caught.value.code
    assert message in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.location == _PLACE


def test_values_are_expanded_but_for_from() -> None:
    """A variable may be in any value; in from it is an error, in stages that nobody needs too."""
    mount = other("--mount=type=$kind,target=$dir/x,id=${id:-a}", "ARG kind=cache\nENV dir=/d")

    assert isinstance(mount, CacheMount)
    assert ("/d/x", "/a") == (mount.target, mount.id)
    with pytest.raises(PybuildError, match="does not support variables"):
        convert("FROM busybox\nRUN --mount=from=$x,target=/x y\nFROM busybox\nRUN z")


def test_relative_targets_are_below_the_working_directory() -> None:
    """Without a target a bind is on the working directory itself; the order is that of the targets."""
    op = op_of("--mount=target=b --mount=source=x --mount=target=/a", "WORKDIR /w")

    assert ["/a", "/w", "/w/b"] == [mount.target for mount in trees(op)]


@pytest.mark.parametrize(
    "target",
    ["/", ".", "..", "/x/..", "/proc", "/proc/x", "/sys", "/sys/fs/cgroup", "/dev", "/dev/x", "/x/../proc/y"],
)
def test_refused_targets(target: str) -> None:
    """The root, and the kernel's file systems."""
    with pytest.raises(PybuildError) as caught:
        op_of(f"--mount=type=cache,target={target}")

    assert "invalid-flag" == caught.value.code


def test_tmpfs_may_lie_below_dev() -> None:
    """A larger /dev/shm."""
    shm = other("--mount=type=tmpfs,target=/dev/shm,size=1g")

    assert TmpfsMount(target="/dev/shm", size=1 << 30) == shm


def test_bind_of_a_stage() -> None:
    """A path of a stage, found in it when the step runs, keyed by content."""
    op = op_of("--mount=from=TOOLS,source=../bin,target=/x,rw")
    expected = InputMount(input=1, target="/x", selector="/bin", is_content_keyed=True)

    assert [expected] == trees(op)


def test_bind_of_the_context_is_a_copy() -> None:
    """Equal parts of the context are one step, whoever mounts them."""
    result = convert("FROM busybox\nRUN --mount=source=a,target=/x y\nRUN --mount=source=./a,target=/z y")
    names = [vertex.name for _, vertex in result.definition if "for mounts" in vertex.name]

    assert ["[internal] copy /a of the build context for mounts"] == names
    assert [
        InputMount(input=1, target="/z", selector="/part", is_read_only=True, is_content_keyed=True)
    ] == trees(last(result))


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("later", "stage-defined-later"),
        ("own", "stage-cycle"),
        ("0", "stage-not-found"),
    ],
)
def test_wrong_origins(origin: str, code: str) -> None:
    """from is a stage above, by its name."""
    own = f"FROM busybox AS own\nRUN --mount=from={origin},target=/x y"
    text = f"FROM busybox\n{own}\nFROM busybox AS later\nFROM own\nRUN z"
    with pytest.raises(PybuildError) as caught:
        convert(text)

    assert code == caught.value.code
    if origin == "later":
        assert "cannot mount from stage" in caught.value.message


def test_stage_that_is_only_mounted_is_built() -> None:
    """A mount's stage is needed as a COPY's is."""
    result = convert("FROM busybox AS a\nRUN made\nFROM busybox\nRUN --mount=from=a,target=/x y")

    assert any("RUN made" in vertex.name for _, vertex in result.definition)


def test_cache_ids() -> None:
    """The id is the target as written, cleaned, before WORKDIR; BUILDKIT_CACHE_MOUNT_NS stands before it."""
    assert "/x/z" == getattr(other("--mount=type=cache,target=x/./y/../z", "WORKDIR /w"), "id", None)
    assert "//x" == getattr(other("--mount=type=cache,target=/x/"), "id", None)
    space = other("--mount=type=cache,target=/x,id=i", build_args={"BUILDKIT_CACHE_MOUNT_NS": "n"})
    assert "n/i" == getattr(space, "id", None)


def test_caches() -> None:
    """All the keys of a cache."""
    mount = other(
        "--mount=type=cache,target=/x,id=i,sharing=private,from=tools,source=s,mode=0700,uid=1,gid=2,ro"
    )
    expected = CacheMount(
        target="/x", input=1, selector="/s", is_read_only=True, mode=0o700, uid=1, gid=2, id="/i",
        sharing="private",
    )  # fmt: skip

    assert expected == mount
    assert ("/i", "private") == (getattr(mount, "id", ""), getattr(mount, "sharing", ""))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id=a", SecretMount(id="a", target="/run/secrets/a")),
        ("source=a", SecretMount(id="a", target="/run/secrets/a")),
        ("id=d/a", SecretMount(id="d/a", target="/run/secrets/a")),
        ("target=/etc/key", SecretMount(id="key", target="/etc/key")),
        ("id=a,target=key", SecretMount(id="a", target="/w/key")),
        ("id=a,env=A", SecretMount(id="a", variable="A")),
        ("id=a,env=A,dst=/b", SecretMount(id="a", variable="A", target="/b")),
        (
            "id=a,required,mode=0440,uid=1,gid=2",
            SecretMount(id="a", target="/run/secrets/a", is_required=True, mode=0o440, uid=1, gid=2),
        ),
    ],
)
def test_secrets(text: str, expected: SecretMount) -> None:
    """Ids and targets follow from each other; env alone is no file."""
    assert expected == other(f"--mount=type=secret,{text}", "WORKDIR /w")


@pytest.mark.parametrize("text", ["", ",id=a,source=a", ",id=a,env=A=B", ",id=a,env="])
def test_wrong_secrets(text: str) -> None:
    """A secret has one name, and so has its variable."""
    with pytest.raises(PybuildError) as caught:
        op_of(f"--mount=type=secret{text}")

    assert "invalid-flag" == caught.value.code


def test_secret_variable_is_hidden_in_the_name_of_the_step() -> None:
    """Whatever the variable held before."""
    result = convert("FROM busybox\nENV KEY=public\nRUN --mount=type=secret,id=k,env=KEY use $KEY")

    assert list(result.definition)[-1][1].name.endswith("use ****")


def test_agents() -> None:
    """Numbered from 0; the first one's socket is in SSH_AUTH_SOCK, unless that is set."""
    op = op_of(
        "--mount=type=ssh --mount=type=ssh,id=b,mode=0666,uid=1,gid=2 --mount=type=ssh,target=s,required"
    )
    expected = (
        SshMount(id="default", target="/run/buildkit/ssh_agent.0"),
        SshMount(id="b", target="/run/buildkit/ssh_agent.1", mode=0o666, uid=1, gid=2),
        SshMount(id="default", target="/s", is_required=True),
    )

    assert expected == op.other_mounts
    assert "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0" == op.env[-1]
    mine = op_of("--mount=type=ssh", "ENV SSH_AUTH_SOCK=/mine")
    assert ["SSH_AUTH_SOCK=/mine"] == [entry for entry in mine.env if entry.startswith("SSH")]


def test_keys_without_effect_are_said() -> None:
    """Docker reads over them; a warning names them."""
    result = convert("FROM busybox\nRUN --mount=target=/x,id=y z")

    assert ['"id" has no effect on a bind mount'] == [warning.message for warning in result.warnings]


def test_names_of_steps_have_the_stage_where_something_is_mounted() -> None:
    """As in Docker, for which a mount brings another stage with it."""
    result = convert("FROM busybox\nRUN --mount=type=tmpfs,target=/x y")

    assert list(result.definition)[-1][1].name.startswith("[stage-0 2/2] ")
