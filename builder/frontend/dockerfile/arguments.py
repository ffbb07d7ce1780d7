"""Build arguments that exist without an ARG: platforms and proxies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from builder.core.platform import Platform
from builder.frontend.interface import FrontendRequest

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
# Read by the engine, wherever they come from; an ARG for them is optional.
_ENGINE_PREFIX = "BUILDKIT_"
_ENGINE_NAMES = ("SOURCE_DATE_EPOCH",)
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
    known = {*declared, *global_arguments(request), *_ENGINE_NAMES}
    return sorted(
        name
        for name in request.build_args
        if name not in known and name.upper() not in _PROXIES and not name.startswith(_ENGINE_PREFIX)
    )
