"""The command line of `hack/demo`: sets everything up, tells the story, judges it, and clears away."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path
from types import FrameType

from rich.console import Console

from hack.lib.hgdemo import chart, images, summary
from hack.lib.hgdemo.cluster import Cluster, cache, down
from hack.lib.hgdemo.progress import Progress
from hack.lib.hgdemo.shop import Shop
from hack.lib.hgdemo.story import Story
from hack.lib.hgdemo.traffic import Traffic
from hack.lib.hgdemo.view import View
from hack.lib.hgdemo.waiting import Trouble

INTERRUPTED = 130
NAMESPACE = "demo"
_EVIDENCE = "headgate,deployments,replicasets,pods,services,httproutes"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="hack/demo",
        description="Four releases of one application under load. Sets up all it needs, and clears it away.",
        epilog="Exit status: 0 if all went as expected, 1 if not, 130 if interrupted.",
    )
    parser.add_argument("--keep", action="store_true", help="leave the cluster up, and say how to use it")
    parser.add_argument("--name", default="demo", help="name of the local cluster (default: demo)")
    parser.add_argument("--fast", action="store_true", help="leave out release 4, which is held")
    parser.add_argument("--rate", type=float, default=50, help="requests per second (default: 50)")
    own = parser.add_argument_group(
        "a cluster of yours",
        "Contour is installed into it; the images come from a registry that its nodes pull from.",
    )
    own.add_argument("--context", default="", help="a context of your kubeconfig")
    own.add_argument("--operator-image", default="", metavar="NAME:TAG", help="built from Dockerfile")
    own.add_argument("--app-image", default="", metavar="NAME:TAG", help="built from hack/demo-app")
    own.add_argument(
        "--prometheus", default="", metavar="URL", help="where its pods reach a Prometheus that scrapes Envoy"
    )
    arguments = parser.parse_args()
    if arguments.context and not (arguments.operator_image and arguments.app_image and arguments.prometheus):
        parser.error("--context needs --operator-image, --app-image and --prometheus")
    return arguments


def main() -> int:
    """Run the demonstration; gives the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Progress(steps=5)
    users: Traffic | None = None
    try:
        cluster, program = _set_up(arguments, progress)
        shop = Shop(cluster, NAMESPACE, image=arguments.app_image or images.APPLICATION_IMAGE)
        users = Traffic(program, cluster.gateway, shop.host, cluster.folder, rate=arguments.rate)
        with progress.step("Deploying release 1 of the application", "5 s"):
            # What an earlier run has left would be another beginning.
            cluster.delete("namespace", NAMESPACE)
            shop.deploy()
        return _story(arguments, progress, cluster, shop, users)
    except Trouble as trouble:
        print(f"\nhack/demo: {trouble}", file=sys.stderr)
        _keep_evidence(arguments.name)
        return 1
    except KeyboardInterrupt:
        print("\nhack/demo: interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if users is not None:
            users.pause()
        if not arguments.keep:
            _clear(arguments.name)


def _set_up(arguments: argparse.Namespace, progress: Progress) -> tuple[Cluster, Path]:
    with progress.step("Starting Kubernetes, a gateway and Prometheus", "15 s; the first time 11 min"):
        cluster = Cluster.up(arguments.name, context=arguments.context)
    with progress.step("Building the demo application", "2 s; the first time 15 s"):
        program = images.application_program() if arguments.app_image else images.ensure_application(cluster)
    with progress.step("Building the operator's image", "15 s; 2 min where it has to be built"):
        image = arguments.operator_image or images.ensure_operator(cluster)
    with progress.step("Installing Headgate by its Helm chart", "10 s"):
        chart.install(cluster, image, prometheus=arguments.prometheus)
    return cluster, program


def _story(arguments: argparse.Namespace, progress: Progress, cluster: Cluster, shop: Shop, users: Traffic) -> int:
    console = Console(highlight=False)
    progress.say(
        f"Set up after {progress.seconds:.0f} s. From now on {users.rate:g} requests/s go to {cluster.gateway}."
    )
    with View(console, users) as view:
        story = Story(cluster, shop, users, view)
        story.tell(fast=arguments.fast)
    console.print()
    good = summary.show(console, story.verdicts)
    progress.say(f"It took {progress.seconds:.0f} s in all. Every request is in {users.folder}/requests-*.tsv")
    if not good:
        _keep_evidence(cluster.name)
    if arguments.keep:
        summary.next_steps(console, cluster, shop)
    else:
        progress.say("To look around and release something yourself, run it with --keep.")
    return 0 if good else 1


def _keep_evidence(name: str) -> None:
    """Write down what the cluster looked like, before it is gone."""
    with contextlib.suppress(Trouble):
        cluster = Cluster.running(name)
        cluster.folder.mkdir(parents=True, exist_ok=True)
        parts = {
            "objects.txt": cluster.kubectl(
                "get", "headgate,deployments,replicasets,pods,services,httproutes", "-A"
            ).stdout,
            "rollouts.yaml": cluster.kubectl("get", "rollouts.headgate.dev", "-A", "-o", "yaml").stdout,
            "events.txt": cluster.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp").stdout,
            "operator.log": chart.log(cluster),
        }
        for file, text in parts.items():
            (cluster.folder / file).write_text(text)
        print(f"hack/demo: what the cluster looked like is kept in {cluster.folder}", file=sys.stderr)


def _clear(name: str) -> None:
    if not (cache() / "clusters" / name).exists():
        return
    print(f"Taking the cluster {name!r} down (usually 10 s)", flush=True)
    try:
        down(name)
    except Trouble as trouble:
        print(f"hack/demo: the cluster could not be taken down: {trouble}", file=sys.stderr)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
