"""An engine that tires all at once; and, as a program, of two the second, which is slower.

    python -m tests.faults.planted.regression --mark FILE [the saboteur's own arguments but --fault]

Whoever finds FILE there is the second.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from random import Random

from tests.faults.planting import Answer, Planted

GOOD = 384  # streams: three runs of 128
BLOCK = 28  # streams of a block of a comparison
MOODS_S = (0.0, 0.05, 0.4)

_numbers = count(1)


async def tired(answer: Answer) -> AsyncIterator[bytes]:
    """After so many streams the first bytes are late by `delay_s`."""
    if answer.streamed and next(_numbers) > GOOD:
        await asyncio.sleep(answer.asked.delay_s)
    async for piece in answer.body:
        yield piece


async def moody(answer: Answer) -> AsyncIterator[bytes]:
    """Each block of streams has a mood: the first bytes come at once, late, or very late."""
    if answer.streamed:
        await asyncio.sleep(Random(next(_numbers) // BLOCK).choice(MOODS_S))
    async for piece in answer.body:
        yield piece


FAULTS = [Planted("tired-after-three-runs", timing=tired), Planted("moody", timing=moody)]


def main() -> int:
    """Be the saboteur: of no fault for the first, of a late first token for the second."""
    _, option, mark, *rest = sys.argv
    if option != "--mark":
        raise SystemExit(__doc__)
    try:
        Path(mark).touch(exist_ok=False)
        fault = "none"
    except FileExistsError:
        fault = "first-token-delay"
    sys.argv = ["saboteur", "--fault", fault, *rest]
    from tests.faults.saboteur import run

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
