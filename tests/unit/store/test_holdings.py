"""What would be free if something went."""

from __future__ import annotations

from builder.store.holdings import Holdings, Node, Thing


def thing(kind: str, id: str, *roots: str, used_at: float = 1.0, path: str = "", content: str = "") -> Thing:
    return Thing(
        kind=kind, id=id, text="", created_at=1.0, used_at=used_at, roots=roots, path=path, content=content
    )


def chain(*names: str) -> dict[str, Node]:
    """Trees of ten bytes, each on the one before."""
    return {name: Node(tuple(names[i - 1 : i]) if i else (), 10) for i, name in enumerate(names)}


def test_shared_trees_are_free_with_their_last_user() -> None:
    """Two records on one base: each holds it, and neither alone gives it back."""
    one, two = thing("record", "1", "a"), thing("record", "2", "b")
    nodes = {**chain("base"), "a": Node(("base",), 1), "b": Node(("base",), 2)}
    holdings = Holdings([one, two], nodes, frozenset(), {})

    assert [holdings.size(one), holdings.size(two)] == [11, 12]
    assert [holdings.freed_by(one), holdings.freed_by(two)] == [1, 2]
    assert holdings.drop(one) == 1
    assert holdings.freed_by(two) == 12
    assert holdings.drop(one) == 0
    assert holdings.drop(two) == 12


def test_of_a_chain_the_top_is_free_first() -> None:
    """What is below is held by what is above, whoever made it."""
    below, above = thing("record", "below", "a"), thing("record", "above", "b")
    holdings = Holdings([below, above], chain("a", "b"), frozenset(), {})

    assert holdings.drop(below) == 0
    assert holdings.drop(above) == 20


def test_leases_hold() -> None:
    """What a running command holds gives nothing back."""
    record = thing("record", "1", "b")
    holdings = Holdings([record], chain("a", "b", "c"), frozenset({"a"}), {})

    assert holdings.drop(record) == 10
    assert holdings.unheld() == 10 + 10  # c, which nobody held, and b


def test_a_use_counts_for_all_below() -> None:
    """A build that finds its last step looks at none below it, and uses them all."""
    old, new = thing("record", "old", "a", used_at=5.0), thing("record", "new", "c", used_at=9.0)
    holdings = Holdings([old, new], chain("a", "b", "c"), frozenset(), {})

    assert holdings.last_used(old) == 9.0
    assert holdings.last_used(new) == 9.0


def test_own_files_count() -> None:
    """A cache mount has no trees; its directory is what it takes."""
    mount = thing("cache-mount", "1", path="caches-v1/1")

    assert Holdings([mount], {}, frozenset(), {"caches-v1/1": 7}).drop(mount) == 7


def test_packed_layers_go_with_the_last_snapshot_of_their_content() -> None:
    """They are of no use without it; by themselves they may go as well."""
    nodes = {"a": Node((), 10, "sha256:d"), "sha256:p": Node((), 3)}
    record = thing("record", "1", "a")
    packed = thing("packed-layer", "p", "sha256:p", content="sha256:d")

    assert Holdings([record, packed], nodes, frozenset(), {}).drop(packed) == 3
    holdings = Holdings([record, packed], nodes, frozenset(), {})
    assert holdings.drop(record) == 13
    assert holdings.is_gone(packed)


def test_what_is_not_there_takes_nothing() -> None:
    """A record of a snapshot that is gone."""
    record = thing("record", "1", "gone")
    holdings = Holdings([record], {}, frozenset(), {})

    assert [holdings.size(record), holdings.drop(record)] == [0, 0]


def test_thousands_of_steps_in_one_chain() -> None:
    """Each is looked at once or so: this is done while builds wait."""
    nodes = chain(*(f"s{n}" for n in range(5000)))
    things = [thing("record", str(n), f"s{n}") for n in range(5000)]
    holdings = Holdings(things, nodes, frozenset(), {})
    ordered = sorted(things, key=lambda each: -holdings.depth(each))

    assert [each.id for each in ordered[:2]] == ["4999", "4998"]
    assert {holdings.drop(each) for each in ordered} == {10}
