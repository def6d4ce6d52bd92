# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf conntrack delete` and `flush`: both directions of a connection go, its NAT port and its place in the counts; and
nothing of another. What is left is right (`nsbpf check`)."""
import json

import pytest
from processes import PYTHON
from topology import HOST_ADDRESS, OUTSIDE_FAR, Host, wait_for

TCP, UDP, EXPOSED = 7000, 7001, 8080

# First packets of new flows, for as long as it is let.
FLOWS = """
import socket, sys
while True:
    for port in range(1, 65536):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for address in "192.0.2.1", "192.0.2.2", "192.0.2.3":
                s.sendto(b"x", (address, port))
"""


@pytest.fixture(scope="module")
def running():
    with Host() as host:
        host.nsbpf("set", "connections", "8192")
        host.a, host.b = host.add("a"), host.add("b")
        host.outside.ip("route", "add", "blackhole", "192.0.2.0/24")
        host.outside.tcp_echo(TCP)
        host.outside.udp_echo(UDP)
        host.a.udp_echo(80)
        host.nsbpf("expose", host.a.name, f"{EXPOSED}:80/udp")
        yield host


@pytest.fixture
def busy(running):
    """Four connections of a, and one of b's."""
    running.nsbpf("conntrack", "flush")
    running.sessions = [running.a.tcp_session(OUTSIDE_FAR, TCP), running.a.udp_session(OUTSIDE_FAR, UDP),
                        running.outside.udp_session(HOST_ADDRESS, EXPOSED), running.b.udp_session(OUTSIDE_FAR, UDP)]
    running.a.ping(OUTSIDE_FAR)
    for session in running.sessions:
        assert session.ask()["data"] == "hello"
    assert counts(running) == (5, 4)
    yield running
    for session in running.sessions:
        session.stop()


def counts(host):
    stats = host.json("conntrack", "stats")
    assert stats["connections"]["count"] == len(host.json("conntrack", "list")) == sum(stats["states"].values())
    return stats["connections"]["count"], stats["connections"]["nat_ports"]


def is_right(host):
    assert host.json("check")["findings"] == []


@pytest.mark.parametrize("words,gone,left", [
    ("-p tcp", 1, (4, 3)), ("-p udp", 3, (2, 2)), ("--endpoint ANAME", 4, (1, 1)), ("--endpoint BNAME", 1, (4, 3)),
    ("--nat dnat", 1, (4, 4)), ("--nat snat", 4, (1, 0)), ("-s A -p icmp", 1, (4, 3)), ("--state assured", 5, (0, 0)),
    ("-d 203.0.113.2 --dport 7001", 2, (3, 2)),
])
def test_delete(busy, words, gone, left):
    words = [{"A": busy.a.address, "ANAME": busy.a.name, "BNAME": busy.b.name}.get(word, word) for word in words.split()]
    some = "1 connection deleted" if gone == 1 else f"{gone} connections deleted"
    assert busy.json("conntrack", "count", *words) == {"count": gone}
    assert busy.nsbpf("conntrack", "delete", *words).stdout == f"{some}\n"
    assert counts(busy) == left
    assert busy.nsbpf("conntrack", "delete", *words).stdout == "unchanged\n"
    assert busy.json("conntrack", "delete", *words) == {"changed": False, "warning": None, "deleted": 0}
    assert counts(busy) == left
    is_right(busy)


def test_answers_are_nobodys(busy):
    """Neither direction is known any more: an answer from outside comes to nobody until the endpoint has sent again."""
    session = busy.sessions[1]
    words = ["-p", "udp", "--sport", session.first["local_port"]]
    before, = busy.json("conntrack", "list", *words)
    assert busy.json("conntrack", "delete", *words) == {"changed": True, "warning": None, "deleted": 1}
    for direction in before["original"], before["reply"]:
        done = busy.nsbpf("conntrack", "get", "-p", "udp", "-s", direction["source"], "-d", direction["destination"],
                          "--sport", direction["source_port"], "--dport", direction["destination_port"], check=False)
        assert done.returncode == 3
    assert session.ask("again")["data"] == "again"
    after, = busy.json("conntrack", "list", *words)
    assert after["original"]["packets"] == after["reply"]["packets"] == 1, "a new one"
    is_right(busy)


def test_flush(busy):
    assert busy.json("conntrack", "flush") == {"changed": True, "warning": None, "deleted": 5}
    assert counts(busy) == (0, 0)
    assert busy.nsbpf("conntrack", "flush").stdout == "unchanged\n"
    is_right(busy)


def test_while_they_come_and_go(running):
    """Under a flood of new flows every listing has whole connections only, and whatever is deleted goes whole."""
    address = running.a.address
    flood = running.a.popen(PYTHON, "-c", FLOWS)
    wait_for(lambda: running.json("conntrack", "count")["count"] > 100)
    deleted = 0
    for _ in range(5):
        for c in running.json("conntrack", "list", "-d", "192.0.2.0/24"):
            original, reply = c["original"], c["reply"]
            assert (original["destination"], original["destination_port"]) == (reply["source"], reply["source_port"])
            assert (original["source"], reply["destination"]) == (address, HOST_ADDRESS)
            assert original["packets"] <= 1 and reply["packets"] == 0 and c["endpoint"] == running.a.name
        deleted += running.json("conntrack", "flush")["deleted"]
    flood.kill()
    flood.wait()
    assert deleted > 100
    assert running.nsbpf("conntrack", "flush", check=False).returncode == 0
    assert counts(running) == (0, 0)
    is_right(running)


def test_nothing_runs(host):
    for words in (["delete", "-p", "tcp"], ["flush"]):
        assert host.nsbpf("conntrack", *words).stdout == "unchanged\n"
        assert host.json("conntrack", *words) == {"changed": False, "warning": None, "deleted": 0}
    done = host.nsbpf("-j", "conntrack", "delete", "--endpoint", "web", check=False)
    assert (done.returncode, json.loads(done.stderr)["error"]["text"]) == (3, "no endpoint web")
    assert host.pin_directories() == []
