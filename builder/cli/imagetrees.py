"""`images --tree`: images with their platforms below them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from builder.cli.tables import size, table

if TYPE_CHECKING:
    from builder.core.digest import Digest
    from builder.engine.assemble import Engine


def print_trees(engine: Engine, filters: Sequence[str], *, is_whole: bool) -> None:
    """As `docker images --tree` does, as far as there is something to say."""
    from builder.engine.imageplatforms import image_trees

    def shown(id: Digest) -> str:
        return str(id) if is_whole else id.short

    rows: list[tuple[str, str, str]] = []
    for image, platforms in image_trees(engine, filters):
        total = sum(each.size for each in platforms)
        name = "<none>" if image.repository == "<none>" else f"{image.repository}:{image.tag}"
        rows.append((name, shown(image.id), size(total)))
        for number, each in enumerate(platforms):
            branch = "└─" if number == len(platforms) - 1 else "├─"
            rows.append((f"{branch} {each.platform}", shown(each.id), size(each.size)))
    print(table(("IMAGE", "ID", "SIZE"), rows))
