"""Ports on loopback: a free one, or the one that a profile insists on."""

from __future__ import annotations

import socket

from environments.provider import PortTaken


def take_port(wanted: int, for_what: str) -> int:
    """The wanted port, or any free one for 0. PortTaken when the wanted one is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise PortTaken(
                f"port {wanted} for the {for_what} is taken",
                expected=f"127.0.0.1:{wanted} free, as the profile asks (ports)",
                seen=error.strerror,
                hint="end what listens there, or set the port to 0 to take any free one",
            ) from None
        return int(probe.getsockname()[1])
