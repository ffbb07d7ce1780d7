"""Steps of a build by what people call them: a line, a number, a name."""

from __future__ import annotations

import re

from builder.core.errors import Kind, PybuildError
from builder.core.suggest import closest
from builder.engine.history.record import BuildRecord, StepRecord

_LABEL = re.compile(r"\[(?:(?P<stage>[^\]]*?) )?(?P<number>\d+/\d+)\]")


class StepNotFound(PybuildError):
    """A build has no step of this name, on this line, or with this number."""

    kind = Kind.NOT_FOUND
    code = "step-not-found"


def find_steps(record: BuildRecord, text: str) -> tuple[StepRecord, ...]:
    """``7`` is a line of the Dockerfile, ``2/5`` or ``build/2`` a number, all else a part of the name.

    A number without its stage is that of every stage that has it. Raises StepNotFound.
    """
    wanted = text.strip()
    if wanted.isdecimal():
        found = [step for step in record.steps if _is_on(step, int(wanted))]
    else:
        bare = wanted.removeprefix("[").removesuffix("]").replace(" ", "/")
        found = [step for step in record.steps if _is_numbered(step, bare)]
        found = found or [step for step in record.steps if wanted and wanted.lower() in step.name.lower()]
        found = found or [step for step in record.steps if wanted and step.digest.startswith(wanted)]
    if not found:
        near = closest(wanted, [step.name for step in record.steps])
        raise StepNotFound(
            f'the build "{record.id}" has no step "{text}"',
            hint=f'did you mean "{near}"?' if near else f"`pybuild builds show {record.id}` lists its steps",
        )
    return tuple(found)


def _is_on(step: StepRecord, line: int) -> bool:
    return step.location is not None and step.location.start_line <= line <= step.location.end_line


def _is_numbered(step: StepRecord, wanted: str) -> bool:
    label = _LABEL.match(step.name)
    if label is None:
        return False
    stage, number = (label["stage"] or "").strip().replace(" ", "/"), label["number"]
    return wanted in (number, f"{stage}/{number}", f"{stage}/{number.partition('/')[0]}")
