"""Process 1 of a node: lays out its private folders and network, then keeps its daemons running.

It runs inside name spaces of its own (processes, mounts, network), so that ending this one process ends every
container, mount and address of the node with it, and several nodes do not see each other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn


def main(specification: str) -> NoReturn:
    """Be the node that the file describes, until told to stop."""
    spec = json.loads(Path(specification).read_text())
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    # The kubelet expects its volumes to be seen by containers; nothing leaves this name space.
    _do("mount", "--make-rshared", "/")
    # CNI, containerd and runc keep sockets and network name spaces here under names that all nodes share.
    _do("mount", "-t", "tmpfs", "-o", "mode=755", "headgate-run", "/run")
    for host, own in spec["binds"].items():
        Path(own).mkdir(parents=True, exist_ok=True)
        _do("mount", "--bind", own, host)
    _network(spec["network"])
    Path(spec["ready"]).touch()
    _supervise(spec["children"], Path(spec["logs"]))


def _network(network: dict[str, str]) -> None:
    end = time.monotonic() + 30
    while not Path("/proc/net/dev").read_text().count("eth0:"):
        if time.monotonic() > end:
            sys.exit("the machine's end of the cable did not come")
        time.sleep(0.02)
    _do("ip", "link", "set", "lo", "up")
    _do("ip", "address", "add", f"{network['address']}/30", "dev", "eth0")
    _do("ip", "link", "set", "eth0", "up")
    _do("ip", "route", "add", "default", "via", network["gateway"])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


def _supervise(children: dict[str, list[str]], logs: Path) -> NoReturn:
    running: dict[int, str] = {}
    due = dict.fromkeys(children, 0.0)
    while True:
        for name in [name for name, moment in due.items() if moment <= time.monotonic()]:
            del due[name]
            with (logs / f"{name}.log").open("ab") as log:
                process = subprocess.Popen(
                    children[name],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            running[process.pid] = name
        # Shims of containers become children of process 1 when their parent ends; all of them have to be collected.
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pid = 0
        if pid in running:
            due[running.pop(pid)] = time.monotonic() + 1
        elif pid == 0:
            time.sleep(0.2)


def _do(*words: str) -> None:
    subprocess.run(words, check=True, timeout=30)


if __name__ == "__main__":
    main(sys.argv[1])
