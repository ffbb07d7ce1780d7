"""From an image of the store to the blobs and the manifest that leave: layers compressed, and kept so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from builder.core.descriptor import DOCKER_CONFIG, DOCKER_MANIFEST, OCI_CONFIG, OCI_MANIFEST, Descriptor
from builder.core.digest import Digest, DigestMismatch
from builder.core.image import ImageConfig
from builder.exporter.documents import manifest_document
from builder.exporter.layers import Layers
from builder.exporter.packed import (
    PackedImage,
    PackedLayer,
    PackOptions,
    compression_of,
    layer_type,
)
from builder.store.interface import ContentStore, LayerForm, LayerForms, Snapshot, Snapshotter

_PIECE = 1 << 20
_PLAIN = "uncompressed"
# For lazy pulling: stargz-snapshotter checks the index by one, containers/storage needs the other.
_TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
_PLAIN_SIZE = "io.containers.estargz.uncompressed-size"

Sink = Callable[[bytes], object]


class Packer:
    """Packs images; one layer at a time, on ``threads`` threads, with bytes that do not depend on them."""

    def __init__(
        self,
        layers: Layers,
        snapshots: Snapshotter,
        content: ContentStore,
        forms: LayerForms,
        *,
        threads: int,
        check: Callable[[], object] | None = None,
    ) -> None:
        """``check`` is called for each piece of a tree that is packed, and may end it by raising."""
        self._check = check
        self._layers = layers
        self._snapshots = snapshots
        self._content = content
        self._forms = forms
        self._threads = threads

    def checked(self, check: Callable[[], object]) -> Packer:
        """The same with another ``check``."""
        return Packer(
            self._layers, self._snapshots, self._content, self._forms, threads=self._threads, check=check
        )

    def pack(self, config: bytes, top: str, options: PackOptions) -> PackedImage:
        """Pack the image with that config and that topmost snapshot.

        The stored form of a pulled layer must be there only where it is converted; otherwise the content
        store has every blob afterwards. Raises NeedsOciTypes, BlobNotFound, Unsupported for a level that
        there is not, and DigestMismatch for a tree that somebody changed.
        """
        options.check()
        layers = tuple(self.layer(snapshot, options) for snapshot in self._snapshots.chain(top))
        image = ImageConfig.from_json(config)
        plain = tuple(layer.plain for layer in layers)
        if plain != image.diff_ids:
            # eStargz adds entries to the tar, so that its diff ID is another.
            config = replace(image, diff_ids=plain).to_json()
        config_type = OCI_CONFIG if options.is_oci else DOCKER_CONFIG
        described = Descriptor(media_type=config_type, digest=self._content.put(config), size=len(config))
        manifest = manifest_document(
            described,
            [layer.descriptor for layer in layers],
            options.annotations.of("manifest", image.platform),
            is_oci=options.is_oci,
        )
        return PackedImage(
            manifest,
            Descriptor(
                media_type=OCI_MANIFEST if options.is_oci else DOCKER_MANIFEST,
                digest=self._content.put(manifest),
                size=len(manifest),
                platform=image.platform,
                annotations=options.annotations.of("manifest-descriptor", image.platform),
            ),
            described,
            layers,
        )

    def write(self, layer: PackedLayer, sink: Sink) -> None:
        """The bytes of a packed layer, whether they are stored or not.

        Raises BlobNotFound, DigestMismatch.
        """
        if self._content.size(layer.descriptor.digest) is None and layer.plain == layer.descriptor.digest:
            snapshot = self._snapshots.stat(layer.snapshot)
            assert snapshot is not None
            self._write_plain(snapshot, sink)
            return
        with self._content.open(layer.descriptor.digest) as blob:
            while data := blob.read(_PIECE):
                sink(data)

    def layer(self, snapshot: Snapshot, options: PackOptions) -> PackedLayer:
        """Pack one layer; parents first."""
        diff_id = self._layers.diff_id(snapshot)
        pulled = snapshot.layer
        if pulled is not None:
            kind = compression_of(pulled.media_type)
            if not options.is_forced or kind == options.compression:
                media_type = layer_type(kind, is_oci=options.is_oci)
                return PackedLayer(replace(pulled, media_type=media_type), snapshot.name, diff_id)
        form = self._form(snapshot, diff_id, options)
        described = Descriptor(
            media_type=layer_type(options.compression, is_oci=options.is_oci),
            digest=form.digest,
            size=form.size,
            annotations=form.annotations,
        )
        return PackedLayer(described, snapshot.name, form.plain)

    def _form(self, snapshot: Snapshot, diff_id: Digest, options: PackOptions) -> LayerForm:
        if options.compression == _PLAIN and not options.is_plain_stored and snapshot.layer is None:
            return LayerForm(diff_id, self._layers.descriptor(snapshot).size, diff_id)
        packer = packer_name(options)
        form = self._forms.find(diff_id, packer)
        if form is None:
            form = self._make(snapshot, diff_id, options)
            self._forms.keep(diff_id, packer, form)
        return form

    def _make(self, snapshot: Snapshot, diff_id: Digest, options: PackOptions) -> LayerForm:
        from builder.fs.compression import Compressor

        if options.compression == "estargz":
            return self._make_estargz(snapshot, options)
        with self._content.writer() as writer:
            if options.compression == _PLAIN:
                self._write_plain(snapshot, writer.write)
            else:
                with Compressor(
                    writer.write, options.compression, options.level, threads=self._threads
                ) as compressor:
                    self._write_plain(snapshot, compressor.write)
                    compressor.close()
            digest, size = writer.commit(expected=diff_id if options.compression == _PLAIN else None)
        return LayerForm(digest, size, diff_id)

    def _make_estargz(self, snapshot: Snapshot, options: PackOptions) -> LayerForm:
        from builder.fs.compression import GZIP_LEVEL
        from builder.fs.estargz import write_estargz
        from builder.fs.pipe import piped

        level = GZIP_LEVEL if options.level is None else options.level
        with self._content.writer() as writer:
            with piped(lambda sink: self._write_plain(snapshot, sink)) as tar:
                made = write_estargz(tar, writer.write, level, threads=self._threads)
            digest, size = writer.commit()
        annotations = ((_TOC_DIGEST, f"sha256:{made.toc_digest}"), (_PLAIN_SIZE, str(made.plain_size)))
        return LayerForm(digest, size, Digest("sha256", made.plain), annotations)

    def _write_plain(self, snapshot: Snapshot, sink: Sink) -> None:
        """The layer's tar, checked against its diff ID."""
        sink = self._interrupted(sink)
        if snapshot.layer is None:
            self._layers.write(snapshot, sink)
            return
        from builder.fs.compression import HashingReader, open_decompressed

        with self._content.open(snapshot.layer.digest) as blob, open_decompressed(blob) as plain:
            reader = HashingReader(plain)
            while data := reader.read(_PIECE):
                sink(data)
        if snapshot.diff_id is not None and reader.hex != snapshot.diff_id.hex:
            raise DigestMismatch(snapshot.diff_id, f"sha256:{reader.hex}", what="unpacked layer")

    def _interrupted(self, sink: Sink) -> Sink:
        check = self._check
        if check is None:
            return sink

        def write(data: bytes) -> None:
            check()
            sink(data)

        return write


def packer_name(options: PackOptions) -> str:
    """What makes a layer's form, down to the version of the library: equal names make equal bytes."""
    from builder.fs.compression import compressor_name

    if options.compression == _PLAIN:
        return _PLAIN
    return compressor_name(options.compression, options.level)


def needed_blobs(options: PackOptions, chain: Sequence[Snapshot]) -> list[Snapshot]:
    """The pulled layers of which ``Packer.pack`` reads the stored form."""
    return [
        snapshot
        for snapshot in chain
        if snapshot.layer is not None
        and options.is_forced
        and compression_of(snapshot.layer.media_type) != options.compression
    ]
