"""The services of the store, as everyone else sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from builder.core.descriptor import Descriptor
from builder.core.digest import Digest
from builder.core.errors import Kind, PybuildError
from builder.core.job import Cancel
from builder.core.mount import Mount
from builder.core.reference import Reference

Row = tuple[str | int | float | bytes | None, ...]


class BlobNotFound(PybuildError):
    """No blob with that digest is in the store."""

    kind = Kind.NOT_FOUND
    code = "blob-not-found"

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"blob {digest} is not in the store", hint="pull or build the image again")


class ImageNotFound(PybuildError):
    """A name or id leads to no image of the store."""

    kind = Kind.NOT_FOUND
    code = "image-not-found"

    def __init__(self, name: str, *, hint: str | None = "`pybuild images` lists what there is") -> None:
        super().__init__(f'no such image: "{name}"', hint=hint)


class BlobWriter(Protocol):
    """Bytes on their way into the store."""

    def write(self, data: bytes) -> int:
        """Append; returns len(data)."""

    def commit(self, *, expected: Digest | None = None) -> tuple[Digest, int]:
        """Publish atomically; digest and size. Success means "it is in the store", by whoever.

        Raises DigestMismatch.
        """


class ResumedWriter(BlobWriter, Protocol):
    """A BlobWriter of one known blob, over processes that may be killed."""

    def known(self) -> Iterator[bytes]:
        """What an earlier one left of it, to be read to the end before the first ``write``."""


class ContentStore(Protocol):
    """Blobs by digest."""

    def open(self, digest: Digest) -> BinaryIO:
        """For reading; raises BlobNotFound."""

    def size(self, digest: Digest) -> int | None:
        """Bytes as stored, None if absent; never reads the blob."""

    def writer(self) -> AbstractContextManager[BlobWriter]:
        """Without a commit it leaves no trace."""

    def resumed(self, digest: Digest, cancel: Cancel) -> AbstractContextManager[ResumedWriter | None]:
        """A writer that goes on where an earlier one of that blob stopped, whatever stopped it.

        What it has stays for the next one, unless it turns out wrong or the disk is full. While another one
        has it, this waits; None: that one has brought the blob. Raises Cancelled.
        """

    def put(self, data: bytes) -> Digest:
        """Store a small blob."""

    def delete(self, digest: Digest) -> None:
        """Idempotent."""


class Snapshot(NamedTuple):
    """A committed, read-only tree. ``name`` "" is the empty tree, and has no parent."""

    name: str
    parent: str
    depth: int  # number of layers below and including this one
    diff_id: Digest | None  # None until somebody asked
    layer: Descriptor | None  # the stored form of a layer that came from elsewhere
    created_at: float  # epoch seconds
    same_as: str = ""  # the tree without parent that this one is over another parent, directory and all
    clamp_of: str = ""  # the tree whose layer this one is, with no time after ``clamp_s``
    clamp_s: int | None = None  # epoch seconds


class ActiveSnapshot(NamedTuple):
    """A writable tree over a committed one; in scratch until it is committed."""

    name: str
    parent: str
    upper: Path  # its changes, in overlayfs form
    work: Path  # overlayfs' own


class Snapshotter(Protocol):
    """Trees that share everything below."""

    def stat(self, name: str) -> Snapshot | None:
        """None: there is none of that name."""

    def is_intact(self, name: str) -> bool:
        """Whether a tree can be used: known, and its topmost directory or stored form is there."""

    def chain(self, name: str) -> list[Snapshot]:
        """Base first, down to and including ``name``; [] for the empty tree.

        Raises PybuildError if broken.
        """

    def lowers(self, name: str) -> list[str]:
        """The directories of a tree, top first, at most a few hundred; unpacks what is no directory yet."""

    def prepare(self, parent: str, *, within: Path | None = None) -> ActiveSnapshot:
        """A fresh writable tree; in scratch, or in an empty directory that outlives the process."""

    def mounts(self, active: ActiveSnapshot) -> list[Mount]:
        """How to mount an active snapshot at "/"; data, nothing is mounted."""

    def commit(self, active: ActiveSnapshot, *, created_at: float) -> Snapshot:
        """Freeze; ``active`` is gone afterwards, either way."""

    def share(self, parent: str, name: str) -> Snapshot:
        """The tree ``name``, which has no parent, over another parent; nothing is copied.

        As a layer it is the same too, in its stored form if it has one, whatever the parent holds.
        """

    def clamp(self, parent: str, name: str, mtime_s: int) -> Snapshot:
        """The layer of ``name`` over another parent, with times after ``mtime_s`` set to that.

        It is one row for each (parent, name, time), however often it is asked
        for, and no file before somebody needs its directory.
        """

    def discard(self, active: ActiveSnapshot) -> None:
        """Throw away; idempotent."""

    def keep_failed(self, active: ActiveSnapshot, name: str) -> None:
        """Set the upper of a failed step aside under a name, for whoever wants to look into it."""

    def add_layer(
        self,
        parent: str,
        diff_id: Digest,
        chain_id: Digest,
        layer: Descriptor,
        origin: str,
        created_at: float,
    ) -> Snapshot:
        """A layer from elsewhere, not unpacked yet; the one that is there already if the chain is known."""

    def set_layer(self, name: str, layer: Descriptor, origin: str) -> None:
        """Where else a layer's stored form can be had, perhaps in another form."""

    def origin(self, name: str) -> str:
        """The repository that a layer's stored form can be fetched from; "" if none is known."""

    def set_origin(self, name: str, origin: str) -> None:
        """Fetch a layer's stored form from there from now on."""

    def directory(self, name: str) -> str:
        """The upper directory of a committed snapshot that was built here or unpacked; or that it shares."""

    def set_diff_id(self, name: str, diff_id: Digest, tar_size: int) -> None:
        """Record what a layer's tar hashes to; its chain id follows from its parent's."""

    def content_size(self, name: str) -> int | None:
        """The bytes of the files of one layer; None: nobody has told."""

    def set_content_size(self, name: str, size: int) -> None:
        """Remember them."""

    def is_ready(self, name: str) -> bool:
        """Whether ``directory`` is there, without anything being unpacked."""

    def tar_size(self, name: str) -> int:
        """The size of the tar whose digest was recorded."""


class LayerForm(NamedTuple):
    """A layer as it was packed once."""

    digest: Digest  # of the blob, which is in the content store
    size: int
    plain: Digest  # of what the blob unpacks to
    annotations: tuple[tuple[str, str], ...] = ()  # of its descriptor


class LayerForms(Protocol):
    """Packed layers, kept as long as a snapshot of that content is."""

    def find(self, diff_id: Digest, packer: str) -> LayerForm | None:
        """What that packer made of that layer, if the blob is still there."""

    def keep(self, diff_id: Digest, packer: str, form: LayerForm) -> None:
        """Remember a blob of the content store; equal packers make equal bytes."""

    def all_of(self, diff_id: Digest) -> list[tuple[str, LayerForm]]:
        """Every form of a layer that is here, with its packer: a registry may have any of them."""


class Image(NamedTuple):
    """An image of the store."""

    id: Digest  # of the config
    snapshot: str  # the top of its layers
    created_at: float


class ImageStore(Protocol):
    """Images and the names that people gave them."""

    def add(self, id: Digest, snapshot: str, *, created_at: float) -> Image:
        """Idempotent."""

    def find(self, name: str) -> Image:
        """By reference ("app", "app:1", "docker.io/library/app@sha256:…"), id, or unambiguous start of one.

        Raises ImageNotFound, InvalidReference.
        """

    def by_reference(self, reference: Reference) -> Image | None:
        """What a name stands for now."""

    def get(self, id: Digest) -> Image | None:
        """By id."""

    def tag(self, reference: Reference, id: Digest, platforms: Sequence[Digest] = ()) -> None:
        """Let a name stand for an image; whatever it stood for loses it.

        ``platforms`` are the images of an index, for several platforms, ``id`` among them: that is the one
        that commands use here.
        """

    def platforms_of(self, reference: Reference) -> list[Image]:
        """The images of the index that a name stands for, in its order; [] if it is one image."""

    def parts(self) -> dict[Digest, list[str]]:
        """The images that belong to an index, and the names that stand for it."""

    def attest(self, id: Digest, index: Digest | None) -> None:
        """Remember the index that holds an image's manifest and what was said of it last; None: nothing."""

    def attested(self, id: Digest) -> Digest | None:
        """That index."""

    def untag(self, reference: Reference) -> bool:
        """Whether there was such a name."""

    def add_manifest(
        self, reference: Reference, manifest: Digest, id: Digest, platforms: Sequence[Digest] = ()
    ) -> None:
        """Remember the manifest, or the index, under which a registry has an image; see ``tag``."""

    def manifests_of(self, id: Digest) -> list[tuple[str, Digest]]:
        """(repository, manifest digest) pairs, sorted."""

    def names_of(self, id: Digest) -> list[str]:
        """Full references, sorted."""

    def tagged_at(self, id: Digest) -> float | None:
        """When it last got one of its names; None: it has none."""

    def all(self) -> list[Image]:
        """Newest first."""

    def delete(self, id: Digest) -> None:
        """The image with its names; its layers stay until collection."""


class CacheMountRequest(NamedTuple):
    """Which cache directory, and who else may have it meanwhile."""

    identity: Digest
    id: str  # for people: the namespace and the user's id
    sharing: str  # shared, private, locked
    mode: int | None = None  # of a directory that is made; None: 0755, or what ``fill`` makes it
    uid: int | None = None
    gid: int | None = None
    is_new: bool = False  # what earlier builds left is not wanted


class CacheMounts(Protocol):
    """Directories that outlive builds."""

    def use(
        self,
        request: CacheMountRequest,
        holder: str,
        cancel: Cancel,
        *,
        fill: Callable[[Path], None],
        waits: Callable[[str], None],
    ) -> AbstractContextManager[Path]:
        """The directory, for as long as the block lasts.

        ``shared`` takes one that others share or that is free, ``private`` one that is free, each a new one
        if there is none; ``locked`` waits until one is free, after a call of ``waits`` with the holder's own
        words. ``fill`` puts the first content into a new one. Raises Cancelled.
        """


class StateDirectory(Protocol):
    """The directories that other packages keep things in."""

    @property
    def containers(self) -> Path:
        """One directory per container."""

    @property
    def scratch(self) -> Path:
        """Of this process alone; gone when the store is closed, or swept after a kill."""


class Rows(Protocol):
    """The store's database, for services that keep rows of their own in it."""

    def rows(self, statement: str, values: Sequence[str | int | float | bytes | None] = ()) -> list[Row]:
        """All rows of a query."""

    def run(self, statement: str, values: Sequence[str | int | float | bytes | None] = ()) -> int:
        """A statement that changes something; the number of rows changed."""

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing; blocks of one thread nest."""
