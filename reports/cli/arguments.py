"""Option types of the commands: each refuses what it cannot use, in words."""

from __future__ import annotations

import argparse


def count(told: str) -> int:
    """A whole number, 0 or more."""
    if not told.isascii() or not told.isdigit():
        raise argparse.ArgumentTypeError(f"a whole number, 0 or more, got {told!r}")
    return int(told)


def positive(told: str) -> int:
    """A whole number, 1 or more."""
    found = count(told)
    if not found:
        raise argparse.ArgumentTypeError("a whole number, 1 or more, got 0")
    return found
