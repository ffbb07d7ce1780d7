"""What `verify` takes from an image that it did not build."""

from __future__ import annotations

import pytest

from builder.core.image import History, ImageConfig
from builder.core.platform import Platform
from builder.engine.verify import epoch_told


@pytest.mark.parametrize(
    ("created", "last", "epoch_s"),
    [
        ("2020-09-13T12:26:40Z", "2020-09-13T12:26:40Z", 1_600_000_000),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 0),
        ("2020-09-13T12:26:40.25Z", "2020-09-13T12:26:40.25Z", None),
        ("2020-09-13T12:26:40Z", "2020-09-13T12:26:39Z", None),
        ("yesterday", "yesterday", None),
    ],
)
def test_epoch_that_an_image_tells_of(created: str, last: str, epoch_s: int | None) -> None:
    """A whole second that the newest history has too; a clock's time has a fraction."""
    config = ImageConfig(platform=Platform.host(), created=created, history=(History(created=last),))

    assert epoch_s == epoch_told(config)
