"""The context: named by whoever starts a run, never whatever the kubeconfig happens to point at."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from environments.profile import Profile
from instruments.errors import ConfigurationError

if TYPE_CHECKING:
    from environments.kubernetes.api import Api

REACH_BOUND_S = 10.0
# What kubectl and the programs that it asks for credentials may know of the caller's environment.
PASSED_ON = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "KUBE", "XDG_", "SSL_CERT_"),
    *("AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
)
# Words of a context's, cluster's or user's name that say: people depend on it.
PRODUCTION = re.compile(r"(?i)(?<![a-z])(prod(uction)?|prd|live)(?![a-z])")


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What the command line says of the cluster."""

    context: str | None = None
    allow_context: str | None = None  # the name again, of one that looks like production
    namespace: str | None = None  # of a stack that is there already: nothing is applied
    keep: bool = False  # leave it up at the end
    time_budget_s: float | None = None
    load_pods: int = 0


def chosen_context(profile: Profile, options: ClusterOptions) -> str:
    """The name of the context. ConfigurationError where none is named, there is none of the name, or it
    looks like production and is not allowed by name. Nobody is asked anything."""
    name = options.context or (profile.cluster.context if profile.cluster else None)
    if name is None:
        raise ConfigurationError(
            f"--env {profile.name} needs to know which cluster",
            expected="--context NAME: a kubeconfig's current context is never used",
            seen=f"contexts: {_listed(contexts())}",
            hint=f"pytest --env {profile.name} --context NAME",
        )
    return allowed_context(name, options.allow_context)


def allowed_context(name: str, allowed: str | None) -> str:
    """The same name, of a context that there is and that does not look like production, or is allowed."""
    known = contexts()
    if name not in known:
        raise ConfigurationError(
            f"no context {name!r}",
            expected=f"one of the kubeconfig's: {_listed(known)}",
            hint="--context NAME, or KUBECONFIG=FILE",
        )
    told = " ".join((name, *known[name]))
    if PRODUCTION.search(told) and allowed != name:
        raise ConfigurationError(
            f"the context {name} looks like production",
            expected="a cluster on which load and faults are nobody's outage",
            seen=f"context, cluster and user: {told}",
            hint=f"--allow-context {name} if this is what you mean",
        )
    return name


def _listed(known: Mapping[str, object]) -> str:
    return ", ".join(sorted(known)) or f"none ({_where()})"


def contexts() -> dict[str, tuple[str, str]]:
    """Context -> its cluster and user, of every file that KUBECONFIG names."""
    found: dict[str, tuple[str, str]] = {}
    for path in _files():
        for one in _read(path).get("contexts") or ():
            inside = one.get("context") or {}
            found.setdefault(str(one["name"]), (str(inside.get("cluster")), str(inside.get("user"))))
    return found


@contextmanager
def connected(context: str) -> Iterator[Api]:
    """The API of a context; ConfigurationError where its credentials cannot be had."""
    from kubernetes.client import Configuration  # half a second, for who needs a cluster
    from kubernetes.config import ConfigException, new_client_from_config

    from environments.kubernetes.api import Api

    settings = Configuration()
    settings.retries = 0  # a bound is a bound
    try:
        client = new_client_from_config(
            os.pathsep.join(map(str, _files())),  # what the names were looked up in
            context=context,
            client_configuration=settings,
            persist_config=False,
        )
    except (ConfigException, OSError, ValueError) as error:
        raise ConfigurationError(
            f"the context {context} cannot be used", seen=f"{type(error).__name__}: {error}"
        ) from None
    api = Api(client, context)
    try:
        yield api
    finally:
        api.close()


def kubectl(context: str, *words: str) -> list[str]:
    """The command line of kubectl for a context, for what has to be a process of its own."""
    return ["kubectl", "--context", context, *words]


def kubectl_environment() -> dict[str, str]:
    """The environment of such a process, without the caller's keys; in any folder it reads the same files."""
    passed = {key: value for key, value in os.environ.items() if key.upper().startswith(PASSED_ON)}
    files = os.pathsep.join(str(path.absolute()) for path in _files())
    return {**passed, "KUBECONFIG": files} if files else passed


def _files() -> list[Path]:
    named = os.environ.get("KUBECONFIG", "")
    paths = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    return [path for path in (paths or [Path.home() / ".kube" / "config"]) if path.is_file()]


def _where() -> str:
    return f"KUBECONFIG={os.environ['KUBECONFIG']}" if os.environ.get("KUBECONFIG") else "no kubeconfig"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"cannot read {path}",
            seen=" ".join(str(error).split())[:300],
            hint="KUBECONFIG=FILE; kubectl config view reads the same",
        ) from None
    if not _is_kubeconfig(found):
        raise ConfigurationError(
            f"{path} is no kubeconfig",
            expected="a mapping whose `contexts` are a list of mappings, each with a name",
            hint="KUBECONFIG=FILE; kubectl config view reads the same",
        )
    return found or {}


def _is_kubeconfig(found: object) -> bool:
    """An empty file is one without contexts."""
    if found is None:
        return True
    listed = (found.get("contexts") or []) if isinstance(found, dict) else None
    return isinstance(listed, list) and all(
        isinstance(one, dict) and "name" in one and isinstance(one.get("context") or {}, dict)
        for one in listed
    )
