"""Ports: any free one, or the one that is asked for, or an error that names it."""

from __future__ import annotations

import socket

import pytest

from environments.ports import take_port
from environments.provider import PortTaken


def test_zero_takes_a_port_that_can_be_listened_on() -> None:
    port = take_port(0, "engine")
    with socket.create_server(("127.0.0.1", port)) as listener:
        assert listener.getsockname()[1] == port


def test_a_free_port_that_is_asked_for_is_the_one_given() -> None:
    free = take_port(0, "engine")
    assert take_port(free, "engine") == free


def test_a_port_whose_last_listener_has_ended_is_free() -> None:
    """A connection in TIME_WAIT does not keep a port from being used again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # the server's side closes first: TIME_WAIT stays with its port
            client.recv(1)
    assert take_port(port, "engine") == port


def test_a_taken_port_is_named_with_what_to_try() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortTaken) as error:
            take_port(port, "gateway")
    text = str(error.value)
    assert f"port {port} for the gateway is taken" in text
    assert f"127.0.0.1:{port} free" in text
    assert "Address already in use" in text
    assert "set the port to 0" in text


def test_a_port_taken_on_all_addresses_is_taken_on_loopback() -> None:
    with socket.create_server(("", 0)) as listener, pytest.raises(PortTaken):
        take_port(listener.getsockname()[1], "gateway")
