"""What a revision is: a versioned hash of the raw pod template, and the short form that labels pods."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' safe alphabet: no vowels and no look-alikes, so that no word and no misreading can come out."""
POD_HASH_LENGTH = 10


def revision_of(template: Mapping[str, Any]) -> str:
    """The full revision, `v1-<sha256>`, of a pod template exactly as it stands in the API (key order does not count).

    The prefix is the version of this rule: a later rule gets another one and compares old revisions by the old rule, so
    that an upgrade of the operator never starts a release.
    """
    text = json.dumps(template, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "v1-" + hashlib.sha256(text.encode()).hexdigest()


def with_contents(revision: str, held: Iterable[str]) -> str:
    """The revision of a template whose configuration is part of it; the same one if that is nothing."""
    found = tuple(held)
    if not found:
        return revision
    return "v1-" + hashlib.sha256("\n".join((revision, *found)).encode()).hexdigest()


def pod_hash_of(revision: str, collision: int = 0) -> str:
    """The short form of a revision; another `collision` count gives another one."""
    seed = revision if not collision else f"{revision}/{collision}"
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:12], "big")
    letters = []
    for _ in range(POD_HASH_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[digit])
    return "".join(letters)
