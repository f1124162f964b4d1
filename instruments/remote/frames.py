"""Frames: what near and far say to each other, over pipes that somebody else joins.

A frame is a letter, the length of what follows in four bytes, and that: JSON, or bytes as they are.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

_HEAD = struct.Struct(">cI")
READ_AT_ONCE = 1 << 18
LONGEST = 1 << 28  # what is longer is no frame: something else talks on this pipe


class Kind(Enum):
    """What a frame is about; those of the upper half go there, those of the lower half come back."""

    PING = b"p"  # {"number"}
    ORDER = b"o"  # a parcel
    START = b"s"  # {"start_ns"}: on the far clock
    ENOUGH = b"e"  # {"looked_at"}
    STOP = b"x"
    BYE = b"y"  # there is nothing more to come: some connections do not pass on that an input has ended
    BEAT = b"b"  # somebody is there: both ways

    HELLO = b"h"  # {"sources"}: the hash of what runs there
    PONG = b"q"  # {"number", "at_ns"}: on the far clock
    READY = b"r"
    DATA = b"d"  # the journal's next bytes
    END = b"z"  # {"status", "said", "words", "bytes", "sha256", "oom_kills"}


class NotAFrame(Exception):
    """Something else than a peer of ours wrote into the pipe."""


@dataclass(frozen=True, slots=True)
class Frame:
    kind: Kind
    content: bytes = b""

    @classmethod
    def of(cls, kind: Kind, told: Mapping[str, Any]) -> Frame:
        return cls(kind, json.dumps(told).encode())

    def told(self) -> dict[str, Any]:
        """Its content as JSON; NotAFrame where it is none."""
        try:
            found = json.loads(self.content)
        except ValueError as error:
            raise NotAFrame(f"{self.kind.name} without JSON: {self.content[:80]!r}") from error
        if not isinstance(found, dict):
            raise NotAFrame(f"{self.kind.name} with {self.content[:80]!r}")
        return found

    def packed(self) -> bytes:
        return _HEAD.pack(self.kind.value, len(self.content)) + self.content


def send(descriptor: int, frame: Frame) -> None:
    """Write it whole; OSError when the other side has gone."""
    left = memoryview(frame.packed())
    while left:
        left = left[os.write(descriptor, left) :]


@dataclass(slots=True)
class Incoming:
    """What has come so far, cut into frames."""

    descriptor: int
    ended: bool = False
    _held: bytearray = field(default_factory=bytearray)

    def read(self) -> list[Frame]:
        """Read once, which waits where nothing is there. Gives the frames that are whole now."""
        data = os.read(self.descriptor, READ_AT_ONCE)
        self.ended = not data
        self._held += data
        return self._cut()

    def _cut(self) -> list[Frame]:
        found, at = [], 0
        while len(self._held) - at >= _HEAD.size:
            letter, length = _HEAD.unpack_from(self._held, at)
            begins = at + _HEAD.size
            kind = _KINDS.get(letter)
            if kind is None or length > LONGEST:
                raise NotAFrame(f"no frame begins with {bytes(self._held[at : at + 200])!r}")
            if len(self._held) - begins < length:
                break
            at = begins + length
            found.append(Frame(kind, bytes(self._held[begins:at])))
        del self._held[:at]
        return found


_KINDS = {kind.value: kind for kind in Kind}
