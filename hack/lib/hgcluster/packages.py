"""Debian packages: installs what a node needs, or says in one sentence what a person has to install."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from hgcluster import paths, run, ui

# A package is wanted when none of these commands or files is there; containerd from another vendor is as good.
NODE: Mapping[str, tuple[str, ...]] = {
    "containerd": ("containerd",),
    "runc": ("runc",),
    "containernetworking-plugins": ("/usr/lib/cni/ptp", "/opt/cni/bin/ptp"),
    "iptables": ("iptables",),
    "iproute2": ("ip",),
    "util-linux": ("unshare",),
}
IMAGE_BUILD: Mapping[str, tuple[str, ...]] = {"buildah": ("buildah",), "mmdebstrap": ("mmdebstrap",)}

# Packages that can start services when they are installed do not do so here: the clusters run their own.
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "NEEDRESTART_MODE": "l"}
_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def find(command: str) -> str | None:
    """The path of a command, system folders included, which not every user has in PATH."""
    if command.startswith("/"):
        return command if Path(command).exists() else None
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:{_SBIN}")


def ensure(wanted: Mapping[str, tuple[str, ...]], purpose: str) -> None:
    """Install those of the packages that are missing."""
    missing = [package for package, proofs in wanted.items() if not any(map(find, proofs))]
    if not missing:
        return
    names = " ".join(missing)
    if not find("apt-get"):
        raise ui.ClusterError(
            f"{purpose} needs {names}, and there is no apt-get here. Install their equivalents, or start a Docker "
            "engine, or use a cluster of yours with --context NAME."
        )
    if os.geteuid() != 0:
        raise ui.ClusterError(
            f"{purpose} needs the Debian packages {names}, and only root may install them. "
            f"Run: sudo apt-get install --no-install-recommends {names}"
        )
    with paths.lock("apt", "installing packages"), ui.step(f"installing Debian packages: {names} (usually 20 s, once)"):
        _update_lists()
        run.run(
            ["apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *missing],
            what=f"installing {names}",
            env=_QUIET,
            timeout=900,
            hint="Is the machine online, and are its package sources right?",
        )


def unpack(package: str, into: Path) -> None:
    """Take a package's files without installing it, so that no service of its is ever started."""
    if not find("apt-get") or not find("dpkg-deb"):
        raise ui.ClusterError(f"the files of the Debian package {package} are needed, and there is no apt-get here.")
    into.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        _update_lists()
    run.run(
        ["apt-get", "download", "-o", "APT::Sandbox::User=root", package],
        what=f"downloading the Debian package {package}",
        cwd=into,
        timeout=600,
        hint="Is the machine online? Not root: run 'sudo apt-get update' once.",
    )
    for file in into.glob(f"{package}_*.deb"):
        run.run(["dpkg-deb", "--extract", file, into], what=f"unpacking {file.name}")
        file.unlink()


def _update_lists() -> None:
    run.run(["apt-get", "update", "-qq"], what="reading the package lists", timeout=300)
