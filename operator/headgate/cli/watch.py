"""Follows one Rollout and what belongs to it by watches, and says when a release has ended."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from headgate.api import ROLLOUT
from headgate.api.common import LABEL_ROLLOUT, LABEL_VARIANT
from headgate.cli.client import Client, Gone, Json, path_of
from headgate.cli.errors import ApiError, CliError, Exit, does_not_exist
from headgate.cli.view import Picture, picture

NOT_FOUND, FORBIDDEN = 404, 403
LONGEST_PAUSE = 15.0
REDRAW = 1.0
"""Seconds between pictures without news, because ages grow."""


@dataclass
class Part:
    """One list of objects, as last seen."""

    title: str
    path: str
    query: dict[str, str]
    required: bool = False
    objects: dict[str, Json] = field(default_factory=dict)
    version: str = ""
    """Where to watch from; empty if it has to be listed again."""
    missing: str = ""
    """Why it cannot be shown."""
    problem: str = ""
    """Why it may be out of date at present."""


class Mirror:
    """What is shown of one Rollout, kept up to date."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._news = asyncio.Event()
        self._was_there = False
        of_rollout = {"labelSelector": f"{LABEL_ROLLOUT}={name}"}
        apps = f"/apis/apps/v1/namespaces/{namespace}"
        self._rollout = Part(
            "the Rollout",
            path_of(ROLLOUT, namespace),
            {"fieldSelector": f"metadata.name={name}"},
            required=True,
        )
        self._plans = Part("ControllerRevisions", f"{apps}/controllerrevisions", of_rollout)
        self._sets = Part("ReplicaSets", f"{apps}/replicasets", of_rollout)
        self._pods = Part("pods", f"/api/v1/namespaces/{namespace}/pods", of_rollout)
        self._variants: Part | None = None
        self._workload: Part | None = None

    @property
    def _parts(self) -> list[Part]:
        found = [self._rollout, self._plans, self._sets, self._pods]
        return [*found, *(part for part in (self._variants, self._workload) if part is not None)]

    async def load(self) -> Picture:
        """Read everything once."""
        await self._list(self._rollout)
        self._add_workload()
        self._add_variants()
        await asyncio.gather(*(self._list(part) for part in self._parts if part is not self._rollout))
        return self.picture()

    def picture(self) -> Picture:
        """What is known now.

        Raises:
            CliError: if the Rollout does not exist.
        """
        rollout = next(iter(self._rollout.objects.values()), None)
        if rollout is None:
            if self._was_there:
                raise CliError(f'Rollout "{self._name}" was deleted from namespace {self._namespace} meanwhile')
            raise does_not_exist(self._namespace, self._name)
        self._was_there = True
        workload = next(iter(self._workload.objects.values()), None) if self._workload else None
        return picture(
            rollout,
            self._plans.objects.values(),
            self._sets.objects.values(),
            [*self._pods.objects.values(), *(self._variants.objects.values() if self._variants else ())],
            workload,
            [part.missing or part.problem for part in self._parts if part.missing or part.problem],
        )

    async def follow(self) -> AsyncGenerator[Picture]:
        """A picture at once, one with all news, and one each second, because ages grow."""
        yield await self.load()
        tasks = [asyncio.ensure_future(self._watch(part)) for part in self._parts if not part.missing]
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), REDRAW)
                self._news.clear()
                for task in tasks:
                    if task.done():
                        task.result()
                yield self.picture()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _add_workload(self) -> None:
        for rollout in self._rollout.objects.values():
            if reference := (rollout.get("spec") or {}).get("workloadRef"):
                kind = str(reference.get("kind", "Deployment"))
                self._workload = Part(
                    f"the {kind}",
                    f"/apis/apps/v1/namespaces/{self._namespace}/{kind.lower()}s",
                    {"fieldSelector": f"metadata.name={reference.get('name')}"},
                )

    def _add_variants(self) -> None:
        """Their pods do not carry the Rollout's label; whose they are their ReplicaSets tell."""
        steps = [
            step
            for rollout in self._rollout.objects.values()
            for step in ((rollout.get("spec") or {}).get("strategy") or {}).get("canary", {}).get("steps") or ()
        ]
        if any("experiment" in step for step in steps):
            path, labels = f"/api/v1/namespaces/{self._namespace}/pods", {"labelSelector": LABEL_VARIANT}
            self._variants = Part("pods of variants", path, labels)

    async def _list(self, part: Part) -> None:
        """Read a whole part."""
        try:
            answer = await self._client.get(part.path, part.query)
        except ApiError as error:
            if part.required or error.status not in {FORBIDDEN, NOT_FOUND}:
                raise
            part.missing = f"without {part.title}: {error.message.split(';')[0]}"
            return
        part.objects = {item["metadata"]["uid"]: item for item in answer.get("items") or []}
        part.problem = ""
        part.version = str((answer.get("metadata") or {}).get("resourceVersion") or "")

    async def _watch(self, part: Part) -> None:
        """Keep a part up to date for ever: go on where a watch ended, list again where that is not possible."""
        pause = 0.0
        while not part.missing:
            try:
                if not part.version:
                    await self._list(part)
                    self._news.set()
                async with aclosing(self._client.watch(part.path, part.query, part.version)) as events:
                    async for kind, obj in events:
                        part.version = str(obj["metadata"]["resourceVersion"])
                        pause = 0.0
                        if kind != "BOOKMARK":
                            self._take(part, kind, obj)
            except Gone:
                part.version = ""
            except CliError as error:
                if error.code is not Exit.UNREACHABLE:
                    if part.required:
                        raise
                    part.missing = f"without {part.title}: {error.message}"
                    self._news.set()
                    return
                pause = min(LONGEST_PAUSE, max(0.5, pause * 2))
                part.problem = f"perhaps out of date, {part.title}: {error.message}"
                # After an outage a list shows at once what was missed, and clears the note.
                part.version = ""
                self._news.set()
            await asyncio.sleep(pause * random.uniform(0.75, 1.25))

    def _take(self, part: Part, kind: str, obj: Json) -> None:
        uid = obj["metadata"]["uid"]
        if kind == "DELETED":
            part.objects.pop(uid, None)
        else:
            part.objects[uid] = obj
        self._news.set()


def ending(shown: Picture) -> Exit | None:
    """How the release ended: OK on stable and wanted, REFUSED on stable because it was taken back; None while it runs.

    An operator that has not yet seen the newest spec, or the newest Deployment, still speaks of the release before.
    """
    state = shown.rollout.status
    if not shown.up_to_date or shown.rollout.running is not None or state.stable is None:
        return None
    return {"Healthy": Exit.OK, "Degraded": Exit.REFUSED}.get(state.phase)


async def until_done(mirror: Mirror, show: Callable[[Picture], None], *, stop: bool) -> Exit:
    """Show every picture; with `stop`, end as the release ends."""
    async for shown in mirror.follow():
        show(shown)
        if stop and (end := ending(shown)) is not None:
            return end
    return Exit.OK
