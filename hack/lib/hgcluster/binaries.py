"""Builds the pinned Go commands once per user, and finds them again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from hgcluster import gomemory, paths, run, ui, versions

_ASSETS = ("kube-apiserver", "etcd", "kubectl")


def folder() -> Path:
    """The folder of all commands; its name changes with any version, so that checkouts do not disturb each other."""
    foreign = (command for command in versions.COMMANDS.values() if not command.ours)
    pins = "\n".join(f"{c.name} {c.version}" for c in sorted(foreign, key=lambda c: c.name))
    assets = _assets()
    key = hashlib.sha256(f"{pins}\n{assets or ''}".encode()).hexdigest()[:10]
    return paths.folder("bin", f"kubernetes-{versions.KUBERNETES}-{key}")


def path(name: str) -> Path:
    """Where a command is once it is built; ours change with their source, not with a version."""
    command = versions.COMMANDS[name]
    if not command.ours:
        return folder() / name
    files = [file for pattern in ("*.go", "go.mod") for file in sorted((paths.TOOLS / name).glob(pattern))]
    source = b"".join(file.read_bytes() for file in files)
    return folder() / f"{name}-{hashlib.sha256(source).hexdigest()[:8]}"


def ensure(names: Iterable[str]) -> None:
    """Build what is not there yet."""
    missing = [versions.COMMANDS[name] for name in names if not path(name).exists()]
    assets = _assets()
    for command in [c for c in missing if assets and c.name in _ASSETS]:
        ui.say(f"using {command.name} of KUBEBUILDER_ASSETS ({assets})")
        path(command.name).symlink_to(assets / command.name)  # type: ignore[operator]
        missing.remove(command)
    if not missing:
        return
    if not shutil.which("go"):
        raise ui.ClusterError(
            f"{', '.join(c.name for c in missing)} must be built, and there is no Go toolchain in PATH. Install Go "
            f"{_go_version()} or later, or start a Docker engine, or use a cluster of yours with --context NAME."
        )
    with paths.lock("build", "building the same commands"):
        missing = [command for command in missing if not path(command.name).exists()]
        total = sum(command.minutes for command in missing)
        if len(missing) > 1:
            ui.say(f"{len(missing)} commands to build: usually {max(1, round(total))} min on two cores, once")
        for command in missing:
            _build(command)


def _build(command: versions.Command) -> None:
    target = path(command.name)
    fresh = target.with_suffix(".new")
    usual = f"{command.minutes:.0f} min" if command.minutes >= 1 else f"{command.minutes * 60:.0f} s"
    version = "" if command.ours else f" {command.version}"
    with ui.step(f"building {command.name}{version} (usually {usual}, once)"):
        run.run_loud(
            # Gentle to whatever else the machine does meanwhile.
            ["nice", "-n", "10", "go", "build", "-trimpath", "-ldflags", _flags(command), "-o", fresh, command.package],
            what=f"building {command.name}",
            log=paths.folder("logs") / f"build-{command.name}.log",
            env={
                "CGO_ENABLED": "0",
                "GOFLAGS": os.environ.get("GOFLAGS", "") or "-mod=readonly",
                "GOWORK": "off",
                **gomemory.BUILDING,
            },
            cwd=paths.TOOLS / command.module,
            timeout=3600,
        )
        # The rename is what makes it visible: a build that was interrupted leaves nothing that looks whole.
        fresh.rename(target)


def _flags(command: versions.Command) -> str:
    flags = ["-s", "-w"]
    if command.version == versions.KUBERNETES:
        # Without these, clients refuse the server's version.
        major, minor, _ = versions.KUBERNETES.split(".")
        values = {
            "gitVersion": f"v{versions.KUBERNETES}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
        }
        flags += [f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items()]
    if command.name == "helm":
        flags.append(f"-X helm.sh/helm/v3/internal/version.version=v{versions.HELM}")
    if command.name == "contour":
        flags.append(f"-X github.com/projectcontour/contour/internal/build.Version=v{versions.CONTOUR}")
    return " ".join(flags)


def module_folder(module: str, version: str, tools: str = "") -> Path:
    """The source folder of a pinned Go module, for the manifests that come with it."""
    answer = run.run(
        ["go", "mod", "download", "-json", f"{module}@v{version}"],
        what=f"fetching the Go module {module}",
        cwd=paths.TOOLS / tools,
        timeout=600,
        hint="Is the machine online?",
    )
    return Path(json.loads(answer)["Dir"])


def _assets() -> Path | None:
    named = os.environ.get("KUBEBUILDER_ASSETS")
    if not named:
        return None
    assets = Path(named).expanduser().resolve()
    lacking = [name for name in _ASSETS if not os.access(assets / name, os.X_OK)]
    if lacking:
        raise ui.ClusterError(
            f"KUBEBUILDER_ASSETS names {assets}, where {', '.join(lacking)} is not. Correct or unset it."
        )
    return assets


def _go_version() -> str:
    for line in (paths.TOOLS / "go.mod").read_text().splitlines():
        if line.startswith("go "):
            return line.split()[1]
    return ""
