"""`doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from builder.cli.context import caller, opened


def doctor(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Try what this machine lets pybuild do, and say what would unlock more."""
    from builder.engine.doctor import diagnose

    with opened(context) as engine:
        diagnosis = diagnose(engine, caller(context))
    if json:
        import dataclasses
        import json as format

        print(format.dumps(dataclasses.asdict(diagnosis), indent=2))
    else:
        from builder.cli.tables import table

        print(f"steps run: {diagnosis.rung} ({diagnosis.why})\n")
        print(table(("PART", "STATE", "FOUND"), [(c.name, c.state, c.found) for c in diagnosis.checks]))
        for check in diagnosis.checks:
            if check.unlock:
                print(f"\nmore {check.name}: {check.unlock}")
    if not diagnosis.is_well:
        raise typer.Exit(1)
