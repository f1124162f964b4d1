"""python -m deploy.images.local PROGRAM...: images for a cluster on this machine, without a registry.

Prints name and image of each as JSON: {"gateway": "vllm-slo/gateway:cluster-..."}. They are made from this
machine's own Python and programs, and from what `make setup` fetched; they have the layout of deploy/images
(Python at /usr/local/bin/python, user 10001, no shell but in the engine's). The tag is a hash of what goes
in, so none is outdated, and one that is there is not made again. Exit status 1 where Docker does not take
one, 2 where there is nothing to make it of; stderr says which, in a line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from deploy.images.local.docker import DockerFailed, built
from deploy.images.local.programs import PROGRAMS
from deploy.images.local.recipe import NothingToMakeItOf


def main(argv: Sequence[str]) -> int:
    """Make those that are not there yet."""
    parser = argparse.ArgumentParser(prog="python -m deploy.images.local", description=__doc__)
    parser.add_argument("programs", nargs="+", choices=sorted(PROGRAMS), metavar="PROGRAM",
                        help=", ".join(sorted(PROGRAMS)))  # fmt: skip
    asked = parser.parse_args(argv).programs
    try:
        recipes = {name: PROGRAMS[name]() for name in asked}
        print(json.dumps({name: built(name, recipe) for name, recipe in recipes.items()}))
    except NothingToMakeItOf as error:
        sys.stderr.write(f"deploy.images.local: {error}\n")
        return 2
    except DockerFailed as error:
        sys.stderr.write(f"docker: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
