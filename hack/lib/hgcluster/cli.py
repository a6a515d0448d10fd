"""The command line of `hack/cluster`: reads the words, calls the parts, and turns failures into one sentence."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import time
from pathlib import Path

from hgcluster import (
    access,
    binaries,
    controlplane,
    foreign,
    gateway,
    imagebuild,
    images,
    layout,
    light,
    monitoring,
    node,
    paths,
    ui,
    versions,
)
from hgcluster.layout import Cluster
from hgcluster.processes import Processes


def main(words: list[str]) -> int:
    """Carry out one command and return its exit code."""
    arguments = _parser().parse_args(words)
    try:
        arguments.do(arguments)
    except ui.ClusterError as error:
        print(f"hack/cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "hack/cluster: interrupted; the same command goes on where it was, `down` clears it away", file=sys.stderr
        )
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hack/cluster", description="Real Kubernetes clusters on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, does: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=does, description=does)
        sub.add_argument("--name", default="headgate", help="which cluster (default headgate)")
        return sub

    up = command("up", "start a cluster, or complete one that runs")
    up.add_argument("--light", action="store_true", help="no node: API server, controllers, scheduler and fake nodes")
    up.add_argument("--local", action="store_true", help="build and run it here even where a Docker engine answers")
    up.add_argument("--context", default="", help="use an existing cluster: a context of your kubeconfig")
    up.add_argument("--gateway", action="store_true", help="Gateway API, Contour and Envoy")
    up.add_argument("--prometheus", action="store_true", help="Prometheus as a pod")
    up.add_argument("--scrape-interval", default="1s", help="how often Prometheus scrapes (default 1s)")
    up.add_argument("--nodes", type=int, default=3, help="fake nodes in light mode (default 3)")
    up.add_argument(
        "--fresh", action="store_true", help="take it down first if a run that was killed left it half dead"
    )
    up.add_argument("--audit", action="store_true", help="write an audit log of all requests' metadata")
    up.add_argument(
        "--user", action="append", default=[], metavar="NAME=GROUP,GROUP", help="another user, or other groups"
    )
    up.set_defaults(do=_up)

    command("down", "stop a cluster and remove all that it left").set_defaults(do=_down)
    command("status", "say what runs").set_defaults(do=_status)
    command("env", "print the shell's export lines").set_defaults(do=_env)

    load = command("load", "make an image known to the cluster")
    load.add_argument("image", type=Path, metavar="IMAGE", help="a docker archive (.tar)")
    load.set_defaults(do=_load)

    token = command("token", "print the path of a user's kubeconfig")
    token.add_argument("user")
    token.set_defaults(do=_token)

    build = commands.add_parser("build", help="build all commands now, or one, and print where")
    build.add_argument("command", nargs="?", choices=sorted(versions.COMMANDS))
    build.set_defaults(do=_build)

    image = commands.add_parser("image", help="make images without a container engine")
    kinds = image.add_subparsers(required=True, metavar="KIND")
    scratch = kinds.add_parser("build-scratch", help="an image of nothing but binaries and their libraries")
    scratch.add_argument("tag", metavar="NAME:TAG")
    scratch.add_argument("--binary", action="append", default=[], metavar="PATH[=TARGET]", help="default target: /NAME")
    scratch.add_argument("--file", action="append", default=[], metavar="PATH=TARGET", help="any other file")
    scratch.add_argument("--entrypoint", default="", help="default: the first binary")
    scratch.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    scratch.add_argument("--user", default="65532:65532")
    scratch.add_argument("-o", "--output", type=Path, required=True)
    scratch.set_defaults(do=_scratch)
    build = kinds.add_parser("build", help="build the operator's image from the Dockerfile")
    build.add_argument("--tag", default="headgate:dev")
    build.add_argument("--file", type=Path, default=None, help="another Dockerfile")
    build.add_argument("--folder", type=Path, default=paths.REPOSITORY, help="another build context")
    build.add_argument("-o", "--output", type=Path, required=True)
    build.set_defaults(do=_image)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    begun = time.monotonic()
    binaries.folder()  # a wrong KUBEBUILDER_ASSETS shows before anything is made
    with paths.lock(f"cluster-{arguments.name}", f"cluster '{arguments.name}'"):
        left = layout.load(arguments.name)
        # Its API server would tell of pods that were ready when everything was killed, and send requests to them.
        if arguments.fresh and left and left.local and not Processes(left.folder).all_live():
            _take_down(left)
        cluster = _record(arguments)
        if cluster.local:
            _up_local(cluster)
        else:
            foreign.up(cluster)
    ui.say(f"cluster '{cluster.name}' is ready after {time.monotonic() - begun:.1f} s")
    ui.say(f'use it:  eval "$(hack/cluster env --name {cluster.name})"')


def _record(arguments: argparse.Namespace) -> Cluster:
    """The cluster's record as it is to be from now on."""
    if arguments.light and (arguments.gateway or arguments.prometheus or arguments.context):
        raise ui.ClusterError("--light has no node, so --gateway, --prometheus and --context do not go with it.")
    cluster = layout.load(arguments.name)
    if arguments.light:
        mode: layout.Mode = "light"
    elif arguments.context:
        mode = "external"
    elif cluster and cluster.mode in ("node", "kind"):
        mode = cluster.mode
    else:
        mode = "kind" if not arguments.local and foreign.docker_answers() else "node"
    users = layout.merge_users(arguments.user)
    down = f"Take it down first: hack/cluster down --name {arguments.name}"
    if not cluster:
        if mode == "node":
            node.check()
        cluster = layout.allocate(arguments.name, mode)
        cluster.audit, cluster.users, cluster.context = arguments.audit, users, arguments.context
    elif cluster.mode != mode:
        raise ui.ClusterError(f"cluster '{cluster.name}' runs in {cluster.mode} mode, not {mode}. {down}")
    elif arguments.audit and not cluster.audit:
        raise ui.ClusterError(f"cluster '{cluster.name}' runs without an audit log. {down}")
    elif arguments.user and not layout.same_users(users, cluster.users):
        raise ui.ClusterError(f"cluster '{cluster.name}' runs with other users. {down}")
    cluster.gateway = cluster.gateway or arguments.gateway
    cluster.prometheus = cluster.prometheus or arguments.prometheus
    cluster.scrape_interval = arguments.scrape_interval
    cluster.nodes = max(cluster.nodes, arguments.nodes)
    cluster.bin = str(binaries.folder())  # KUBEBUILDER_ASSETS may be another when `env` is asked
    cluster.save()
    return cluster


def _up_local(cluster: Cluster) -> None:
    processes = Processes(cluster.folder)
    needed = [*versions.CONTROL_PLANE]
    needed += ["kwok"] if cluster.mode == "light" else [*versions.NODE, "helm"]
    needed += ["contour"] if cluster.gateway else []
    needed += ["scrapetargets"] if cluster.prometheus else []
    binaries.ensure(needed)
    if cluster.mode == "light":
        with ui.step("starting the control plane (usually 8 s)"):
            kube = controlplane.start(cluster, processes)
        with ui.step("starting fake nodes and the stand-in for the gateway (usually 3 s)"):
            light.start(cluster, processes, kube)
        return
    access.prepare(cluster)
    with ui.step("starting the node (usually 2 s)"):
        node.start(cluster, processes)
    with ui.step("starting the control plane (usually 8 s)"):
        kube = controlplane.start(cluster, processes)
    with ui.step("waiting for the node (usually 5 s)"):
        node.wait(cluster, processes, kube)
    if cluster.gateway:
        with ui.step("starting the gateway (usually 5 s)"):
            gateway.start(cluster, processes, kube)
    if cluster.prometheus:
        with ui.step("starting Prometheus (usually 10 s)"):
            monitoring.start(cluster, processes, kube)


def _down(arguments: argparse.Namespace) -> None:
    with paths.lock(f"cluster-{arguments.name}", f"cluster '{arguments.name}'"):
        cluster = layout.load(arguments.name)
        if not cluster:
            ui.say(f"there is no cluster '{arguments.name}'; nothing to do")
            return
        _take_down(cluster)
        ui.say(f"cluster '{cluster.name}' is gone")


def _take_down(cluster: Cluster) -> None:
    if not cluster.local:
        foreign.down(cluster)
    else:
        processes = Processes(cluster.folder)
        with ui.step(f"stopping cluster '{cluster.name}' (usually 5 s)"):
            for name in (*gateway.PROCESSES, *light.PROCESSES):
                processes.stop(name)
            if cluster.mode == "node":
                node.stop(cluster, processes)
            for name in controlplane.PROCESSES:
                processes.stop(name, timeout=70 if name == "kube-apiserver" else 20)
    shutil.rmtree(cluster.folder)


def _status(arguments: argparse.Namespace) -> None:
    found = layout.everything()
    if not found:
        print("no clusters")
    for cluster in found:
        words = [cluster.mode, *(part for part in ("gateway", "prometheus", "audit") if getattr(cluster, part))]
        print(f"{cluster.name}: {', '.join(words)}")
        if cluster.local:
            processes = Processes(cluster.folder)
            for name in processes.names():
                pid = processes.pid(name)
                print(f"  {name:<24} {f'running, process {pid}' if pid else f'ENDED; see {processes.log(name)}'}")
        if cluster.name == arguments.name:
            print("\n".join(f"  {line}" for line in _exports(cluster)))


def _env(arguments: argparse.Namespace) -> None:
    print("\n".join(_exports(layout.must_load(arguments.name))))


def _exports(cluster: Cluster) -> list[str]:
    values = {
        "KUBECONFIG": str(cluster.kubeconfig),
        "HEADGATE_BIN": cluster.bin or str(binaries.folder()),
        "HEADGATE_CLUSTER": cluster.name,
        "HEADGATE_CLUSTER_MODE": cluster.mode,
    }
    if cluster.gateway:
        values["HEADGATE_GATEWAY_URL"] = gateway.url(cluster)
    if cluster.prometheus:
        values["HEADGATE_PROMETHEUS_URL"] = monitoring.url(cluster)
    if cluster.audit:
        values["HEADGATE_AUDIT_LOG"] = str(cluster.audit_log)
    return [f"export {name}={shlex.quote(value)}" for name, value in values.items()]


def _load(arguments: argparse.Namespace) -> None:
    cluster = layout.must_load(arguments.name)
    if not arguments.image.is_file():
        raise ui.ClusterError(
            f"{arguments.image} is not there. Make it with: hack/cluster image build -o {arguments.image}"
        )
    tags = ", ".join(images.read_archive_tags(arguments.image))
    if cluster.mode == "light":
        raise ui.ClusterError("a light cluster has no node that could run an image; its pods are pretended.")
    if cluster.mode == "node":
        node.load(Processes(cluster.folder), arguments.image)
    else:
        foreign.load(cluster, arguments.image)
    ui.say(f"loaded {tags} into cluster '{cluster.name}'")


def _token(arguments: argparse.Namespace) -> None:
    print(access.kubeconfig(layout.must_load(arguments.name), arguments.user))


def _build(arguments: argparse.Namespace) -> None:
    binaries.ensure([arguments.command] if arguments.command else versions.COMMANDS)
    print(binaries.path(arguments.command) if arguments.command else binaries.folder())


def _scratch(arguments: argparse.Namespace) -> None:
    files = []
    for word in arguments.binary + arguments.file:
        source, _, target = word.partition("=")
        path = Path(source)
        if not path.is_file():
            raise ui.ClusterError(f"{source} is no file.")
        files.append(images.Placed(path, target or f"/{path.name}"))
    if not arguments.binary:
        raise ui.ClusterError("an image needs at least one --binary.")
    entrypoint = shlex.split(arguments.entrypoint) or [files[0].target]
    images.scratch(
        arguments.tag, files, arguments.output, entrypoint=entrypoint, env=arguments.env, user=arguments.user
    )
    ui.say(f"wrote {arguments.tag} to {arguments.output}")


def _image(arguments: argparse.Namespace) -> None:
    imagebuild.build(arguments.tag, arguments.folder, arguments.file, arguments.output)
    ui.say(f"wrote {arguments.tag} to {arguments.output}")
