"""Writes container images without a container engine: a docker archive of one layer, from files."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hgcluster import run, ui

_USER = 65532
_PASSWD = f"root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:{_USER}:{_USER}:nonroot:/home/nonroot:/sbin/nologin\n"
_GROUP = f"root:x:0:\nnonroot:x:{_USER}:\n"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Placed:
    """A file of this machine and its place in the image."""

    source: Path
    target: str


def scratch(
    tag: str,
    files: Sequence[Placed],
    output: Path,
    *,
    entrypoint: Sequence[str],
    env: Sequence[str] = (),
    user: str = f"{_USER}:{_USER}",
) -> None:
    """Write an image that holds nothing but these files and what they are linked with."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        writer = _Writer(tar)
        writer.folder("/tmp", 0o1777)  # noqa: S108  (the image's, not this machine's)
        writer.folder("/home/nonroot", 0o755, _USER)
        writer.text("/etc/passwd", _PASSWD)
        writer.text("/etc/group", _GROUP)
        writer.text("/etc/nsswitch.conf", "hosts: files dns\n")
        if _CERTIFICATES.exists():
            writer.file(Placed(_CERTIFICATES, str(_CERTIFICATES)), 0o644)
        for placed in files:
            executable = placed.source.stat().st_mode & 0o111
            writer.file(placed, 0o755 if executable else 0o644)
            for library in _libraries(placed.source) if executable else ():
                writer.file(Placed(library.resolve(), str(library)), 0o755)
    environment = ["PATH=/usr/local/bin:/usr/bin:/bin:/", "SSL_CERT_FILE=" + str(_CERTIFICATES), *env]
    archive(tag, layer.getvalue(), output, {"Entrypoint": list(entrypoint), "User": user, "Env": environment})


def archive(tag: str, layer: bytes, output: Path, config: dict[str, object]) -> None:
    """Write the docker archive of one uncompressed layer; the same input gives the same bytes."""
    image = json.dumps(
        {
            "architecture": _architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "hack/cluster image"}],
        }
    ).encode()
    name = hashlib.sha256(image).hexdigest()
    manifest = [{"Config": f"{name}.json", "RepoTags": [_tag(tag)], "Layers": ["layer.tar"]}]
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_name(output.name + ".new")
    with tarfile.open(fresh, "w", format=tarfile.GNU_FORMAT) as tar:
        for member, content in (
            (f"{name}.json", image),
            ("layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            _add(tar, member, content, 0o644)
    fresh.rename(output)


def _tag(tag: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._/:-]*[a-z0-9](:[\w][\w.-]*)?", tag):
        raise ui.ClusterError(f"'{tag}' is no image name; write NAME:TAG.")
    return tag if ":" in tag.rsplit("/", 1)[-1] else f"{tag}:latest"


class _Writer:
    """Adds files to a layer once each, with the folders above them."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._known: set[str] = {"/"}

    def folder(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        if path in self._known:
            return
        self.folder(str(Path(path).parent))
        self._known.add(path)
        info = tarfile.TarInfo(path.lstrip("/"))
        info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
        self._tar.addfile(info)

    def text(self, path: str, content: str) -> None:
        self.folder(str(Path(path).parent))
        self._known.add(path)
        _add(self._tar, path.lstrip("/"), content.encode(), 0o644)

    def file(self, placed: Placed, mode: int) -> None:
        if placed.target in self._known:
            return
        self.folder(str(Path(placed.target).parent))
        self._known.add(placed.target)
        _add(self._tar, placed.target.lstrip("/"), placed.source.read_bytes(), mode)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def _libraries(binary: Path) -> Iterable[Path]:
    with binary.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return ()
    if not shutil.which("ldd"):
        return ()
    try:
        listing = run.run(["ldd", binary], what=f"listing the libraries of {binary.name}", timeout=30)
    except ui.ClusterError:
        return ()  # a static binary: ldd says so by failing
    if "not found" in listing:
        raise ui.ClusterError(f"{binary} misses libraries on this machine:\n{listing.strip()}")
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", listing)]


def _architecture() -> str:
    machine = run.run(["uname", "-m"], what="asking for the machine's kind").strip()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def read_archive_tags(path: Path) -> list[str]:
    """The names of the images in a docker archive; says so when the file is none."""
    try:
        with tarfile.open(path, mode="r:*") as tar:
            member = tar.extractfile("manifest.json")
            manifest = json.load(member) if member else []
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise ui.ClusterError(
            f"{path} is no docker archive; `hack/cluster image` and `docker save` make one."
        ) from error
    return [tag for entry in manifest for tag in entry.get("RepoTags") or []]
