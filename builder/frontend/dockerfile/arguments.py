"""Build arguments that exist without an ARG: platforms and proxies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from builder.core.platform import Platform
from builder.frontend.dockerfile.scope import Scope
from builder.frontend.interface import FrontendRequest

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
# Read by the engine, wherever they come from; an ARG for them is optional.
_ENGINE_NAMES = (
    "SOURCE_DATE_EPOCH", "BUILDKIT_CACHE_MOUNT_NS", "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    "BUILDKIT_DOCKERFILE_CHECK", "BUILDKIT_INLINE_CACHE", "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE", "BUILDKIT_SYNTAX",
)  # fmt: skip
# Of BuildKit's, those that change nothing here, and why.
_EFFECTLESS = {
    "BUILDKIT_BUILD_NAME": "builds have no names here",
    "BUILDKIT_MULTI_PLATFORM": "several platforms make an index, and one makes none",
}
# ARG can declare them, and no step's environment gets them.
NOT_IN_ENVIRONMENT = ("BUILDKIT_SBOM_SCAN_STAGE", "BUILDKIT_SBOM_SCAN_CONTEXT")


def global_arguments(request: FrontendRequest) -> dict[str, str]:
    """What FROM can use at once, and a stage after an ARG without default."""
    arguments = {
        **_platform_arguments("BUILD", request.build_platform),
        **_platform_arguments("TARGET", request.platform),
        "TARGETSTAGE": request.target or "default",
    }
    return {name: request.build_args.get(name, value) for name, value in arguments.items()}


def _platform_arguments(prefix: str, platform: Platform) -> dict[str, str]:
    return {
        f"{prefix}PLATFORM": str(platform),
        f"{prefix}OS": platform.os,
        f"{prefix}OSVERSION": "",
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant,
    }


def proxy_environment(build_args: Mapping[str, str]) -> tuple[str, ...]:
    """For every RUN: whichever spelling was given, programs look for either."""
    values = {name.upper(): value for name, value in build_args.items() if value}
    return tuple(
        f"{spelling}={values[name]}"
        for name in _PROXIES
        if name in values
        for spelling in (name, name.lower())
    )


def not_consumed(request: FrontendRequest, declared: Iterable[str]) -> list[str]:
    """The names of --build-arg that no ARG declares and that mean nothing by themselves, sorted."""
    known = {*declared, *global_arguments(request), *_ENGINE_NAMES, *_EFFECTLESS}
    return sorted(name for name in request.build_args if name not in known and name.upper() not in _PROXIES)


def warn_of_effectless(scope: Scope) -> None:
    """Names that mean something to BuildKit, and nothing here."""
    for name, reason in _EFFECTLESS.items():
        if name in scope.request.build_args and name not in scope.declared:
            scope.warn(f'the build argument "{name}" has no effect', reason, None)
