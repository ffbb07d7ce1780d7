"""Build checks: when each fires and when it does not, what switches them, and several errors at once."""

from __future__ import annotations

import dataclasses

import pytest

from builder.core.errors import Kind, PybuildError, SeveralErrors
from builder.core.platform import Platform
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.interface import CheckResult, FrontendRequest, ResolvedImage
from tests.unit.frontend.frontend_bridge import AMD64, ARM64, BUSYBOX, FakeBridge, convert


def check(text: str, *, bridge: FakeBridge | None = None, **options: object) -> CheckResult:
    values = {"platform": AMD64, "build_platform": AMD64, **options}
    request = FrontendRequest(source=text.encode(), **values)  # type: ignore[arg-type]
    return DockerfileFrontend().check(request, bridge or FakeBridge())


def found(text: str, **options: object) -> list[str]:
    """The rules with their lines."""
    result = check(text, **options)
    assert result.errors == ()
    return [f"{each.rule} {each.location.start_line if each.location else 0}" for each in result.warnings]


F = "FROM busybox\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # stages
        ("FROM busybox AS a\nFROM a AS B", ["StageNameCasing 2"]),
        ("from busybox AS a", ["FromAsCasing 1"]),
        ("FROM busybox As a", ["FromAsCasing 1"]),
        ("from busybox as a", []),
        ("From busybox as a\nRUN true", ["ConsistentInstructionCasing 1"]),
        ("FROM busybox AS a\nFROM busybox AS A", ["DuplicateStageName 2", "StageNameCasing 2"]),
        ("FROM busybox AS a\nFROM busybox\nFROM busybox", []),
        ("FROM busybox AS scratch", ["ReservedStageName 1"]),
        # case of instructions
        ("FROM busybox\nrun true\nrun true", ["ConsistentInstructionCasing 1"]),
        ("FROM busybox\nrun true", ["ConsistentInstructionCasing 2"]),
        ("FROM busybox\nRun true", ["ConsistentInstructionCasing 2"]),
        ("arg a\nFROM busybox", []),
        ("FROM busybox\nONBUILD run true", []),
        # continuations
        ("FROM busybox\nRUN a \\\n\n\n b", ["NoEmptyContinuation 3"]),
        ("FROM busybox\nRUN <<E\na \\\n\nE", []),
        # commands
        (F + "CMD true", ["JSONArgsRecommended 2"]),
        (F + 'SHELL ["/bin/sh", "-ec"]\nCMD true', []),
        (F + "HEALTHCHECK CMD true", []),
        (F + 'CMD ["true"]\nENTRYPOINT ["x"]', []),
        (F + 'CMD ["a"]\nCMD ["b"]\nCMD ["c"]', ["MultipleInstructionsDisallowed 2",
                                                  "MultipleInstructionsDisallowed 3"]),
        (F + 'ENTRYPOINT ["a"]\nENTRYPOINT ["b"]', ["MultipleInstructionsDisallowed 2"]),
        (F + "HEALTHCHECK NONE\nHEALTHCHECK CMD true", ["MultipleInstructionsDisallowed 2"]),
        ('FROM busybox AS a\nCMD ["a"]\nFROM a\nCMD ["b"]', []),
        # variables
        ("ARG A=\nFROM busybox$A", []),
        ("FROM busybox$A", ["UndefinedArgInFrom 1"]),
        ("FROM busybox${A:-}", []),
        ("FROM busybox AS a\nARG A\nFROM busybox$A", ["UndefinedArgInFrom 3"]),
        ("FROM --platform=$BUILDPLATFROM busybox", None),
        (F + "LABEL a=$A", ["UndefinedVar 2"]),
        (F + "LABEL a=${A:-b} b=${A+c}", []),
        (F + "ARG A\nLABEL a=$A", []),
        (F + "ENV A=1\nLABEL a=$A", []),
        (F + "RUN echo $A", []),
        (F + "COPY <<E /x\n$A\nE", ["UndefinedVar 2"]),
        # WORKDIR
        (F + "WORKDIR a\nWORKDIR b", ["WorkdirRelativePath 2"]),
        (F + "WORKDIR /a\nWORKDIR b", []),
        (F + "ARG A=/a\nWORKDIR $A", []),
        ("FROM busybox AS a\nWORKDIR /a\nFROM a\nWORKDIR b", []),
        ("FROM busybox AS a\nWORKDIR /a\nFROM busybox\nWORKDIR b", ["WorkdirRelativePath 4"]),
        # ENV and LABEL
        (F + "LABEL a b", ["LegacyKeyValueFormat 2"]),
        (F + "ENV a b=c", ["LegacyKeyValueFormat 2"]),
        (F + "ENV a=b c=d", []),
        *((F + f"ENV {name}=1", ["SecretsUsedInArgOrEnv 2"]) for name in (
            "password", "API_KEY", "auth", "MY_TOKEN_2", "DB_PASSWD", "GIT_CREDENTIALS", "APIKEY", "pword_x",
        )),
        *((F + f"ENV {name}=1", []) for name in (
            "PASSWORDS", "KEYBOARD", "PUBLIC_KEY", "TOKEN_FILE", "KEY_VERSION", "AUTHOR", "tokens_x",
            "apikeys",
        )),
        (F + "ARG A_SECRET", ["SecretsUsedInArgOrEnv 2"]),
        ("ARG A_SECRET\nFROM busybox", []),
        (F + "LABEL key=1", []),
        # platforms
        ("FROM --platform=$TARGETPLATFORM busybox", ["RedundantTargetPlatform 1"]),
        ("FROM --platform=${TARGETPLATFORM} busybox", ["RedundantTargetPlatform 1"]),
        ("FROM --platform=$BUILDPLATFORM busybox", []),
        ("FROM --platform=linux/amd64 busybox", ["FromPlatformFlagConstDisallowed 1"]),
        ("FROM --platform=linux/amd64 busybox AS linux-tools", []),
        ("FROM --platform=linux/amd64 busybox AS amd64", []),
        ("ARG P=linux/amd64\nFROM --platform=$P busybox", []),
        # EXPOSE
        (F + "EXPOSE 80/TCP 81/Udp 82/udp", ["ExposeProtoCasing 2", "ExposeProtoCasing 2"]),
        (F + "EXPOSE 8080:80", ["ExposeInvalidFormat 2"]),
        (F + "ARG P=1:2\nEXPOSE $P", ["ExposeInvalidFormat 3"]),
        (F + "EXPOSE 80-90 443/tcp", []),
        (F + "MAINTAINER me\nmaintainer you", ["MaintainerDeprecated 2", "ConsistentInstructionCasing 3",
                                               "MaintainerDeprecated 3"]),
    ],
)  # fmt: skip
def test_rules(text: str, expected: list[str] | None) -> None:
    """Which rules a file breaks, with the lines; None: it is refused."""
    if expected is None:
        assert check(text).errors != ()
    else:
        assert sorted(expected) == sorted(found(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (F + "# about it\nARG A=1", ["InvalidDefinitionDescription 3"]),
        (F + "# A is it\nARG A=1", []),
        (F + "# about it\n\nARG A=1", []),
        (F + "# about it\n# B is it\nARG A=1 B=2", []),
        ("\n# it\nFROM busybox AS a", ["InvalidDefinitionDescription 3"]),
        ("\n# it\nFROM busybox", []),
        (F + "# it\nENV A=1", []),
    ],
)
def test_descriptions(text: str, expected: list[str]) -> None:
    """The comment right above an ARG or a named FROM; only if it is asked for."""
    assert expected == found(f"# check=experimental=all\n{text}")
    assert found(text) == []


BAD = "FROM busybox AS A\nWORKDIR a\n"


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        ("", ["StageNameCasing", "WorkdirRelativePath"]),
        ("# check=skip=all", []),
        ("# check=skip=StageNameCasing", ["WorkdirRelativePath"]),
        ("# check = skip = StageNameCasing , WorkdirRelativePath", []),
        ("# check=error=false;skip=WorkdirRelativePath", ["StageNameCasing"]),
        ("# CHECK=skip=all", []),
        ("#\n# check=skip=all", ["StageNameCasing", "WorkdirRelativePath"]),
        ("# syntax=docker/dockerfile:1\n# check=skip=all", []),
    ],
)
def test_directive(directive: str, expected: list[str]) -> None:
    """It switches rules off, if it stands in the block of directives."""
    # A comment right above an instruction is about that one; a blank line makes it none.
    result = check(f"{directive}\n\n{BAD}")

    assert expected == [warning.rule for warning in result.warnings]


@pytest.mark.parametrize("text", ["skip", "skp=A", "error=perhaps", "error", "skip=A;", "=A"])
def test_wrong_options(text: str) -> None:
    """An option that does not exist is an error at the directive, with a hint."""
    (error,) = check(f"# check={text}\nFROM busybox").errors

    assert (error.code, error.location.start_line if error.location else 0) == ("invalid-check", 1)
    assert error.hint


def test_unknown_rule_is_mentioned() -> None:
    """A misspelt rule would skip nothing, silently; it is no finding."""
    (warning,) = check("# check=skip=StageNameCase,all\nFROM busybox").warnings

    assert (warning.rule, warning.message) == (None, 'there is no check called "StageNameCase"')


def test_build_argument_replaces_the_directive() -> None:
    """It is no variable of the file either."""
    result = check(
        f"# check=skip=all\n{BAD}", build_args={"BUILDKIT_DOCKERFILE_CHECK": "skip=StageNameCasing"}
    )

    assert [warning.rule for warning in result.warnings] == ["WorkdirRelativePath"]


def test_comment_is_about_the_instruction_below_it() -> None:
    """The next one of the same kind is checked."""
    text = F + "# check=skip=UndefinedVar\n# more\nLABEL a=$A\nLABEL b=$B\n\n# check=skip=all\nCMD x"

    assert found(text) == ["UndefinedVar 5"]


def test_other_comments_are_comments() -> None:
    """Prose that begins like an option is none."""
    assert found(F + "# check=that this works\nRUN true\n# check that=too\nRUN true") == []


@pytest.mark.parametrize("option", ["error=true", "error=1", "skip=StageNameCasing;error=true"])
def test_error_makes_a_build_fail(option: str) -> None:
    """The result says by which rules, skipped ones are none of them."""
    result = convert(f"# check={option}\n{BAD}")

    assert "WorkdirRelativePath" in result.violated
    assert ("StageNameCasing" in result.violated) == ("skip" not in option)


def test_error_without_finding() -> None:
    """Nothing is violated, nothing fails."""
    assert convert("# check=error=true\nFROM busybox").violated == ()


def test_all_stages_are_checked_without_a_target() -> None:
    """A build looks into those that it needs; with a target so does a check."""
    text = "FROM busybox AS one\nWORKDIR a\nFROM busybox AS two\nWORKDIR b\nFROM busybox\n"

    assert found(text) == ["WorkdirRelativePath 2", "WorkdirRelativePath 4"]
    assert found(text, target="two") == ["WorkdirRelativePath 4"]
    assert convert(text).warnings == ()


def test_shell_of_the_base_is_a_shell() -> None:
    """Who sets one means it."""
    bridge = FakeBridge({"shelled": dataclasses.replace(BUSYBOX, shell=("/bin/bash", "-c"))})

    assert check("FROM shelled\nCMD x", bridge=bridge).warnings == ()


def test_triggers_are_not_checked() -> None:
    """They do not stand in the file."""
    bridge = FakeBridge({"parent": dataclasses.replace(BUSYBOX, on_build=("WORKDIR a", "LABEL a=$A"))})

    assert check("FROM parent", bridge=bridge).warnings == ()


class ArmOnly(FakeBridge):
    """Whatever is asked for, the image is for arm64."""

    def resolve_image(self, reference: str, platform: Platform) -> ResolvedImage:
        found = super().resolve_image(reference, platform)
        return found._replace(config=dataclasses.replace(found.config, platform=ARM64))


def test_base_for_another_platform() -> None:
    """Said at the name of the image."""
    (warning,) = check("FROM busybox", bridge=ArmOnly()).warnings

    assert warning.rule == "InvalidBaseImagePlatform"
    assert check("FROM busybox", bridge=ArmOnly(), platform=ARM64, build_platform=ARM64).warnings == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ARG A\nFROM $A", True), ("ARG A\nFROM busy$A", False), ("ARG A=busybox\nFROM $A", False),
        ("ARG A\nARG B=$A\nFROM ${B}", True), ("ARG A\nFROM ${A:-busybox}", False),
        ("ARG A\nFROM busybox:$A", True),
    ],
)  # fmt: skip
def test_default_of_from(text: str, expected: bool) -> None:
    """Whether it names an image does not hang on a build argument."""
    given = "latest" if ":$" in text else "box" if "busy$" in text else "busybox"
    bridge = FakeBridge({"busybox:latest": BUSYBOX})

    rules = [warning.rule for warning in check(text, build_args={"A": given}, bridge=bridge).warnings]

    assert rules == ["InvalidDefaultArgInFrom"] * expected


def test_excluded_sources() -> None:
    """Of the context only, expanded, each at its word."""

    def excluding(path: str) -> str | None:
        return f'"rule of {path}"' if path.startswith("no") else None

    text = (
        "FROM busybox AS a\nFROM busybox\nARG N=no\nCOPY yes no.txt $N /x/\nADD no /\n"
        "COPY --from=a no /\nCOPY <<no /\nno\nADD http://no /"
    )
    result = check(text, excluding=excluding)
    places = [
        each.location[:2] for each in result.warnings if each.rule == "CopyIgnoredFile" and each.location
    ]

    assert places == [(4, 10), (4, 17), (5, 5)]


# -- several errors ---------------------------------------------------------------------------


def errors(text: str, **options: object) -> list[str]:
    return [
        f"{error.code} {error.location.start_line if error.location else 0}"
        for error in check(text, **options).errors
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # instructions that cannot be read
        (F + "ENV a\nLABEL b\nCOPPY x", ["dockerfile-syntax 2", "dockerfile-syntax 3",
                                         "unknown-instruction 4"]),
        (F + "COPPY a b\nRUN --mout=x y", ["unknown-instruction 2", "unknown-flag 3"]),
        (F + "RUN a &&\n  b\n  c\nEXPOSE", ["unknown-instruction 3", "invalid-arguments 5"]),
        (F + "COPPY a b\nRUNN x", ["unknown-instruction 2", "unknown-instruction 3"]),
        (F + "COPPY <<E /x\nrun\nE\nRUNN x", ["unknown-instruction 2"]),
        (F + 'CMD ["a", 1]\nRUN <<E\n\nHALF', ["dockerfile-syntax 2", "dockerfile-syntax 3"]),
        ("#escape=x\nFROM busybox\nCOPPY", ["dockerfile-syntax 1"]),
        # what follows a line without which nothing makes sense
        ("FORM busybox\nRUN true", ["unknown-instruction 1"]),
        ("IMAGE busybox\nRUN true", ["unknown-instruction 1"]),
        ("FROM busybox AS\nRUN true\nEXPOSE 99999", ["invalid-arguments 1"]),
        # instructions that cannot be converted
        (F + "EXPOSE 99999\nSTOPSIGNAL x\nCOPY --chmod=9 a b", ["invalid-arguments 2", "invalid-arguments 3",
                                                                "invalid-flag 4"]),
        (F + "COPPY a b\nEXPOSE 99999", ["unknown-instruction 2", "invalid-arguments 3"]),
        (F + "ENV $x=1\nLABEL a=${b:?needed}", ["invalid-arguments 2"]),
        ("FROM busybox AS a\nEXPOSE x\nFROM a\nEXPOSE y", ["invalid-arguments 2", "invalid-arguments 4"]),
        # images
        ("FROM nothere\nRUN x\nFROM busybox\nEXPOSE x", ["no-such-image 1", "invalid-arguments 4"]),
        ("FROM nothere AS a\nFROM a\nEXPOSE x\nFROM busybox\nCOPY --from=a b c\nEXPOSE y",
         ["no-such-image 1", "invalid-arguments 6"]),
        ("FROM nothere:1:2\nFROM busybox\nEXPOSE y", ["invalid-reference 1", "invalid-arguments 3"]),
        # nothing is said twice
        (F + "EXPOSE x x", ["invalid-arguments 2"]),
    ],
)  # fmt: skip
def test_errors_of_a_file(text: str, expected: list[str]) -> None:
    """All that can be found at once, in the order of the text; no mere consequences."""
    assert expected == errors(text)


def test_build_reports_all_of_them() -> None:
    """As one error, which holds the others; a single one stays what it is."""
    with pytest.raises(SeveralErrors) as caught:
        convert(F + "COPPY a b\nEXPOSE 99999")
    with pytest.raises(PybuildError) as single:
        convert(F + "EXPOSE 99999")

    assert [error.code for error in caught.value.errors] == ["unknown-instruction", "invalid-arguments"]
    assert single.value.code == "invalid-arguments"


class Offline(FakeBridge):
    """No registry answers; counts how often it was tried."""

    def resolve_image(self, reference: str, platform: Platform) -> ResolvedImage:
        self.asked.append((reference, str(platform)))
        raise Unreachable("no answer", hint="check the network")


class Unreachable(PybuildError):
    kind = Kind.UNAVAILABLE
    code = "unreachable"


def test_a_silent_registry_is_asked_once() -> None:
    """What no edit of the file mends ends the search; what shows without it is kept."""
    bridge = Offline()
    result = check("FROM a AS A\nFROM b\nFROM c", bridge=bridge)

    assert [error.code for error in result.errors] == ["unreachable"]
    assert [warning.rule for warning in result.warnings] == ["StageNameCasing"]
    assert len(bridge.asked) == 1
    with pytest.raises(Unreachable):
        convert("FROM a\nFROM b", bridge=Offline())


def test_mistakes_are_reported_without_a_registry() -> None:
    """They can be mended meanwhile."""
    result = check("FROM a\nCOPPY b c", bridge=Offline())

    assert [error.code for error in result.errors] == ["unknown-instruction"]


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("FROM busybox AS build\nFROM biuld", "build"),
        ("FROM busybox AS tools\nFROM busybox\nCOPY --from=tool a b", "tools"),
    ],
)
def test_a_stage_may_have_been_meant(text: str, near: str) -> None:
    """Where no image has the name."""
    (error,) = check(text).errors

    assert f'did you mean the stage "{near}"?' == error.hint


def test_a_build_argument_may_be_misspelt() -> None:
    """The ARG that it was probably for is named."""
    (warning,) = check("FROM busybox\nARG VERSION=1", build_args={"VERISON": "2"}).warnings

    assert warning.hint == 'did you mean "VERSION"?'
