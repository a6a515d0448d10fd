"""Counts the operator's requests in a slice of the audit log."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from hack.lib.hgbench.cluster import USER

READS = ("get", "list", "watch")
REFUSED = (409, 422)
LEASES = "leases"
_MARK = f'"username":"{USER}"'.encode()


@dataclass(slots=True)
class Counts:
    """Requests by what they are."""

    writes: Counter[str] = field(default_factory=Counter)
    """`verb resource`, Events, Leases and refused ones not among them."""
    events: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """`code verb resource`."""
    failed: Counter[str] = field(default_factory=Counter)
    """Any other answer from 400 on."""
    reads: Counter[str] = field(default_factory=Counter)
    leases: int = 0

    def quiet(self) -> bool:
        """Whether nothing but the Lease was written."""
        return not (self.writes or self.events or self.refused or self.failed)


class AuditLog:
    """The log of one cluster; a mark is a place in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def mark(self) -> int:
        """Where the log ends now."""
        return self._path.stat().st_size

    def count(self, begin: int, end: int | None = None) -> Counts:
        """The operator's requests between two marks."""
        counts = Counts()
        with self._path.open("rb") as log:
            log.seek(begin)
            at = begin
            for line in log:
                at += len(line)
                if end is not None and at > end:
                    break
                if _MARK in line and line.endswith(b"\n"):
                    _take(counts, line)
        return counts

    async def until_quiet(self, seconds: float, limit: float) -> float:
        """Wait until the operator has written nothing but its Lease for so long; gives the time of the last write."""
        begin, last = self.mark(), time.monotonic()
        ends = last + limit
        while time.monotonic() < ends:
            await asyncio.sleep(1)
            here = self.mark()
            if not self.count(begin, here).quiet():
                last = time.monotonic()
            elif time.monotonic() - last >= seconds:
                return last
            begin = here
        return last


def _take(counts: Counts, line: bytes) -> None:
    entry = orjson.loads(line)
    verb, reference = entry["verb"], entry.get("objectRef") or {}
    # A watch is a request when it begins; it may end hours later.
    if entry["stage"] != ("ResponseStarted" if verb == "watch" else "ResponseComplete"):
        return
    what = str(reference.get("resource") or entry.get("requestURI", ""))
    if reference.get("subresource"):
        what += f"/{reference['subresource']}"
    code = int((entry.get("responseStatus") or {}).get("code") or 0)
    if what == LEASES:
        counts.leases += 1
    elif code in REFUSED:
        counts.refused[f"{code} {verb} {what}"] += 1
    elif code >= 400:
        counts.failed[f"{code} {verb} {what}"] += 1
    elif verb in READS:
        counts.reads[f"{verb} {what}"] += 1
    elif what == "events":
        counts.events += 1
    else:
        counts.writes[f"{verb} {what}"] += 1
