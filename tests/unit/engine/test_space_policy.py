"""What goes, in which order, and why the rest stays."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from builder.engine.filters import InvalidFilter
from builder.engine.space.policy import Policy, judge, read_filters
from builder.store.holdings import KINDS, Holdings, Node, Thing

_HOUR = 3600.0


def thing(kind: str, id: str, *roots: str, age: float = 2 * _HOUR, **more: str) -> Thing:
    at = time.time() - age
    made = Thing(kind=kind, id=id, text=id, created_at=at, used_at=at, roots=roots)
    return replace(made, **more)  # type: ignore[arg-type]  # fields of text


def store(*things: Thing, leased: str = "") -> Holdings:
    """Each snapshot is ten bytes and stands alone."""
    names = {root for each in things for root in each.roots}
    return Holdings(list(things), {name: Node((), 10) for name in names}, frozenset(leased.split()), {})


def reasons(holdings: Holdings, policy: Policy, total: int = 1000) -> dict[str, str]:
    """By id; "" is what goes."""
    return {v.thing.id: v.reason for v in judge(holdings, policy, total)}


def test_every_record_that_stays_says_why() -> None:
    """Images and containers by their names, running commands, and none of the others."""
    holdings = store(
        thing("image", "app", "a", pinned="it has a name"),
        thing("image", "nameless", "n"),
        thing("container", "box", "c", pinned="`pybuild rm` removes containers"),
        thing("record", "of-image", "a"),
        thing("record", "of-nameless", "n"),
        thing("record", "of-container", "c"),
        thing("record", "of-command", "l"),
        thing("record", "old", "o"),
        thing("build", "b"),
        leased="l",
    )

    assert reasons(holdings, Policy()) == {
        "app": "it has a name",
        "nameless": "",
        "box": "`pybuild rm` removes containers",
        "of-image": 'image "app" uses it',
        "of-nameless": "",
        "of-container": 'container "box" uses it',
        "of-command": "a running command uses it",
        "old": "",
        "b": "--all takes it",
    }


def test_all_takes_what_images_share() -> None:
    """But nothing that a running command uses, and no named image."""
    holdings = store(
        thing("image", "app", "a", pinned="it has a name"),
        thing("record", "of-image", "a"),
        thing("record", "of-command", "l"),
        thing("build", "b"),
        leased="l",
    )

    assert reasons(holdings, Policy(takes_shared=True)) == {
        "app": "it has a name",
        "of-image": "",
        "of-command": "a running command uses it",
        "b": "",
    }


def test_the_last_used_stays_within_the_limit() -> None:
    """Ten bytes each, of a store of fifty: the two oldest go for a limit of thirty."""
    holdings = store(*(thing("record", str(n), f"s{n}", age=n * _HOUR) for n in range(1, 6)))
    found = judge(holdings, Policy(keep=30, keep_text="the limit"), 50, sizes_kept=True)

    assert [v.thing.id for v in found if v.is_removed] == ["5", "4"]
    assert {v.reason for v in found if not v.is_removed} == {"within the limit"}
    assert [v.size for v in found] == [10] * 5


def test_filters() -> None:
    """Age, type and the beginning of an id."""
    recent = thing("record", "aa", "a", age=10)
    holdings = store(recent, thing("record", "bb", "b"), thing("log", "bc"), thing("record", "c", "c"))
    now = time.time()

    def gone(*filters: str) -> list[str]:
        things = store(*holdings.things)
        return sorted(
            v.thing.id for v in judge(things, read_filters(list(filters), now=now), 100) if v.is_removed
        )

    assert gone() == ["aa", "bb", "bc", "c"]
    assert gone("until=1h") == ["bb", "bc", "c"]
    assert gone(f"until={int(now) - 3600}") == ["bb", "bc", "c"]
    assert gone("type=log") == ["bc"]
    assert gone("type==regular", "id=b", "id=c") == ["bb", "c"]


@pytest.mark.parametrize("text", ["until", "until=", "until=soon", "size=5", "type=thing", "=x"])
def test_filters_that_mean_nothing(text: str) -> None:
    """They are refused, for a mistake would remove too much."""
    with pytest.raises(InvalidFilter):
        read_filters([text], now=0.0)


def test_every_kind_has_a_place_in_the_order() -> None:
    """Of equal age, the image goes before what could build it again."""
    names = [kind for kind in KINDS if kind != "build" and kind != "stat-cache"]
    holdings = store(*(thing(kind, kind, f"s-{kind}") for kind in reversed(names)))

    assert sorted(names) == sorted(v.thing.id for v in judge(holdings, Policy(), 1000))
    assert names.index("image") < names.index("record")
