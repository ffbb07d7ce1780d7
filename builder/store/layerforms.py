"""Layers in the compressed forms in which they left, kept so that none is made twice."""

from __future__ import annotations

import json

from builder.core.digest import Digest
from builder.store.database import LAYER_FORMS_TABLE, Database, Row, text
from builder.store.interface import ContentStore, LayerForm

_COLUMNS = "packer, digest, size, plain, annotations"


class LocalLayerForms:
    """See LayerForms."""

    def __init__(self, database: Database, content: ContentStore) -> None:
        self._database = database
        self._content = content
        self._has_table = False

    def find(self, diff_id: Digest, packer: str) -> LayerForm | None:
        """See LayerForms."""
        self._make_table()
        row = self._database.row(
            f"SELECT {_COLUMNS} FROM layer_forms WHERE diff_id = ? AND packer = ?",  # noqa: S608 (constant)
            (str(diff_id), packer),
        )
        form = _form(row) if row else None
        return form if form is not None and self._content.size(form.digest) == form.size else None

    def keep(self, diff_id: Digest, packer: str, form: LayerForm) -> None:
        """See LayerForms."""
        self._make_table()
        self._database.run(
            "INSERT OR REPLACE INTO layer_forms (diff_id, packer, digest, size, plain, annotations)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                str(diff_id), packer, str(form.digest), form.size, str(form.plain),
                json.dumps(dict(form.annotations)),
            ),
        )  # fmt: skip

    def all_of(self, diff_id: Digest) -> list[tuple[str, LayerForm]]:
        """See LayerForms."""
        self._make_table()
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM layer_forms WHERE diff_id = ? ORDER BY packer",  # noqa: S608 (constant)
            (str(diff_id),),
        )
        forms = [(text(row[0]), _form(row)) for row in rows]
        return [(packer, form) for packer, form in forms if self._content.size(form.digest) == form.size]

    def _make_table(self) -> None:
        if not self._has_table:  # a store may be older than the table
            self._database.run(LAYER_FORMS_TABLE)
            self._has_table = True


def _form(row: Row) -> LayerForm:
    _, digest, size, plain, annotations = row
    assert isinstance(size, int)
    return LayerForm(
        Digest.parse(text(digest)), size, Digest.parse(text(plain)),
        tuple(json.loads(text(annotations)).items()),
    )  # fmt: skip
