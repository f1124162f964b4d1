"""What the set-up raises when a part cannot be installed."""


class SetupError(Exception):
    """A part could not be installed: what was expected, what was seen, and what to try."""

    def __init__(self, expected: str, seen: str, hint: str) -> None:
        super().__init__(f"expected: {expected}\nseen:     {seen}\ntry:      {hint}")
