import socket

import pytest

from sentiment.runtime import network
from sentiment.runtime.network import PROXY_VARIABLES, has_network


@pytest.fixture
def connect(monkeypatch):
    """Replaces connecting; returns what was asked for."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    asked = []

    def use(error=None):
        def create_connection(address, timeout):
            asked.append((address, timeout))
            if error:
                raise error
            return socket.socket()

        monkeypatch.setattr(network.socket, "create_connection", create_connection)
        return asked

    return use


def test_a_host_that_answers_is_network(connect):
    asked = connect()
    assert has_network("example.org", timeout=2.5)
    assert asked == [(("example.org", 443), 2.5)]


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(), TimeoutError(), socket.gaierror(-2, "unknown")]
)
def test_a_host_that_does_not_answer_is_none(connect, error):
    connect(error)
    assert not has_network("example.org")


def test_waiting_is_short_by_default(connect):
    asked = connect()
    has_network("example.org")
    assert 0 < asked[0][1] <= 5


@pytest.mark.parametrize("name", PROXY_VARIABLES)
def test_behind_a_proxy_nothing_is_asked(connect, monkeypatch, name):
    asked = connect(ConnectionRefusedError())
    monkeypatch.setenv(name, "http://proxy:3128")
    assert has_network("example.org")
    assert asked == []


def test_an_empty_proxy_variable_is_no_proxy(connect, monkeypatch):
    connect(ConnectionRefusedError())
    monkeypatch.setenv("https_proxy", "")
    assert not has_network("example.org")
