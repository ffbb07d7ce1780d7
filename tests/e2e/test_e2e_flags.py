"""Every flag of `docker buildx build` has its effect here, or is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import BUG, Pybuild
from tests.support.images import read_archive
from tests.support.stores import Write

pytestmark = pytest.mark.e2e

_DOCKERFILE = """\
FROM busybox AS first
ARG WHO=nobody
RUN echo "$WHO" > /who
FROM first AS second
RUN echo second > /second
"""

# What `docker buildx build --help` (and, with BUILDX_EXPERIMENTAL=1, its hidden part) lists and we lack,
# with a value that Docker would take.
_REFUSED = {"--builder": "default", "--call": "check"}
_BUILT = (
    "--add-host --allow --annotation --attest --build-arg --build-context --cache-from --cache-to"
    " --cgroup-parent --check --file --iidfile --label --load --metadata-file --network --no-cache"
    " --no-cache-filter --output --platform --progress --provenance --pull --push --quiet --sbom --secret"
    " --shm-size --ssh --tag --target --ulimit"
).split()
_BUILDX = (
    "--add-host --allow --annotation --attest --build-arg --build-context --builder --cache-from --cache-to"
    " --cgroup-parent --file --iidfile --label --load --metadata-file --network --no-cache --no-cache-filter"
    " --output --platform --progress --provenance --pull --push --quiet --sbom --secret --shm-size --ssh"
    " --tag --target --ulimit --check --call"
).split()


def test_every_flag_is_in_the_table() -> None:
    """What follows leaves out nothing that buildx has."""
    assert sorted(_BUILDX) == sorted({*_BUILT, *_REFUSED})


@pytest.mark.parametrize("flag", sorted(_REFUSED))
def test_flag_is_refused_by_name(flag: str, pybuild: Pybuild, write: Write) -> None:
    """Its name is in the error; nothing is built; it is not silently ignored."""
    failed = pybuild.build(write(_DOCKERFILE), "-t", "made", f"{flag}={_REFUSED[flag]}", code=None)

    assert failed.code in (1, 2)
    assert flag in failed.err
    assert BUG not in failed.err
    pybuild("inspect", "made", code=1)


def test_tag(pybuild: Pybuild, write: Write) -> None:
    """-t gives several names, in short and long spelling, with and without a registry."""
    built = pybuild.build(write(_DOCKERFILE), "-t", "one", "--tag", "two:v2", "--tag=example.org/three/x:y")

    for name in ("one", "one:latest", "two:v2", "example.org/three/x:y", "docker.io/library/one:latest"):
        assert built.image == pybuild.inspect(name)["Id"]
    pybuild("inspect", "two", code=1)


def test_file(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """-f names another Dockerfile, inside the context or not, relative to the caller's directory."""
    context = write("FROM broken by-purpose\n", {"sub/Other": "FROM scratch\nLABEL from=inside\n"})
    (tmp_path / "Outside").write_text("FROM scratch\nCOPY sub /sub\nLABEL from=outside\n")
    pybuild.build(context, "-f", context / "sub/Other", "-t", "inside")
    pybuild.build(Path("project"), "--file=Outside", "-t", "outside", cwd=tmp_path)

    assert pybuild.inspect("inside")["Config"]["Labels"] == {"from": "inside"}
    assert pybuild.inspect("outside")["Config"]["Labels"] == {"from": "outside"}


def test_target(pybuild: Pybuild, write: Write) -> None:
    """--target ends the build at a stage, by name in any case or by number."""
    by_name = pybuild.build(write(_DOCKERFILE), "--target", "First")
    by_number = pybuild.build(write(_DOCKERFILE), "--target=0")

    assert by_name.image == by_number.image
    assert not [name for name in by_name.steps if "second" in name]


def test_build_arg(pybuild: Pybuild, write: Write) -> None:
    """--build-arg sets an ARG; without a value to the caller's variable, and if that is unset not at all."""
    context = write(_DOCKERFILE)
    for options, env, expected in (
        (["--build-arg", "WHO=me"], {}, "me\n"),
        (["--build-arg=WHO=a=b"], {}, "a=b\n"),
        (["--build-arg", "WHO"], {"WHO": "caller"}, "caller\n"),
        (["--build-arg", "WHO"], {}, "nobody\n"),
        (["--build-arg", "WHO="], {}, "\n"),
    ):
        pybuild.build(context, "-t", "arg", *options, env=env)

        assert expected == pybuild.run("arg", "cat", "/who")


def test_no_cache(pybuild: Pybuild, write: Write) -> None:
    """--no-cache runs every RUN again; =false does not."""
    context = write(_DOCKERFILE)
    pybuild.build(context)
    ignoring = pybuild.build(context, "--no-cache")
    using = pybuild.build(context, "--no-cache=false")

    assert {"DONE"} == {state for name, state in ignoring.steps.items() if "RUN" in name}
    assert {"CACHED"} == {state for name, state in using.steps.items() if "RUN" in name}


def test_label(pybuild: Pybuild, write: Write) -> None:
    """--label adds to the image's labels and wins over LABEL."""
    context = write("FROM scratch\nLABEL a=file b=file\n")
    pybuild.build(context, "--label", "b=flag", "--label=c=d=e", "--label", "empty", "-t", "labelled")

    assert pybuild.inspect("labelled")["Config"]["Labels"] == {
        "a": "file",
        "b": "flag",
        "c": "d=e",
        "empty": "",
    }


@pytest.mark.parametrize(("mode", "expected"), [("none", "lo\n"), ("host", None), ("default", None)])
def test_network(mode: str, expected: str | None, pybuild: Pybuild, write: Write) -> None:
    """--network none leaves RUN a loopback device only; host and default show the machine's."""
    host = "".join(f"{name}\n" for name in sorted(path.name for path in Path("/sys/class/net").iterdir()))
    script = "sed -n 's/^ *\\([^ :]*\\):.*/\\1/p' /proc/net/dev | sort > /devices"
    pybuild.build(write(f"FROM busybox\nRUN {script}\n"), "--network", mode, "-t", "net")

    names = pybuild.run("net", "cat", "/devices")
    assert (expected or host) == "".join(f"{name}\n" for name in sorted(names.split()))


def test_progress(pybuild: Pybuild, write: Write) -> None:
    """--progress chooses what is shown on standard error, which is the only place it goes to."""
    context = write("FROM busybox\nRUN echo said\n")
    plain = pybuild("build", "--progress=plain", context)
    auto = pybuild("build", "--progress", "auto", "--no-cache", context)
    raw = pybuild("build", "--progress=rawjson", "--no-cache", context)
    quiet = pybuild("build", "--progress=quiet", context)
    tty = pybuild("build", "--progress", "tty", "--no-cache", context, code=None)

    assert "said" in plain.err
    assert "said" in auto.err
    assert [line for line in raw.err.splitlines() if not isinstance(json.loads(line), dict)] == []
    assert (plain.out, auto.out) == ("", "")
    assert (f"{quiet.image}\n", "") == (quiet.out, quiet.err)
    assert BUG not in tty.err


def test_quiet(pybuild: Pybuild, write: Write) -> None:
    """-q prints the image's id and nothing else; an error is still shown."""
    done = pybuild("build", "-q", write(_DOCKERFILE))
    failed = pybuild("build", "--quiet", write("FROM busybox\nRUN exit 5\n"), code=1)

    assert (f"{done.image}\n", "") == (done.out, done.err)
    assert "exit code: 5" in failed.err


def test_iidfile(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """--iidfile gets the id; a failed build writes none, and leaves none of another build."""
    done = pybuild.build(write(_DOCKERFILE), "--iidfile", tmp_path / "iid")
    assert done.image == (tmp_path / "iid").read_text()
    pybuild.build(write("FROM busybox\nRUN exit 5\n"), "--iidfile", tmp_path / "iid", code=1)

    assert not (tmp_path / "iid").exists()
    failed = pybuild.build(write(_DOCKERFILE), "--iidfile", tmp_path / "no/iid", code=1)
    assert "error[invalid-output]" in failed.err
    assert failed.steps == {}


def test_platform(pybuild: Pybuild, write: Write, tmp_path: Path) -> None:
    """--platform is the image's platform and TARGETPLATFORM; one that cannot be is named."""
    context = write("FROM scratch\nARG TARGETPLATFORM\nLABEL for=$TARGETPLATFORM\n")
    pybuild.build(context, "--platform", "linux/arm64", "-t", "arm")
    failed = pybuild.build(context, "--platform=linux/arm64,a/b/c/d", code=1)

    image = read_archive(pybuild.save("arm", tmp_path / "arm.tar"))
    assert image.config["architecture"] == "arm64"
    assert image.config["config"]["Labels"] == {"for": "linux/arm64"}
    assert "a/b/c/d" in failed.err


def test_pull(pybuild: Pybuild, write: Write) -> None:
    """--pull asks the registry although the image is here; =never does not though it is missing."""
    context = write("FROM 127.0.0.1:1/base:latest\n")
    pybuild("tag", "busybox", "127.0.0.1:1/base:latest")
    pybuild.build(context)
    always = pybuild.build(context, "--pull", code=1)
    pybuild("rmi", "127.0.0.1:1/base:latest")
    never = pybuild.build(context, "--pull=never", code=1)

    assert "127.0.0.1:1" in always.err
    assert "127.0.0.1:1/base" in never.err
    assert always.err != never.err


@pytest.mark.parametrize(
    "words",
    [
        ["--no-such-flag"], ["--progress"], ["-j", "none"], ["-j", "0"], [".", "extra"], ["--target"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage(words: list[str], pybuild: Pybuild, write: Write) -> None:
    """Exit code 2, and the word at fault."""
    failed = pybuild("build", write(_DOCKERFILE), *words, code=2)

    assert words[0] in failed.err or "extra" in failed.err
    assert "Traceback" not in failed.err


@pytest.mark.parametrize(
    "words",
    [["--progress=loud"], ["--network=bridge"], ["--pull=often"], ["--platform=amiga"], ["--label", "=x"]],
    ids=" ".join,
)
def test_wrong_value(words: list[str], pybuild: Pybuild, write: Write) -> None:
    """A value that an option cannot have is an error that names it; nothing was built."""
    failed = pybuild("build", "-t", "made", *words, write(_DOCKERFILE), code=None)

    assert failed.code in (1, 2)
    assert words[-1].rpartition("=")[2] in failed.err
    assert "Traceback" not in failed.err
    pybuild("inspect", "made", code=1)


def test_options_may_follow_the_context(pybuild: Pybuild, write: Write) -> None:
    """Flags are taken on both sides of the context."""
    built = pybuild("build", write(_DOCKERFILE), "-q", "-t", "after")

    assert built.image == pybuild.inspect("after")["Id"]


def test_usage_without_context(pybuild: Pybuild) -> None:
    """`pybuild build` alone says what is missing."""
    assert "PATH" in pybuild("build", code=2).err


def test_debug_flag_of_the_program(pybuild: Pybuild) -> None:
    """docker's -D stands before the command; it is refused by name."""
    assert "-D" in pybuild("-D", "images", code=2).err
