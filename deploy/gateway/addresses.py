"""Addresses: who the client is, when some of those who connect are proxies of ours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

from deploy.gateway.settings import Network

UNKNOWN = "unknown"


class ClientAddresses:
    """Reads X-Forwarded-For from the right, a step a trusted proxy, and believes nothing further left."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)

    def of(self, scope: Scope) -> str:
        """The address of the client, as text."""
        peer = scope.get("client")
        if peer is None:
            return UNKNOWN
        host: str = peer[0]
        if not self._trusted:
            return host
        return self._behind_proxies(host, scope)

    def _behind_proxies(self, host: str, scope: Scope) -> str:
        hops = [
            hop.strip()
            for name, value in scope["headers"]
            if name == b"x-forwarded-for"
            for hop in value.decode("latin-1").split(",")
        ]
        while hops and self._is_trusted(host):
            hop = _parsed(hops.pop())
            if hop is None:  # a proxy of ours would have written an address
                break
            host = str(hop)
        return host

    def _is_trusted(self, host: str) -> bool:
        address = _parsed(host)
        return address is not None and any(address in network for network in self._trusted)


@lru_cache(maxsize=4096)
def limited_as(host: str) -> str:
    """What a limit is counted by: an IPv4 address, or the /64 of an IPv6 one, as a host owns a whole /64."""
    address = _parsed(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return host


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
