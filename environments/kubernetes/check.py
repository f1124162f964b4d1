"""A check of the preflight: what was looked for, what was seen, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from environments.profile import Profile
from environments.provider import StackNotReady

WORDS = {True: "ok", False: "MISSING", None: "–"}


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` is None where it cannot be known, or is missing and can be done without: told, not required."""

    what: str
    ok: bool | None
    seen: str
    hint: str = ""


def table(checks: Sequence[Check]) -> str:
    """A row each, with what to do under those that are not fulfilled."""
    width = max((len(one.what) for one in checks), default=0)
    lines = []
    for one in checks:
        head = f"{WORDS[one.ok]:<8}{one.what:<{width}}  "
        seen, *more = one.seen.splitlines() or [""]
        lines += [f"{head}{seen}".rstrip(), *(f"{'':<{len(head)}}{line}" for line in more)]
        if one.ok is not True:
            lines += [f"{'':<{len(head)}}{'try: ' if not at else '     '}{line}"
                      for at, line in enumerate(one.hint.splitlines())]  # fmt: skip
    return "\n".join(lines)


def require(profile: Profile, checks: Sequence[Check]) -> None:
    """StackNotReady with all rows where one is not fulfilled: nothing has been created then."""
    missing = [one for one in checks if one.ok is False]
    if not missing:
        return
    raise StackNotReady(
        f"{profile.name} cannot be stood up from here: {', '.join(one.what for one in missing)}",
        expected="all that is called MISSING below; nothing has been created",
        seen="\n    ".join([f"{len(missing)} of {len(checks)} missing", *table(checks).splitlines()]),
        hint=f"python -m environments preflight --env {profile.name} [--context NAME], until it is content",
    )
