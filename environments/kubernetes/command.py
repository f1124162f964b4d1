"""`python -m environments reap` and `preflight`: what is left in a cluster, and what a place lacks."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from environments.kubernetes.context import ClusterOptions, allowed_context, connected
from environments.profile import profile_path, read_profile
from instruments.errors import ConfigurationError

REAP = """\
Remove what runs left in a cluster: their namespaces, and the cordons of nodes.

A run takes down what it made, whatever happens to it; this is for one that was killed (kill -9, or a
machine that went away). Removed is what bears a run's own note whose process is gone, or, of another
machine or container, whose time is over. Never touched is anything of a run that goes on, anything without
that note, and without --kept what --keep-environment left on purpose.

  python -m environments reap --context minikube --dry-run     see what would go
  python -m environments reap --context minikube               remove it
  python -m environments reap --context minikube --kept        and what was kept, too

Exit status: 0 nothing is left, 1 something would not go, 2 wrong usage.
"""
PREFLIGHT = """\
Say what a place lacks before anything is created in it: programs here, the context, rights, GPUs, classes.

  python -m environments preflight --env minikube --context minikube

Nothing is created or changed. Exit status: 0 nothing is missing, 1 something is, 2 wrong usage.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The words of both commands."""
    raw = argparse.RawDescriptionHelpFormatter
    one = commands.add_parser("reap", description=REAP, formatter_class=raw)
    one.add_argument(
        "--context", required=True, metavar="NAME", help="the kubeconfig's context; never its current"
    )
    one.add_argument("--allow-context", metavar="NAME", help="its name again, where it looks like production")
    one.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    one.add_argument("--kept", action="store_true", help="also what --keep-environment left")
    one.add_argument("--json", action="store_true", help="a list of objects instead of lines")
    one = commands.add_parser("preflight", description=PREFLIGHT, formatter_class=raw)
    one.add_argument(
        "--env", required=True, metavar="NAME", help="profile: cluster, minikube, eks, kubeadm, a .yaml"
    )
    one.add_argument("--context", metavar="NAME", help="the kubeconfig's context (default: the profile's)")
    one.add_argument("--allow-context", metavar="NAME", help="its name again, where it looks like production")
    one.add_argument("--json", action="store_true", help="a list of objects instead of a table")


def reap_command(given: argparse.Namespace) -> int:
    """What was left, and what became of it."""
    from environments.kubernetes.reaping import left_namespaces, left_nodes, reap

    context = allowed_context(given.context, given.allow_context)
    with connected(context) as api:
        nodes = left_nodes(api)
        if given.dry_run:
            found = left_namespaces(api, kept=given.kept)
        else:
            found = reap(api, _quiet if given.json else _say, kept=given.kept)
    if given.json:
        rows = [asdict(one) for one in found] + [{"node": name, "why": why} for name, why in nodes.items()]
        _say(json.dumps(rows, indent=2))
        return 0
    if given.dry_run:
        for one in found:
            _say(f"would remove the namespace {one.name} ({one.part}) of {one.run_id}: {one.why}")
        for name, why in nodes.items():
            _say(f"would uncordon the node {name}: {why}")
    count = len(found) + len(nodes)
    _say(f"reap: {context}: {_told(count, dry_run=given.dry_run)}")
    return 0


def preflight_command(given: argparse.Namespace) -> int:
    """All rows, and whether one is missing."""
    from environments.kubernetes.check import table
    from environments.kubernetes.preflight import survey

    profile = read_profile(profile_path(given.env))
    if profile.cluster is None:
        raise ConfigurationError(
            f"the environment {profile.name} is not in a cluster",
            expected="cluster, minikube, eks or kubeadm",
        )
    options = ClusterOptions(context=given.context, allow_context=given.allow_context)
    checks = survey(profile, options)
    _say(json.dumps([asdict(one) for one in checks], indent=2) if given.json else table(checks))
    return 1 if any(one.ok is False for one in checks) else 0


def _told(count: int, *, dry_run: bool) -> str:
    if not count:
        return "nothing is left"
    return f"{count} would go; without --dry-run it is done" if dry_run else f"{count} removed"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _quiet(_: str) -> None:
    pass
