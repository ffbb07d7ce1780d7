"""The build checks, by the names that Docker's linter gives them."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """``description`` says what a Dockerfile should be like; the experimental are off unless asked for."""

    name: str
    description: str
    hint: str
    is_experimental: bool = False


STAGE_NAME_CASING = Rule(
    "StageNameCasing",
    "names of stages are written in lower case",
    "write it in lower case; in --from and --target case does not matter",
)
FROM_AS_CASING = Rule(
    "FromAsCasing",
    "the AS of a FROM is in the same case as the FROM",
    "write both in upper case, or both in lower case",
)
NO_EMPTY_CONTINUATION = Rule(
    "NoEmptyContinuation",
    "there is no empty line within a continued instruction",
    "remove the empty line, or make a comment of it; later versions of Docker refuse it",
)
CONSISTENT_INSTRUCTION_CASING = Rule(
    "ConsistentInstructionCasing",
    "all instructions of a file are written in the same case",
    "write it as the others are",
)
DUPLICATE_STAGE_NAME = Rule(
    "DuplicateStageName",
    "no two stages have the same name",
    "rename one of them: only the last one can be referred to",
)
RESERVED_STAGE_NAME = Rule(
    "ReservedStageName",
    'no stage is called "scratch" or "context", which mean something else',
    "choose another name",
)
JSON_ARGS_RECOMMENDED = Rule(
    "JSONArgsRecommended",
    "CMD and ENTRYPOINT are written as JSON arrays, so that signals reach the program and not a shell",
    'write it as ["program", "argument"], or set a SHELL if the shell is meant',
)
MAINTAINER_DEPRECATED = Rule(
    "MaintainerDeprecated",
    "the author is named by a label, not by MAINTAINER",
    "write LABEL org.opencontainers.image.authors=…",
)
UNDEFINED_ARG_IN_FROM = Rule(
    "UndefinedArgInFrom",
    "what FROM uses is declared by an ARG above the first FROM",
    "declare it with ARG above the first FROM",
)
UNDEFINED_VAR = Rule(
    "UndefinedVar",
    "a variable is declared before it is used",
    "declare it with ARG",
)
WORKDIR_RELATIVE_PATH = Rule(
    "WorkdirRelativePath",
    "the first WORKDIR of a stage is absolute, so that it does not depend on the base image",
    "write an absolute path",
)
MULTIPLE_INSTRUCTIONS_DISALLOWED = Rule(
    "MultipleInstructionsDisallowed",
    "CMD, ENTRYPOINT and HEALTHCHECK come once in a stage",
    "remove it: only the last one counts",
)
LEGACY_KEY_VALUE_FORMAT = Rule(
    "LegacyKeyValueFormat",
    "ENV and LABEL have an equals sign between name and value",
    "write name=value, with quotes around a value that has blanks",
)
INVALID_BASE_IMAGE_PLATFORM = Rule(
    "InvalidBaseImagePlatform",
    "a base image is for the platform that was asked for",
    "name the platform with FROM --platform, or use an image that exists for it",
)
REDUNDANT_TARGET_PLATFORM = Rule(
    "RedundantTargetPlatform",
    "FROM does not ask for $TARGETPLATFORM, which it has anyway",
    "leave the flag out",
)
FROM_PLATFORM_FLAG_CONST_DISALLOWED = Rule(
    "FromPlatformFlagConstDisallowed",
    "the platform of a FROM is no constant, unless the stage's name says so",
    "leave the flag out and build with --platform, or use $BUILDPLATFORM, or put the platform into the name",
)
SECRETS_USED_IN_ARG_OR_ENV = Rule(
    "SecretsUsedInArgOrEnv",
    "secrets are not given by ARG or ENV, which stay in the image for all to read",
    "give it to the step that needs it with RUN --mount=type=secret",
)
INVALID_DEFAULT_ARG_IN_FROM = Rule(
    "InvalidDefaultArgInFrom",
    "a FROM names an image even if no build argument is given",
    "give the ARG a default with which the name is complete",
)
COPY_IGNORED_FILE = Rule(
    "CopyIgnoredFile",
    "nothing is copied that .dockerignore leaves out",
    "change the rule of the ignore file, or do not copy it",
)
INVALID_DEFINITION_DESCRIPTION = Rule(
    "InvalidDefinitionDescription",
    "a comment right above an ARG or a named FROM begins with the name that it describes",
    "write # NAME text, or leave an empty line below the comment",
    is_experimental=True,
)
EXPOSE_PROTO_CASING = Rule(
    "ExposeProtoCasing",
    "the protocol of a port is written in lower case",
    "write it in lower case",
)
EXPOSE_INVALID_FORMAT = Rule(
    "ExposeInvalidFormat",
    "EXPOSE names ports of the container only",
    "leave out the address and the port of the host; they are for `run`",
)

RULES = {
    rule.name: rule
    for rule in (
        STAGE_NAME_CASING, FROM_AS_CASING, NO_EMPTY_CONTINUATION, CONSISTENT_INSTRUCTION_CASING,
        DUPLICATE_STAGE_NAME, RESERVED_STAGE_NAME, JSON_ARGS_RECOMMENDED, MAINTAINER_DEPRECATED,
        UNDEFINED_ARG_IN_FROM, UNDEFINED_VAR, WORKDIR_RELATIVE_PATH, MULTIPLE_INSTRUCTIONS_DISALLOWED,
        LEGACY_KEY_VALUE_FORMAT, INVALID_BASE_IMAGE_PLATFORM, REDUNDANT_TARGET_PLATFORM,
        FROM_PLATFORM_FLAG_CONST_DISALLOWED, SECRETS_USED_IN_ARG_OR_ENV, INVALID_DEFAULT_ARG_IN_FROM,
        COPY_IGNORED_FILE, INVALID_DEFINITION_DESCRIPTION, EXPOSE_PROTO_CASING, EXPOSE_INVALID_FORMAT,
    )
}  # fmt: skip
