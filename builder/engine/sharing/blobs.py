"""Layers that a shared cache is made of."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.exporter.packed import PackOptions, layer_type
from builder.fs.compression import Compressor, HashingWriter


class Blob(NamedTuple):
    """One layer of the cache's manifest; ``open_at`` is called only where it is not there yet."""

    descriptor: Descriptor
    diff_id: Digest
    open_at: Callable[[int], BinaryIO]
    mount_from: str = ""  # the path of another repository that has it


class LayerWriter:
    """A tar that becomes a compressed file of scratch, whose name is its digest."""

    def __init__(self, scratch: Path, options: PackOptions) -> None:
        self._path = scratch / f"layer-{os.urandom(6).hex()}"
        self._options = options
        self._file = self._path.open("xb")
        self._stored = HashingWriter(self._file.write)
        self._compressor: Compressor | None = None
        inner = self._stored.write
        if options.compression != "uncompressed":
            self._compressor = Compressor(inner, options.compression, options.level)
            inner = self._compressor.write
        self._plain = HashingWriter(inner)

    def write(self, data: bytes) -> int:
        """Some bytes of the tar."""
        return self._plain.write(data)

    def close(self) -> Blob:
        """The layer, whose file stays."""
        if self._compressor is not None:
            self._compressor.close()
        self._file.close()
        path = self._path.with_name(self._stored.hex)
        self._path.rename(path)
        media_type = layer_type(self._options.compression, is_oci=self._options.is_oci)
        descriptor = Descriptor(
            media_type=media_type, digest=Digest("sha256", self._stored.hex), size=self._stored.size
        )

        def open_at(offset: int) -> BinaryIO:
            file = path.open("rb")
            file.seek(offset)
            return file

        return Blob(descriptor, Digest("sha256", self._plain.hex), open_at)
