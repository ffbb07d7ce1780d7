"""From whoever writes into a sink to whoever reads a stream: a pipe and a thread."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

# As large as a pipe may be without privileges (pipe(7), pipe-max-size).
_SIZE = 1 << 20


@contextlib.contextmanager
def piped(write: Callable[[Callable[[bytes], object]], object]) -> Iterator[BinaryIO]:
    """What ``write`` puts into its sink, to be read in the block; it runs in a thread meanwhile.

    Its error counts more than the block's, which has seen only a stream that broke off. A block that ends
    early ends the writing; one that does not fail has the rest read for it, so that ``write`` ends too.
    """
    from concurrent.futures import ThreadPoolExecutor

    read_fd, write_fd = os.pipe()
    with contextlib.suppress(OSError):  # of a user who has many pipes
        fcntl.fcntl(write_fd, fcntl.F_SETPIPE_SZ, _SIZE)

    def run() -> None:
        with contextlib.suppress(BrokenPipeError), open(write_fd, "wb") as file:
            write(file.write)

    with ThreadPoolExecutor(1, thread_name_prefix="pipe") as pool:
        writing = pool.submit(run)
        try:
            with open(read_fd, "rb") as file:
                yield file
                while file.read(_SIZE):
                    pass
        except BaseException as error:
            failure = writing.exception()
            if failure is not None:
                raise failure from error
            raise
        writing.result()
