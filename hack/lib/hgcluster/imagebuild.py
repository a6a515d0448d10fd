"""Builds the operator's image from its Dockerfile: by a Docker engine, else by buildah on a Debian base."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from hgcluster import foreign, images, packages, paths, run, ui, versions

_BASE_PACKAGES = "python3,python3-venv,ca-certificates"
_BASE = f"localhost/headgate-base:{versions.DEBIAN}"
_HUB = "docker.io/library/"
_OURS = f"{_HUB}headgate"
_MOST_LAYERS = 80
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def build(tag: str, folder: Path, dockerfile: Path | None, output: Path) -> None:
    """Build the image and write it as a docker archive."""
    dockerfile = dockerfile or folder / "Dockerfile"
    if not dockerfile.is_file():
        raise ui.ClusterError(f"{dockerfile} is not there, so there is nothing to build.")
    output = output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    log = paths.folder("logs") / "image-build.log"
    if foreign.docker_answers():
        with ui.step(f"building {tag} with docker (usually 1 min)"):
            run.run_loud(
                ["docker", "build", "--tag", tag, "--file", dockerfile, folder],
                what=f"building {tag}",
                log=log,
                timeout=1800,
            )
            run.run(["docker", "save", "--output", output, tag], what=f"saving {tag}", timeout=300)
        return
    if os.geteuid() != 0:
        raise ui.ClusterError(
            "building an image without a Docker engine needs root, and you are not. Run it with sudo -E."
        )
    packages.ensure(packages.IMAGE_BUILD, "Building an image without a Docker engine")
    with paths.lock("image-build", "building an image"):
        base = _base()
        with ui.step(f"building {tag} with buildah (usually 40 s)"):
            buildah = _buildah()
            known = run.run(
                [*buildah, "images", "--noheading", "--quiet", "--filter", f"reference={_BASE}"], what="asking buildah"
            )
            if not known.strip():
                run.run([*buildah, "pull", f"docker-archive:{base}"], what="importing the base image", timeout=300)
            run.run_loud(
                [
                    *buildah,
                    "bud",
                    "--isolation",
                    "chroot",
                    "--network",
                    "host",
                    "--layers",
                    "--pull-never",
                    "--build-arg",
                    f"BASE={_BASE}",
                    *_surroundings(),
                    "--tag",
                    f"{_HUB}{tag}",
                    "--file",
                    str(dockerfile),
                    str(folder),
                ],
                what=f"building {tag}",
                log=log,
                timeout=1800,
            )
            run.run(
                [*buildah, "push", f"{_HUB}{tag}", f"docker-archive:{output}:{tag}"],
                what=f"saving {tag}",
                timeout=300,
            )
            # Layers of older builds make the next one fast; their names go, which would keep those that nothing shares,
            # and when they have become many, all go.
            names = run.run(
                [*buildah, "images", "--noheading", "--format={{.Name}}:{{.Tag}}"], what="listing images"
            ).split()
            older = [name for name in names if name.startswith(f"{_OURS}:") and name != f"{_HUB}{tag}"]
            if older:
                run.run([*buildah, "rmi", *older], what="forgetting older images", timeout=120)
            layers = run.run([*buildah, "images", "--all", "--quiet"], what="counting layers").split()
            if len(layers) > _MOST_LAYERS:
                run.run([*buildah, "rmi", "--prune", "--force"], what="removing old layers", timeout=120)


def _buildah() -> list[str]:
    # A store of its own: nothing of it shows in the user's, and removing the cache removes it.
    store = paths.folder("buildah")
    root, fleeting = store / "root", store / "run"
    fleeting.mkdir(exist_ok=True)
    # Mounts of its own as well: buildah leaves those of cached layers behind, and these end with the command.
    private = f'mount -t tmpfs headgate-build "{fleeting}" && exec "$@"'
    return [
        *("unshare", "--mount", "--", "sh", "-c", private, "sh"),
        *("buildah", "--root", str(root), "--runroot", str(fleeting), "--storage-driver", _driver(store)),
    ]


def _driver(store: Path) -> str:
    kind = run.run(["stat", "--file-system", "--format=%T", store], what="looking at the file system").strip()
    return "vfs" if "overlay" in kind else "overlay"


def _base() -> Path:
    """A small Debian with Python, made from Debian's packages; once per user."""
    made = paths.folder("images") / f"base-{versions.DEBIAN}-1.tar"
    if made.exists():
        return made
    root = paths.folder("images") / "base-root.tar"
    with ui.step(f"making a base image of Debian {versions.DEBIAN} with Python (usually 90 s, once)"):
        # Only what keeps this machine's apt working is taken over; the image gets none of it.
        options = [f"--aptopt={option}" for option in _apt_options()]
        run.run_loud(
            [
                "mmdebstrap",
                "--mode=root",
                "--variant=minbase",
                f"--include={_BASE_PACKAGES}",
                *options,
                "--customize-hook=rm -rf $1/usr/share/doc/* $1/usr/share/man/* $1/var/cache/* $1/var/lib/apt/lists/*",
                "--customize-hook=rm -f $1/etc/apt/apt.conf.d/99mmdebstrap",
                versions.DEBIAN,
                str(root),
            ],
            what="making the base image",
            log=paths.folder("logs") / "image-base.log",
            timeout=1800,
        )
        config: dict[str, object] = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG=C.UTF-8"]}
        images.archive(_BASE, root.read_bytes(), made, config)
    root.unlink()
    return made


def _apt_options() -> list[str]:
    wanted = ("Acquire::http::Proxy", "Acquire::https::Proxy", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    options = []
    for name in wanted:
        words = run.run(["apt-config", "shell", "value", name], what="reading apt's settings").strip()
        value = words.partition("=")[2].strip("'\"")
        if value:
            options.append(f'{name} "{value}"')
    return options


def _surroundings() -> list[str]:
    """What the build needs of this machine (proxies, certificates, where packages are), mounted and never copied."""
    mounts = []
    settings = configparser.RawConfigParser()
    settings.read(["/etc/pip.conf", Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"])
    if not settings.has_section("global"):
        settings.add_section("global")
    for name, value in os.environ.items():
        # pip reads these from the environment too, but an image keeps its environment and not a mounted file.
        if name.startswith("PIP_") and name not in ("PIP_REQUIRE_VIRTUALENV", "PIP_CONFIG_FILE"):
            settings.set("global", name[4:].lower().replace("_", "-"), value)
    if _BUNDLE.exists():
        mounts.append(f"{_BUNDLE}:{_BUNDLE}:ro")
        if not settings.has_option("global", "cert"):
            settings.set("global", "cert", str(_BUNDLE))
    for option in ("find-links", "cert", "client-cert"):
        place = Path(settings.get("global", option, fallback=""))
        if place.is_absolute() and place.exists() and place != _BUNDLE:
            mounts.append(f"{place}:{place}:ro")
    config = paths.folder("buildah") / "pip.conf"
    with config.open("w") as file:
        settings.write(file)
    mounts.append(f"{config}:/etc/pip.conf:ro")
    return [word for mount in mounts for word in ("--volume", mount)]
