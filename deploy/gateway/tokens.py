"""Tokens: how many a key may have in a while; reserved before a request is sent, settled by its `usage`.

The prompt's tokens are not known before the engine has counted them, so what is reserved is what may be
generated: sequences times `max_tokens`, or times `limits.tokens_reserved` where a request names no bound.
A request passes if all charges of the last period and its own reservation stay within the limit. At its end

* with `usage`, the reservation becomes what was used, prompt and completion. Less than reserved: the rest is
  given back, as of the instant of the reservation. More (a long prompt): the excess is charged at the end,
  may overdraw the limit, and so keeps later requests waiting until it has left the period;
* without `usage` (a client that left, a stream that broke), the reservation stays, or becomes the number of
  events that were sent where that is more: the engine sends one for a token, now and then for several;
* when the request was not answered 200, or never sent to the engine, all of it is given back.
"""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import limits

from deploy.gateway.account import LEFT_BEFORE_ANSWER, Account
from deploy.gateway.limiter import Refusal, StorageFailed, parsed, whole_seconds
from deploy.gateway.settings import Key, Limits


@dataclass(frozen=True, slots=True)
class Charge:
    """A reservation that was made: whose, of how many tokens, under which number."""

    key: str
    rate: limits.RateLimitItem
    reserved: int
    number: str


@dataclass(frozen=True, slots=True)
class Shortage:
    """A reservation that did not fit: seconds until it would, and the tokens that are left now."""

    wait_s: float
    left: int


class Ledger(Protocol):
    """Charges of tokens by key. Each method raises StorageFailed."""

    async def reserve(self, key: str, rate: limits.RateLimitItem, amount: int) -> Charge | Shortage:
        """Charge `amount` if it fits."""

    async def settle(self, charge: Charge, used: int) -> None:
        """Make the charge what was used."""


class TooMany(Exception):
    """More tokens are asked for than the limit would ever give. The text is for the client."""


class Budget:
    """The limit on tokens of every key."""

    def __init__(self, rates: Limits, ledger: Ledger, on_failure: Callable[[], None] = lambda: None) -> None:
        self._rates = rates
        self._ledger = ledger
        self._on_failure = on_failure

    async def reserve(self, key: Key | None, sequences: int, asked: int | None) -> Charge | Refusal | None:
        """A charge to settle; None where there is no limit (or no storage, and that is allowed); a Refusal.

        `asked` is the request's own bound of tokens for each of its sequences. Raises TooMany, StorageFailed.
        """
        rate = None if key is None else key.tokens_limit or self._rates.key_tokens
        if key is None or rate is None:
            return None
        item = parsed(rate)
        amount = sequences * (self._rates.tokens_reserved if asked is None else asked)
        if asked is not None and amount > item.amount:
            raise TooMany(f"This request asks for up to {amount} tokens; the limit of its key is {item}.")
        try:
            made = await self._ledger.reserve(key.name, item, min(max(1, amount), item.amount))
        except StorageFailed:
            self._on_failure()
            if self._rates.on_storage_failure == "allow":
                return None
            raise
        if isinstance(made, Charge):
            return made
        return Refusal("key_tokens", f"{item} of tokens", item.amount, made.left, whole_seconds(made.wait_s))

    async def settle(self, charge: Charge, account: Account, events: int = 0) -> None:
        """Settle by what became of the request; a storage that fails now leaves the reservation as it is.

        `events` is how many of a stream were sent.
        """
        used = account.prompt_tokens + account.completion_tokens
        if not used and account.sent_upstream and account.final_status in (200, LEFT_BEFORE_ANSWER):
            # The engine may have worked for it, and nobody knows how much.
            if events <= charge.reserved:
                return
            used = events
        try:
            await self._ledger.settle(charge, used)
        except StorageFailed:
            self._on_failure()


class MemoryLedger:
    """Charges in this process, on the monotonic clock; what has left its period is forgotten."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self._charges: dict[str, OrderedDict[str, tuple[float, int]]] = {}  # by key: instant, amount
        self._sums: dict[str, int] = {}

    async def reserve(self, key: str, rate: limits.RateLimitItem, amount: int) -> Charge | Shortage:
        """Charge `amount` if it fits."""
        now, period_s = self._clock(), rate.get_expiry()
        charges, charged = self._live(key, now - period_s)
        if charged + amount <= rate.amount:
            return Charge(key, rate, amount, self._add(key, now, amount))
        over = charged + amount - rate.amount
        return Shortage(_until_freed(charges, over) + period_s - now, max(0, rate.amount - charged))

    async def settle(self, charge: Charge, used: int) -> None:
        """Make the charge what was used."""
        now = self._clock()
        charges, _ = self._live(charge.key, now - charge.rate.get_expiry())
        if used > charge.reserved:
            self._add(charge.key, now, used - charge.reserved)
        elif charge.number in charges:
            instant, _ = charges[charge.number]
            charges[charge.number] = (instant, used)
            self._sums[charge.key] += used - charge.reserved

    def _live(self, key: str, horizon: float) -> tuple[OrderedDict[str, tuple[float, int]], int]:
        charges = self._charges.setdefault(key, OrderedDict())
        self._sums.setdefault(key, 0)
        while charges and next(iter(charges.values()))[0] <= horizon:
            _, (_, amount) = charges.popitem(last=False)
            self._sums[key] -= amount
        return charges, self._sums[key]

    def _add(self, key: str, now: float, amount: int) -> str:
        number = str(next(self._numbers))
        self._charges[key][number] = (now, amount)
        self._sums[key] += amount
        return number


def _until_freed(charges: OrderedDict[str, tuple[float, int]], over: int) -> float:
    """The instant of the charge with whose leaving `over` tokens are free."""
    freed = 0
    for instant, amount in charges.values():
        freed += amount
        if freed >= over:
            return instant
    raise AssertionError("a reservation is never more than the limit, so all charges together free it")
