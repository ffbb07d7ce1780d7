"""Base images of one store, lent to another one that lives no longer than a command."""

from __future__ import annotations

from builder.core.job import Job
from builder.core.platform import Platform
from builder.core.reference import Reference
from builder.engine.assemble import Engine
from builder.exporter.layers import Layers
from builder.source.image import RegistryImages, register_layers
from builder.source.interface import PullPolicy, ResolvedSource
from builder.store.interface import Image


class Lender:
    """The images of a store, each resolved once: a tag may move between two builds."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._resolved: dict[tuple[str, Platform], ResolvedSource] = {}

    def resolve(
        self, reference: Reference, platform: Platform, policy: PullPolicy, job: Job
    ) -> ResolvedSource:
        """As a build of that store would, with every layer brought."""
        known = self._resolved.get((str(reference), platform))
        if known is None:
            known = self.engine.sources.resolve(reference, platform, policy, job)
            self.engine.bring_layers(known.image.snapshot)
            self._resolved[str(reference), platform] = known
        return known


class LentImages(RegistryImages):
    """An ImageSource that knows what the lender knows; nothing is fetched but into the lender's store."""

    def __init__(self, lender: Lender, borrower: Engine) -> None:
        super().__init__(
            lambda: lender.engine.registry, borrower.content, borrower.images, borrower.snapshots
        )
        self._lender = lender
        self._borrower = borrower

    def resolve(
        self, reference: Reference, platform: Platform, policy: PullPolicy, job: Job
    ) -> ResolvedSource:
        """See ImageSource. Pulled layers are linked to, those that were built are written once more."""
        source = self._lender.resolve(reference, platform, policy, job)
        lender, content = self._lender.engine, self._borrower.content
        descriptors = []
        with Layers(lender.snapshots, lender.content) as layers:
            for snapshot in lender.snapshots.chain(source.image.snapshot):
                layer = layers.descriptor(snapshot)
                descriptors.append(layer)
                if content.size(layer.digest) is not None:
                    continue
                if snapshot.layer is not None:
                    content.link(layer.digest, lender.content)
                    continue
                with content.writer() as writer:
                    layers.write(snapshot, writer.write)
                    writer.commit(expected=layer.digest)
        top = register_layers(self._borrower.snapshots, source.config, descriptors, origin="")
        return source._replace(image=Image(source.image.id, top, source.image.created_at))
