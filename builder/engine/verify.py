"""`verify`: the same build again, elsewhere, and what came out otherwise."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from builder.core.errors import Kind, PybuildError
from builder.core.events import Progress
from builder.core.image import ImageConfig
from builder.core.job import Job
from builder.engine.assemble import Engine
from builder.engine.build import BuildRequest, BuildSource, build
from builder.engine.imagecompare import ImageDifference, StoredImage, compare_images
from builder.engine.imageplatforms import image_for
from builder.engine.lent import Lender
from builder.engine.outputs import Outputs
from builder.engine.prepare import prepare
from builder.engine.recorder import Recorder
from builder.frontend.dockerfile.convert import DockerfileFrontend
from builder.frontend.dockerfile.epoch import EPOCH_NAME

_UMASK = 0o022
_OTHER_UMASK = 0o077

Shown = Callable[[], AbstractContextManager[Progress]]


class NotRepeatable(PybuildError):
    """What is to be built can be read only once."""

    kind = Kind.INVALID
    code = "not-repeatable"


class NotReproducible(PybuildError):
    """The same build gave another image."""

    kind = Kind.FAILED
    code = "not-reproducible"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What two builds, or an image and a build, have in common."""

    difference: ImageDifference
    epoch_s: int | None  # the SOURCE_DATE_EPOCH that was built with
    is_epoch_assumed: bool = False  # nobody gave one
    is_rewritten: bool = False  # file times were set back to it


class Verifier:
    """Builds in roots below the scratch directory of ``engine``, which end with its job."""

    def __init__(
        self, engine: Engine, request: BuildRequest, recorder: Callable[[], Recorder], source: BuildSource
    ) -> None:
        """``request`` has no tags, and at most one platform. Raises NotRepeatable."""
        if "-" in (request.context, request.file):
            raise NotRepeatable(
                "standard input cannot be built twice", hint="unpack it to a folder, and verify that"
            )
        self._engine = engine
        self._request = replace(request, tags=(), outputs=Outputs())
        self._recorder = recorder
        self._source = source
        self._lender = Lender(engine)

    def against_itself(self, shown: Shown) -> Verdict:
        """Build twice. Without an epoch the time is 0, and that of files too."""
        with ExitStack() as stack:
            first, epoch_s, request = self._first(stack, shown)
            is_assumed = epoch_s is None
            if is_assumed:
                epoch_s, request = 0, _at(request, 0, is_rewritten=True)
            made = self._build(first, request, shown)
            _wait_past(time.time())
            again = self._again(stack, request, shown)
            return Verdict(compare_images(made, again), epoch_s, is_assumed, request.rewrites_timestamps)

    def against(self, name: str, shown: Shown) -> Verdict:
        """Build once, and compare with an image of the store, at the epoch that it tells of.

        Raises ImageNotFound.
        """
        wanted = self._request.platforms[0] if self._request.platforms else None
        known = StoredImage(self._engine, image_for(self._engine, name, wanted))
        with ExitStack() as stack:
            second, epoch_s, request = self._first(stack, shown, is_umask_other=True)
            if epoch_s is None:
                epoch_s = epoch_told(ImageConfig.from_json(known.config()))
                if epoch_s is not None:
                    is_rewritten = request.rewrites_timestamps or self._may_be_rewritten(known)
                    request = _at(request, epoch_s, is_rewritten=is_rewritten)
            _wait_past(known.image.created_at)
            with _umask():
                made = self._build(second, request, shown)
            return Verdict(compare_images(known, made), epoch_s, False, request.rewrites_timestamps)

    def _may_be_rewritten(self, known: StoredImage) -> bool:
        """Of an image that was built here the store knows; of one from elsewhere it is likely."""
        chain = self._engine.snapshots.chain(known.image.snapshot)
        return bool(chain) and (chain[-1].clamp_s is not None or chain[-1].layer is not None)

    def _first(
        self, stack: ExitStack, shown: Shown, *, is_umask_other: bool = False
    ) -> tuple[Engine, int | None, BuildRequest]:
        """A root, the epoch that the request and the Dockerfile give, and the request."""
        with _umask() if is_umask_other else contextlib.nullcontext():
            engine = self._open(stack)
        with shown() as progress:
            job = Job(engine.job.id, progress=progress, cancel=engine.job.cancel)
            with prepare(engine, self._request, self._recorder(), job) as prepared:
                self._source.name, self._source.data = prepared.dockerfile.name, prepared.dockerfile.data
                converted = DockerfileFrontend().convert(prepared.question, prepared.bridge)
        return engine, converted.epoch_s, self._request

    def _again(self, stack: ExitStack, request: BuildRequest, shown: Shown) -> StoredImage:
        with _umask():
            return self._build(self._open(stack), request, shown)

    def _open(self, stack: ExitStack) -> Engine:
        root = self._engine.state.scratch / f"verify-{self._engine.state.new_name()}"
        config = replace(self._engine.config, root=root)
        return stack.enter_context(Engine.open(config, self._engine.job, lender=self._lender))

    def _build(self, engine: Engine, request: BuildRequest, shown: Shown) -> StoredImage:
        with shown() as progress:
            outcome = build(engine, request, self._recorder(), self._source, progress)
        image = engine.images.get(outcome.image)
        assert image is not None, "it was just built"
        return StoredImage(engine, image)


def epoch_told(config: ImageConfig) -> int | None:
    """The SOURCE_DATE_EPOCH that an image was built with; None: with none, as far as it tells.

    A time of the clock has a fraction, and differs from step to step.
    """
    if not config.history or config.created != config.history[-1].created or "." in config.created:
        return None
    try:
        return int(datetime.fromisoformat(config.created).timestamp())
    except ValueError:
        return None


def _at(request: BuildRequest, epoch_s: int, *, is_rewritten: bool) -> BuildRequest:
    arguments = {**request.build_args, EPOCH_NAME: str(epoch_s)}
    return replace(request, build_args=arguments, rewrites_timestamps=is_rewritten)


def _wait_past(moment: float) -> None:
    """Until the second of ``moment`` is over: steps of two builds that see one second would hide a date."""
    time.sleep(max(0.0, min(1.0, moment // 1 + 1 - time.time())))


@contextlib.contextmanager
def _umask() -> Iterator[None]:
    """Another than that of the caller, for the whole process and what it starts."""
    before = os.umask(_OTHER_UMASK)
    if before == _OTHER_UMASK:
        os.umask(_UMASK)
    try:
        yield
    finally:
        os.umask(before)
