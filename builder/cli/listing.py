"""Lists as Docker's client prints them: a table, JSON lines, or a Go template for each line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from builder.cli.tables import align


def listing(format: str, default: str, head: Mapping[str, str], rows: Iterable[Mapping[str, str]]) -> str:
    r"""The text, without its last line end.

    ``format`` is table, table TEMPLATE, json or TEMPLATE ("" is table), in which ``\t`` and ``\n`` are what
    they are elsewhere. ``default`` is the template of the plain table; ``head`` has each field's column.
    Raises InvalidTemplate.
    """
    from builder.cli.template.evaluate import Template
    from builder.cli.template.functions import HEAD_FUNCTIONS
    from builder.cli.template.values import Row

    format = format.strip()
    if format == "json":
        format = "{{json .}}"
    is_table = not format or format == "table" or format.startswith("table ")
    if is_table:
        format = format.removeprefix("table").strip() or default
    format = format.replace("\\t", "\t").replace("\\n", "\n")
    template = Template.read(format)
    lines = [template.apply(Row(row)) for row in rows]
    if is_table:
        lines.insert(0, Template.read(format, HEAD_FUNCTIONS).apply(dict(head)))
        return align("\n".join(lines))
    return "\n".join(lines)
