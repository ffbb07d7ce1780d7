"""Containers on disk: names, ids, and what a killed process leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builder.runtime.containers import Container, ContainerConflict, ContainerNotFound, ContainerStore
from tests.support.killing import other_process
from tests.support.local_store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as store:
        yield store


@pytest.fixture
def containers(store: Store) -> ContainerStore:
    return ContainerStore(store.state, store.database)


def create(containers: ContainerStore, name: str | None = None) -> Container:
    return containers.create(name=name, image="sha256:1", image_name="app", snapshot="top", args=("sh", "-c"))


def test_created(containers: ContainerStore) -> None:
    """A container has a row and a directory, and is found by name, id, and beginning of an id."""
    container = create(containers, "mine")

    assert containers.directory(container).is_dir()
    assert container.status == "created"
    assert container.args == ("sh", "-c")
    for name in ("mine", container.id, container.short_id, container.id[:4]):
        assert containers.find(name) == container


def test_nickname(containers: ContainerStore) -> None:
    """One without a name gets one that no other has, however many there are."""
    names = [create(containers).name for _ in range(60)]

    assert len(set(names)) == 60
    assert all("_" in name for name in names)


def test_taken_name(containers: ContainerStore) -> None:
    """A second container of one name is refused, and leaves nothing."""
    first = create(containers, "mine")
    with pytest.raises(ContainerConflict) as caught:
        create(containers, "mine")

    assert '"mine"' in caught.value.message
    assert containers.all() == [first]
    assert list(containers.directory(first).parent.iterdir()) == [containers.directory(first)]


def test_unknown_name(containers: ContainerStore) -> None:
    """What is not there is told; the empty name is the beginning of every id and means none."""
    create(containers)
    for name in ("absent", ""):
        with pytest.raises(ContainerNotFound):
            containers.find(name)


def test_ambiguous_beginning(containers: ContainerStore) -> None:
    """The beginning of two ids is refused."""
    seen: dict[str, int] = {}
    for _ in range(17):
        digit = create(containers).id[0]
        seen[digit] = seen.get(digit, 0) + 1
    twice = next(digit for digit, count in seen.items() if count > 1)
    with pytest.raises(ContainerConflict):
        containers.find(twice)


def test_whole_name_goes_before_beginnings(containers: ContainerStore) -> None:
    """A container that is called like the beginning of ids is found by its name."""
    others = [create(containers) for _ in range(17)]
    named = create(containers, others[0].id[0])

    assert containers.find(others[0].id[0]) == named


def test_newest_first(containers: ContainerStore) -> None:
    """A list begins with what was made last."""
    made = [create(containers, name) for name in "abc"]

    assert containers.all() == made[::-1]


def test_running_inside_the_block(containers: ContainerStore) -> None:
    """A container runs as long as its block, and has then what the caller recorded."""
    container = create(containers)
    with containers.running(container):
        running = containers.find(container.id)
        assert running.status == "running"
        assert running.started_at >= container.created_at
        with pytest.raises(ContainerConflict):
            containers.delete(running)
    containers.update(replace(container, status="exited", exit_code=3))

    assert containers.find(container.id).exit_code == 3


def test_killed_run_is_over(tmp_path: Path) -> None:
    """When the process of a running container is killed the container is known to be over."""

    def work(say: Callable[[bytes], None], wait: Callable[[], None]) -> None:
        with open_store(tmp_path) as store:
            containers = ContainerStore(store.state, store.database)
            container = create(containers, "victim")
            with containers.running(container):
                say(container.id.encode())
                wait()

    with other_process(work) as other:
        id = other.wait().decode()
        with open_store(tmp_path) as store:
            containers = ContainerStore(store.state, store.database)
            assert containers.find("victim").status == "running"
            other.kill()
            found = containers.find("victim")

            assert (found.id, found.status, found.exit_code) == (id, "exited", 137)
            containers.delete(found)
            assert containers.all() == []


def test_container_whose_directory_is_gone(containers: ContainerStore) -> None:
    """A process that was killed between row and directory leaves a container that can be removed."""
    container = create(containers)
    containers.update(replace(container, status="running"))
    containers.directory(container).rmdir()
    found = containers.find(container.id)

    assert found.status == "exited"
    containers.delete(found)
    assert containers.all() == []
