"""Builds the images of the operator and of the demo application when their sources have changed, and loads them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from hack.lib.hgdemo.cluster import COMMAND, ROOT, Cluster, cache
from hack.lib.hgdemo.waiting import Trouble, run, run_shown

APPLICATION_IMAGE = "demo-app:dev"
_APPLICATION = ROOT / "hack" / "demo-app"


def operator_tag() -> str:
    """The tag of the operator's image: a digest of all that goes into it, so that a changed source is another image."""
    sources = [ROOT / name for name in ("Dockerfile", "requirements.lock", "pyproject.toml", "LICENSE")]
    return "src-" + _digest([*sources, *_package()])


def ensure_operator(cluster: Cluster) -> str:
    """Have the operator's image in the cluster; gives its name and tag."""
    tag = operator_tag()
    archive = _archive(f"headgate-{tag}.tar")
    if not archive.exists():
        fresh = archive.with_suffix(".new")
        words: list[str | Path] = [COMMAND, "image", "build", "--tag", f"headgate:{tag}", "-o", fresh]
        run_shown(words, environment=os.environ, log=cluster.folder / "image.log")
        for old in archive.parent.glob("headgate-src-*.tar"):
            old.unlink()
        fresh.rename(archive)
    _load(cluster, f"headgate:{tag}", archive)
    return f"headgate:{tag}"


def ensure_application(cluster: Cluster) -> Path:
    """Have the demo application's image in the cluster; gives its program, which is the load generator too."""
    program = application_program()
    archive = program.with_suffix(".tar")
    if not archive.exists():
        fresh = archive.with_suffix(".new")
        words: list[str | Path] = [
            COMMAND,
            "image",
            "build-scratch",
            APPLICATION_IMAGE,
            "--binary",
            program,
            "-o",
            fresh,
        ]
        run(words, environment=os.environ, timeout=120)
        fresh.rename(archive)
    _load(cluster, APPLICATION_IMAGE, archive)
    return program


def application_program() -> Path:
    """The program of the demo application, built for this machine."""
    home = cache() / "demo-app" / _digest([*_APPLICATION.glob("*.go"), _APPLICATION / "go.mod"])
    program = home / "demo-app"
    if not program.exists():
        if not shutil.which("go"):
            raise Trouble("the demo application is written in Go, and there is no `go` on PATH; install Go.")
        home.mkdir(parents=True, exist_ok=True)
        words = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(program), "."]
        run(words, environment={**os.environ, "CGO_ENABLED": "0"}, folder=_APPLICATION, timeout=600)
    return program


def _load(cluster: Cluster, image: str, archive: Path) -> None:
    node_images = cluster.kubectl("get", "nodes", "-o", "jsonpath={.items[*].status.images[*].names[*]}").stdout.split()
    # The application's tag never changes, so only a tag that names its content says that the image is there.
    if image != APPLICATION_IMAGE and any(name.endswith(f"/{image}") for name in node_images):
        return
    run([COMMAND, "load", archive, "--name", cluster.name], environment=os.environ, timeout=300)


def _archive(name: str) -> Path:
    folder = cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _package() -> list[Path]:
    return [file for file in (ROOT / "operator" / "headgate").rglob("*") if file.is_file() and file.suffix != ".pyc"]


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(ROOT)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
