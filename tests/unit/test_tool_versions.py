"""The programs of a local cluster share one build cache, which holds as long as they share their versions."""

from __future__ import annotations

import re
from pathlib import Path

TOOLS = Path(__file__).parents[2] / "hack" / "tools"


def _versions(module: Path) -> dict[str, str]:
    """Each module and the version that is built: the last word has what replaces it."""
    text = (module / "go.mod").read_text()
    required = dict(re.findall(r"^\s+(\S+) (v\S+)", text, re.MULTILINE))
    replaced = dict(re.findall(r"(\S+) => \S+ (v\S+)", text))
    return required | {name: version for name, version in replaced.items() if name in required}


def test_the_dns_is_built_from_what_kubernetes_was_built_from() -> None:
    """Else it would build a client of its own, which takes eight times as long as the rest of it."""
    kubernetes, dns = _versions(TOOLS), _versions(TOOLS / "coredns")
    shared = kubernetes.keys() & dns.keys()

    assert len(shared) > 30
    assert {name: dns[name] for name in shared} == {name: kubernetes[name] for name in shared}
