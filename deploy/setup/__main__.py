"""`python3 -m deploy.setup PART...`: installs the named parts in turn, and says at the end which failed.

Exit status: 0 all installed, 1 a part failed (the others are installed all the same), 2 cannot run here.
"""

import argparse
import sys
import time
from collections.abc import Callable

from deploy.setup import (
    allure,
    audit,
    checkov,
    checks,
    clone,
    cluster,
    engine,
    kubernetes,
    lock,
    model,
    monitoring,
    nvml_stub,
    servers,
    suite,
)
from deploy.setup.errors import SetupError

PARTS: dict[str, Callable[[], None]] = {
    "suite": suite.install,
    "engine": engine.install,
    "monitoring": monitoring.install,
    "model": model.install,
    "nginx": servers.install_nginx,
    "redis": servers.install_redis,
    "stub": nvml_stub.install,
    "kubernetes": kubernetes.install,
    "cluster": cluster.install,
    "checks": checks.install,
    "checkov": checkov.install,
    "audit": audit.install,
    "report": allure.report,
    "report-gate": allure.gate,
    "lock": lock.remake,
}


def main(arguments: list[str]) -> int:
    """Install the parts that `arguments` name."""
    parser = argparse.ArgumentParser(prog="deploy.setup", description=__doc__)
    parser.add_argument("part", nargs="+", choices=list(PARTS))
    wanted = parser.parse_args(arguments).part
    began = time.monotonic()
    try:
        with clone.sole_setup():
            failed = [part for part in wanted if not _installed(part)]
    except SetupError as error:
        print(f"set-up failed\n{error}", file=sys.stderr)
        return 1
    spent = f"{time.monotonic() - began:.1f} s"
    if failed:
        print(f"set-up: {', '.join(failed)} FAILED after {spent}; the reasons stand above", file=sys.stderr)
        return 1
    print(f"set-up: {', '.join(wanted)} ready after {spent}")
    return 0


def _installed(part: str) -> bool:
    print(f"{part}:", flush=True)
    try:
        PARTS[part]()
    except SetupError as error:
        print(f"set-up of {part} failed\n{error}", file=sys.stderr, flush=True)
        return False
    return True


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  (this is the check that says so)
        print("deploy.setup: expected Python 3.11 or newer", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))
