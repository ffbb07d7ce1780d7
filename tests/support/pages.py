"""The page of all errors and build checks: `python -m tests.support.pages` writes docs/errors.md."""

from __future__ import annotations

import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import builder
from builder.core.errors import PybuildError
from builder.frontend.dockerfile.rules import RULES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/errors.md"
RULE_CASES = ROOT / "testdata/rules"
ERROR_CASES = ROOT / "testdata/errors"
_HEAD = """\
# Errors and checks

Every error has a code, `error[CODE]`, and every build check a name, `warning[RULE]`; neither changes.
`pybuild check` finds all of a Dockerfile's without building it ([the command line](cli.md#check)).

This page is made by `python -m tests.support.pages`, from the code and from the examples in `testdata/rules`
and `testdata/errors`, which are tested.
"""
_RULES = """\
## Build checks

They are those of Docker's linter, by the same names. A comment at the top of a Dockerfile switches them:
`# check=skip=RULE,RULE`, `# check=skip=all`, `# check=error=true` (a build fails too) and
`# check=experimental=RULE` or `all`, joined by `;`. The build argument `BUILDKIT_DOCKERFILE_CHECK` replaces
that comment. Right above an instruction, such a comment is about this instruction only.
"""
_ERRORS = """\
## Errors

| kind | what it says |
|---|---|
| invalid | what was written is wrong |
| not-found | a name leads nowhere |
| conflict | something is in the way |
| denied | it is not allowed, by this machine or by a registry |
| unsupported | it is understood, and not built |
| failed | a step ran and did not succeed |
| unavailable | the other side does not answer; trying again may help |
| corrupt | stored or received bytes are not what they claim to be |
| cancelled | somebody stopped it |
"""


def error_classes() -> dict[str, type[PybuildError]]:
    """By code. Raises AssertionError for two of the same."""
    for module in pkgutil.walk_packages(builder.__path__, "builder."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, type[PybuildError]] = {}
    for kind in _subclasses(PybuildError):
        if kind.__module__.startswith("builder."):
            assert found.setdefault(kind.code, kind) is kind, f"two errors have the code {kind.code}"
    return dict(sorted(found.items()))


def _subclasses(kind: type[PybuildError]) -> Iterator[type[PybuildError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)


def elsewhere() -> dict[str, list[str]]:
    """The examples that are no Dockerfiles."""
    return tomllib.loads((ERROR_CASES / "elsewhere.toml").read_text())


def page() -> str:
    parts = [_HEAD, _RULES]
    parts += [_rule(name) for name in RULES]
    parts.append(_ERRORS)
    examples = elsewhere()
    parts += [_error(code, kind, examples) for code, kind in error_classes().items()]
    return "\n".join(parts)


def _rule(name: str) -> str:
    rule = RULES[name]
    text = f"{rule.description[0].upper()}{rule.description[1:]}."
    if rule.is_experimental:
        text += " Off unless `experimental` names it."
    return f"### {name}\n\n{text}\n\n{_case(RULE_CASES / name)}"


def _error(code: str, kind: type[PybuildError], examples: dict[str, list[str]]) -> str:
    meaning = " ".join((kind.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")
    head = f"### {code}\n\n{meaning} Kind: {kind.kind.value}.\n\n"
    if (ERROR_CASES / code).is_dir():
        return head + _case(ERROR_CASES / code)
    match examples.get(code):
        case [bad, good]:
            return f"{head}Bad:\n\n```\n{bad}\n```\n\nGood:\n\n```\n{good}\n```\n"
        case [advice]:
            return f"{head}What then: {advice}.\n"
        case _:
            return head.rstrip("\n") + "\n"


def _case(case: Path) -> str:
    return f"Bad:\n\n{_example(case / 'bad')}\nGood:\n\n{_example(case / 'good')}"


def _example(folder: Path) -> str:
    before = ""
    if (folder / ".dockerignore").exists():
        rules = (folder / ".dockerignore").read_text().split()
        before = f"(with `{'`, `'.join(rules)}` in `.dockerignore`)\n\n"
    return f"{before}```dockerfile\n{(folder / 'Dockerfile').read_text()}```\n"


if __name__ == "__main__":
    PAGE.write_text(page())
