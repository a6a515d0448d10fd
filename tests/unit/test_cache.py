"""The cache: nothing older replaces anything newer, nothing that is gone comes back."""

from __future__ import annotations

from typing import Any

from headgate.engine.cache import Cache


def service(version: int, *, uid: str = "u1", name: str = "s", selector: str = "x") -> dict[str, Any]:
    """A Service."""
    return {
        "metadata": {
            "namespace": "shop",
            "name": name,
            "uid": uid,
            "resourceVersion": str(version),
            "managedFields": [{}],
        },
        "spec": {"selector": {"app": selector}, "ports": [{"port": 80}]},
    }


def selected(cache: Cache) -> str | None:
    """What the cached Service selects."""
    found = cache.get("Service", "shop", "s")
    return found["spec"]["selector"]["app"] if found else None


def test_an_older_version_is_dropped() -> None:
    """An event that is older than the answer of our own write changes nothing; numbers are compared, not texts."""
    cache = Cache()
    assert cache.put("Service", service(100, selector="new"))
    assert not cache.put("Service", service(99, selector="old"))
    assert not cache.put("Service", service(100, selector="same version"))
    assert selected(cache) == "new"


def test_only_a_change_of_what_is_kept_is_news() -> None:
    """A new version without a change takes the version, so that writes carry it, and wakes nobody."""
    cache = Cache()
    cache.put("Service", service(1))
    assert not cache.put("Service", service(2))
    found = cache.get("Service", "shop", "s")
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "2"
    assert cache.put("Service", service(3, selector="other"))


def test_a_deleted_object_does_not_come_back() -> None:
    """A late event of a deleted uid is dropped, even a newer one; another uid of the same name is taken."""
    cache = Cache()
    cache.put("Service", service(5))
    assert cache.remove("Service", "shop", "s", "u1") is not None
    assert not cache.put("Service", service(7)), "a late event brought a deleted object back"
    assert selected(cache) is None
    assert cache.put("Service", service(8, uid="u2"))


def test_a_late_deletion_of_an_earlier_object_leaves_the_later_one() -> None:
    """Deleting the first uid after the second one was seen removes nothing."""
    cache = Cache()
    cache.put("Service", service(8, uid="u2"))
    assert cache.remove("Service", "shop", "s", "u1") is None
    assert selected(cache) == "x"


def test_a_late_event_of_an_earlier_object_is_dropped() -> None:
    """An older incarnation of a name does not replace a newer one."""
    cache = Cache()
    cache.put("Service", service(8, uid="u2", selector="second"))
    assert not cache.put("Service", service(6, uid="u1", selector="first"))
    assert selected(cache) == "second"


def test_a_sweep_drops_only_what_is_not_newer_than_its_list() -> None:
    """What was written after the list was taken stays, whether the list knows it or not."""
    cache = Cache()
    cache.put("Service", service(10, name="old", uid="a"))
    cache.put("Service", service(30, name="new", uid="b"))
    cache.put("Service", service(12, name="there", uid="c"))
    gone = cache.missing_from("Service", {("shop", "there"): "c"}, 20, "")
    assert [o["metadata"]["name"] for o in gone] == ["old"], "the sweep drops what is newer than its list"


def test_a_sweep_of_one_namespace_leaves_the_others() -> None:
    """A list of one namespace says nothing about another one."""
    cache = Cache()
    cache.put("Service", service(10))
    assert cache.missing_from("Service", {}, 20, "elsewhere") == []


def test_an_index_follows_changes_and_deletions() -> None:
    """An object is found under its present values only."""
    cache = Cache()
    cache.index("Service", "app", lambda o: (o["spec"]["selector"]["app"],))
    cache.put("Service", service(1, selector="one"))
    cache.put("Service", service(2, selector="two"))
    assert cache.by("Service", "app", "one") == []
    assert [o["metadata"]["name"] for o in cache.by("Service", "app", "two")] == ["s"]
    cache.remove("Service", "shop", "s", "u1")
    assert cache.by("Service", "app", "two") == []


def test_only_what_is_needed_is_kept() -> None:
    """managedFields and the parts that nobody observes are not in memory."""
    cache = Cache()
    cache.put("Service", service(1))
    found = cache.get("Service", "shop", "s")
    assert found is not None
    assert "managedFields" not in found["metadata"]
    assert found["spec"] == {"selector": {"app": "x"}}


def test_the_barrier_opens_when_every_kind_is_in() -> None:
    """No decision is possible before the first list of every needed kind."""
    cache = Cache()
    cache.mark_synced("Service")
    assert not cache.synced(["Service", "ReplicaSet"])
    cache.mark_synced("ReplicaSet")
    assert cache.synced(["Service", "ReplicaSet"])
