"""Where an objective applies: environments, models, accelerators and users, as names and globs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import BeforeValidator, Strict
from pydantic_core import PydanticCustomError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is made, so far as that is known: None is "not known", which excludes nothing."""

    environment: str | None = None
    model: str | None = None
    accelerator: str | None = None


ANYWHERE = Place()


def _listed(told: object) -> object:
    if not isinstance(told, (list, tuple)):
        raise PydanticCustomError("list_type", "Input should be a list")
    return told


Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Counts: TypeAlias = Annotated[tuple[Annotated[int, Strict()], ...], BeforeValidator(_listed)]


@dataclass(frozen=True, slots=True)
class Applies:
    """Names with `*` (any letters) and `?` (one letter), whatever their case; an empty list is everywhere.

    `users` are those of a closed loop. ValueError for what can never apply.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    environments: Names = ()
    models: Names = ()
    accelerators: Names = ()
    users: Counts = ()

    def __post_init__(self) -> None:
        for name in ("environments", "models", "accelerators"):
            if not all(pattern.strip() for pattern in getattr(self, name)):
                raise ValueError(f"{name}: an empty name applies nowhere; leave the list out for everywhere")
        if any(users < 1 for users in self.users):
            raise ValueError(f"users are at least 1, got {', '.join(map(str, self.users))}")

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Applies:
        """Again what `dataclasses.asdict` told, JSON's lists included."""
        return cls(**{name: tuple(told) for name, told in document.items()})

    def excludes(self, place: Place, users: int | None = None) -> str | None:
        """Why it does not apply at a place, under a load of so many users; None where it does, or may.

        `users` is None for a load that is not of users, to which an objective for some users never applies.
        """
        for patterns, name in (
            (self.environments, place.environment),
            (self.models, place.model),
            (self.accelerators, place.accelerator),
        ):
            if patterns and name is not None and not any(matches(one, name) for one in patterns):
                return f"for {' or '.join(patterns)}, this is {name}"
        if self.users and users not in self.users:
            wanted = " or ".join(map(str, self.users))
            return f"for {wanted} users, this load has {users or 'none'}"
        return None

    def unknown(self, place: Place) -> tuple[str, ...]:
        """Which of its conditions nobody can tell there: "model", "accelerator", "environment"."""
        return tuple(
            one.name
            for one in fields(place)
            if getattr(self, f"{one.name}s") and getattr(place, one.name) is None
        )

    def overlaps(self, other: Applies, place: Place = ANYWHERE) -> bool:
        """Whether there is a load to which both apply, at a place, or anywhere where that is not known.

        Two globs are taken to meet where one of them is among the names of the other: `*H100*` and
        `*A6000*` do not, though one could think of a card that is called both.
        """
        names = all(
            _share_a_name(
                getattr(self, f"{one.name}s"), getattr(other, f"{one.name}s"), getattr(place, one.name)
            )
            for one in fields(place)
        )
        return names and (not self.users or not other.users or not set(self.users).isdisjoint(other.users))


EVERYWHERE = Applies()


def matches(pattern: str, name: str) -> bool:
    """Whether a name is one of a glob's. Brackets are letters like others: names of models have them."""
    return re.fullmatch(_expression(pattern), name, re.IGNORECASE | re.DOTALL) is not None


@cache
def _expression(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in pattern)


def _share_a_name(ours: Sequence[str], theirs: Sequence[str], name: str | None) -> bool:
    if name is not None:
        return all(not globs or any(matches(glob, name) for glob in globs) for globs in (ours, theirs))
    pairs = ((one, other) for one in ours for other in theirs)
    return not ours or not theirs or any(matches(*pair) or matches(*pair[::-1]) for pair in pairs)
