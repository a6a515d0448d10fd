"""Every version that the API server stored of the objects of Rollouts, in order, as an administrator's watch has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hack.lib.hgbench.client import Client, Json

KINDS = {
    "Rollout": "/apis/headgate.dev/v1alpha1/rollouts",
    "RolloutAction": "/apis/headgate.dev/v1alpha1/rolloutactions",
    "HTTPRoute": "/apis/gateway.networking.k8s.io/v1/httproutes",
    "ReplicaSet": "/apis/apps/v1/replicasets",
    "ControllerRevision": "/apis/apps/v1/controllerrevisions",
    "Service": "/api/v1/services",
}

LOOK = 0.5


@dataclass(frozen=True, slots=True)
class Version:
    """One object as it was stored at one moment."""

    kind: str
    type: str
    """ADDED, MODIFIED or DELETED."""
    at: float
    """Monotonic, when it was heard of."""
    version: int
    obj: Json = field(repr=False)

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.obj["metadata"]["name"])


@dataclass(eq=False)
class Story:
    """The versions of one application's objects: those with its name, and those whose names begin with it."""

    namespace: str
    name: str
    versions: list[Version] = field(default_factory=list)
    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    """What is there now, by kind and name."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def get(self, kind: str, name: str) -> Json | None:
        """One object, as it is now."""
        return self.objects.get((kind, name))

    def all(self, kind: str) -> list[Json]:
        """All objects of a kind, as they are now."""
        return [obj for (found, _), obj in sorted(self.objects.items()) if found == kind]

    def of(self, kind: str) -> list[Version]:
        """The versions of a kind, oldest first."""
        return [version for version in self.versions if version.kind == kind]

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until something holds; gives whether it did in time.

        Each change of an object is looked at at once, what else it may depend on (requests, say) each `LOOK` seconds.
        """
        ends = time.monotonic() + seconds
        while not holds():
            left = ends - time.monotonic()
            if left <= 0:
                return False
            self.changed.clear()
            try:
                async with asyncio.timeout(min(left, LOOK)):
                    await self.changed.wait()
            except TimeoutError:
                continue
        return True

    def _take(self, version: Version) -> None:
        self.versions.append(version)
        key = (version.kind, version.name)
        if version.type == "DELETED":
            self.objects.pop(key, None)
        else:
            self.objects[key] = version.obj
        self.changed.set()


class History:
    """The stories of all applications; use it as a context manager's inside, in tasks of its own."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stories: dict[tuple[str, str], Story] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to watch."""
        for kind, path in KINDS.items():
            listing = await self._client.get(f"{path}?limit=1")
            # What is there already belongs to nobody who asks.
            version = str(listing["metadata"]["resourceVersion"])
            self._tasks.append(asyncio.create_task(self._watch(kind, path, version), name=f"history of {kind}"))

    async def stop(self) -> None:
        """Watch no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def require(self) -> None:
        """Fail if a watch has ended: what it did not see cannot be judged."""
        for task in self._tasks:
            if task.done():
                raise RuntimeError(f"{task.get_name()} ended") from task.exception()

    def follow(self, namespace: str, name: str) -> Story:
        """The story of an application, from now on."""
        story = Story(namespace, name)
        self._stories[namespace, name] = story
        return story

    async def fill(self) -> None:
        """Give the stories that are followed what is there already."""
        for kind, path in KINDS.items():
            for obj in (await self._client.get(path))["items"]:
                self._hand_out(kind, "ADDED", obj)

    def forget(self, story: Story) -> None:
        """Follow it no more."""
        self._stories.pop((story.namespace, story.name), None)

    async def _watch(self, kind: str, path: str, version: str) -> None:
        while True:
            async for event in self._client.watch(path, version):
                if event["type"] == "ERROR":
                    raise RuntimeError(f"the watch on {kind} ended: {event['object'].get('message')}")
                meta = event["object"]["metadata"]
                version = str(meta["resourceVersion"])
                if event["type"] == "BOOKMARK":
                    continue
                self._hand_out(kind, event["type"], event["object"])

    def _hand_out(self, kind: str, type_: str, obj: Json) -> None:
        meta = obj["metadata"]
        name = str(meta["name"])
        story = self._stories.get((meta["namespace"], name)) or self._stories.get(
            (meta["namespace"], name.partition("-")[0])
        )
        if story is not None:
            meta.pop("managedFields", None)
            story._take(Version(kind, type_, time.monotonic(), int(meta["resourceVersion"]), obj))  # noqa: SLF001
