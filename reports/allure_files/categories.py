"""categories.json: why claims did not hold, told apart by status and by the message they ended with.

Allure 3 takes the first category that fits, Allure 2 every one: so each expression leaves out what those
before it take, and both show the same. Java and JavaScript read these expressions alike.
"""

from __future__ import annotations

from typing import Any

# [\s\S] and not a flag: the same expression must mean the same to Java (Allure 2) and JavaScript (Allure 3).
_REST = r"[\s\S]*"
# allure-pytest calls every exception but an AssertionError "broken": an unmet objective is one of them.
_UNMET = ("failed", "broken")


def _raised(*kinds: str, saying: str = "") -> str:
    """A message as pytest writes it, `package.module.Kind: its first line …`, of any of these exceptions."""
    of = rf"(?:[\w.]+\.)?(?:{'|'.join(kinds)})"
    return rf"{of}:[^\n]*(?:{saying})" if saying else rf"{of}(?::|$)"


_GATE = r"(?:Skipped: |(?:\w+: )?a gate cannot pass by skipping)"
_NOTHING = _raised("ObjectiveInconclusive", saying=r"\b[Nn]othing was (?:measured|compared)\b")
_CLIENT = "|".join([
    _raised(
        "ObjectiveInconclusive",
        saying="the client (?:disturbed it|was late by|did not check itself)|pairs are void",
    ),
    _raised("WorkerDied"),
    _raised("SloError", saying="the client could not be calibrated|the server of known timing did not start"),
])  # fmt: skip
_PLACE = "|".join([
    _raised("MissingBinary", "PortTaken", "JournalError"),
    _raised("StackError", saying="the stack cannot be stood up"),  # no room on the disk, or no right to it
    # The network of this machine. An answer that does not come is the stack's, and no matter of the place.
    _raised("ConnectError", "ConnectTimeout", "gaierror", "ConnectionRefusedError"),
    _raised("OSError", "PermissionError", "BlockingIOError"),
])  # fmt: skip
_LACKS = r"Skipped: (?:[\s\S]*\bcapabilit(?:y|ies)\b)"

# (name, statuses, expression), the most particular first.
_CATEGORIES = (
    ("A gate cannot pass by skipping", _UNMET, _GATE),
    ("Nothing was measured", _UNMET, _NOTHING),
    ("The client disturbed the run", _UNMET, _CLIENT),
    ("Objective violated", _UNMET, _raised("ObjectiveViolated")),
    ("Inconclusive: the data cannot tell", _UNMET, _raised("ObjectiveInconclusive")),
    ("Infrastructure: a program, a port, the disk or the network", _UNMET, _PLACE),
    ("The stack died", _UNMET, _raised("StackDied")),
    ("The stack did not start", _UNMET, _raised("StackNotReady", "StackError", "AlreadyUp")),
    ("The server's own numbers cannot be had", _UNMET, _raised("TelemetryError")),
    ("A setting or a catalog file is wrong", _UNMET, _raised("ConfigurationError", "UsageError")),
    ("A claim does not hold", ("failed",), ""),
    ("An error that no claim expects", ("broken",), ""),
    ("Skipped: the stack lacks a capability", ("skipped",), _LACKS),
    ("Skipped: it does not apply here", ("skipped",), r"Skipped: "),
)


def categories() -> list[dict[str, Any]]:
    """The categories as Allure reads them: name, matchedStatuses, messageRegex (of the whole message)."""
    found: list[dict[str, Any]] = []
    for at, (name, statuses, expression) in enumerate(_CATEGORIES):
        before = [other for _, of, other in _CATEGORIES[:at] if other and set(of) & set(statuses)]
        but = f"(?!{'|'.join(before)})" if before else ""
        regex = f"^{but}(?:{expression}){_REST}$"
        found.append({"name": name, "matchedStatuses": list(statuses), "messageRegex": regex})
    return found
