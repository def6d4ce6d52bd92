# SPDX-License-Identifier: GPL-2.0-only
"""Connections: how long they live, what keeps them, two CPUs with one first packet, and a full table."""
import struct
import threading
import time

import pytest
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.packet import Raw

from bpf import REDIRECT, SHOT
from rig import expect, translated
from topology import HOST_ADDRESS, OUTSIDE_FAR, wait_for

MAX_CONNECTIONS = 65536
LONG = 600


@pytest.fixture(autouse=True)
def long_timeouts(rig):
    rig.set_timeouts(syn=LONG, established=LONG, fin=LONG, closing=LONG, reset=LONG, udp=LONG, icmp=LONG)


def entries(rig, port):
    """How many of the connection's two entries there are; its port is in both."""
    wanted = struct.pack("!H", port)
    return sum(wanted in (key[32:34], key[34:36]) for key in rig.connections.keys())


def udp(rig, port):
    return rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=port, dport=53) / Raw(b"x")


def tcp(rig, port, *directions_and_flags):
    for direction, flags in directions_and_flags:
        if direction == "out":
            packet = rig.sent(rig.a, OUTSIDE_FAR) / TCP(sport=port, dport=80, flags=flags)
            assert rig.from_endpoint(rig.a, packet)[0] == REDIRECT
        else:
            packet = rig.arrived() / TCP(sport=80, dport=port, flags=flags)
            assert rig.from_uplink(packet)[0] == REDIRECT


HANDSHAKE = [("out", "S"), ("in", "SA"), ("out", "A")]

# how a TCP connection got where it is, and which timeout counts then
TCP_STATES = {
    "syn": [("out", "S")],
    "syn again": [("out", "S"), ("out", "S")],
    "established": HANDSHAKE,
    "adopted": [("out", "A"), ("in", "A")],
    "data": [*HANDSHAKE, ("out", "PA"), ("in", "PA")],
    "fin": [*HANDSHAKE, ("out", "FA"), ("in", "A")],
    "closing": [*HANDSHAKE, ("out", "FA"), ("in", "FA"), ("out", "A")],
    "closing, the server first": [*HANDSHAKE, ("in", "FA"), ("out", "FA"), ("in", "A")],
    "reset": [*HANDSHAKE, ("in", "R")],
    "reset by the client": [*HANDSHAKE, ("out", "RA")],
    "refused": [("out", "S"), ("in", "RA")],
}
TIMEOUT_OF = {"syn again": "syn", "adopted": "established", "data": "established",
              "closing, the server first": "closing",
              "reset by the client": "reset", "refused": "reset"}


@pytest.mark.parametrize("case", TCP_STATES)
def test_tcp_ends_by_the_timeout_of_its_state(rig, case):
    state = TIMEOUT_OF.get(case, case)
    # A new connection is looked at when a SYN would time out; only what ends sooner than it began is looked at sooner.
    rig.set_timeouts(**{state: 1, **({} if state in ("closing", "reset") else {"syn": 1})})
    port = rig.port()
    tcp(rig, port, *TCP_STATES[case])
    assert entries(rig, port) == 2
    wait_for(lambda: not entries(rig, port), 6)


@pytest.mark.parametrize("case", TCP_STATES)
def test_tcp_ends_by_no_other_timeout(rig, case):
    rig.set_timeouts(**dict.fromkeys(("syn", "established", "fin", "closing", "reset", "udp", "icmp"), 1))
    rig.set_timeouts(**{TIMEOUT_OF.get(case, case): LONG})
    port = rig.port()
    tcp(rig, port, *TCP_STATES[case])
    time.sleep(1.5)  # nothing to poll for: what should not happen has no event
    assert entries(rig, port) == 2


def test_udp_and_ping_end(rig):
    rig.set_timeouts(udp=1, icmp=1)
    port = rig.port()
    assert rig.from_endpoint(rig.a, udp(rig, port))[0] == REDIRECT
    ping = rig.sent(rig.a, OUTSIDE_FAR) / ICMP(id=port) / Raw(b"x")
    assert rig.from_endpoint(rig.a, ping)[0] == REDIRECT
    assert entries(rig, port) >= 3  # the reply entry of the ping has another identifier
    wait_for(lambda: not entries(rig, port), 6)


@pytest.mark.parametrize("direction", ["out", "in"])
def test_traffic_of_either_direction_keeps_it(rig, direction):
    """Both entries, for three times as long as an idle one lives."""
    rig.set_timeouts(udp=1)
    port = rig.port()
    assert rig.from_endpoint(rig.a, udp(rig, port))[0] == REDIRECT
    answer = rig.arrived() / UDP(sport=53, dport=port) / Raw(b"x")
    end = time.monotonic() + 3
    while time.monotonic() < end:
        if direction == "out":
            assert rig.from_endpoint(rig.a, udp(rig, port))[0] == REDIRECT
        else:
            expect(rig.from_uplink(answer), REDIRECT, translated(answer, rig.to(rig.a), dst=rig.a.address))
        assert entries(rig, port) == 2
        time.sleep(0.1)
    wait_for(lambda: not entries(rig, port), 6)


@pytest.mark.parametrize("ending", ["closing", "reset", "refused"])
def test_a_closed_connections_tuple_is_used_again(rig, ending):
    """The same ports at once: the new connection lives as long as any, not as short as the old one had left."""
    rig.set_timeouts(closing=1, reset=1)
    port = rig.port()
    tcp(rig, port, *TCP_STATES[ending])
    tcp(rig, port, *HANDSHAKE)
    time.sleep(1.5)
    assert entries(rig, port) == 2
    tcp(rig, port, ("out", "A"), ("in", "A"))


def test_a_strange_reset_ends_nothing_that_goes_on(rig):
    """Whoever still talks was not reset: the RST may have been forged, or out of the window."""
    rig.set_timeouts(reset=1)
    port = rig.port()
    tcp(rig, port, *HANDSHAKE, ("in", "R"), ("in", "A"), ("out", "A"))
    time.sleep(1.5)
    assert entries(rig, port) == 2


@pytest.mark.parametrize("where", ["masqueraded", "exposed"])
def test_two_cpus_with_one_first_packet(rig, where):
    """Both packets pass, by the same translation: kubernetes #56903 lost the second, and DNS waited 5 s."""
    for _ in range(100):
        port, results, barrier = rig.port(), [], threading.Barrier(2)
        if where == "masqueraded":
            packet, wanted = udp(rig, port), translated(udp(rig, port), src=HOST_ADDRESS)
        else:
            packet = rig.arrived() / UDP(sport=port, dport=5001) / Raw(b"x")
            wanted = translated(packet, rig.to(rig.a), dst=rig.a.address)

        def send():
            barrier.wait()
            results.append(rig.from_endpoint(rig.a, packet) if where == "masqueraded" else rig.from_uplink(packet))
        threads = [threading.Thread(target=send) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(results) == 2
        for result in results:
            expect(result, REDIRECT, wanted)
        assert entries(rig, port) == 2


def test_random_ports_of_two_cpus(rig):
    """A source port that cannot be kept: still both packets of a flow get the same one."""
    for number in range(100):
        packet = rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=40000 + number, dport=5353) / Raw(b"x")
        results, barrier = [], threading.Barrier(2)

        def send():
            barrier.wait()
            results.append(rig.from_endpoint(rig.a, packet))
        threads = [threading.Thread(target=send) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [verdict for verdict, _ in results] == [REDIRECT] * 2
        assert results[0][1] == results[1][1]


def test_pairs_are_whole(rig):
    pairs = rig.connection_pairs()
    assert pairs
    for key, other in pairs.items():
        assert pairs.get(other) == key


def test_full_table(rig):
    """New connections are refused, and counted; those that are there live on. Nothing is evicted."""
    live = rig.port()
    tcp(rig, live, *HANDSHAKE)
    packet = bytearray(bytes(rig.sent(rig.b, OUTSIDE_FAR) / UDP(sport=1, dport=1) / Raw(b"x")))
    before = rig.drops()["table-full"]
    opened = 0
    for number in range(MAX_CONNECTIONS + 100):
        struct.pack_into("!HH", packet, 34, 1024 + number % 30000, 1 + number // 30000)
        if rig.from_endpoint(rig.b, packet)[0] == SHOT:
            break
        opened += 1
    assert rig.drops()["table-full"] == before + 1
    assert MAX_CONNECTIONS - opened < 1000  # what the tests before this one have left
    tcp(rig, live, ("out", "A"), ("in", "PA"), ("out", "A"))
    struct.pack_into("!HH", packet, 34, 1024, 1)  # the first of the flood is still there
    assert rig.from_endpoint(rig.b, packet)[0] == REDIRECT
    pairs = rig.connection_pairs()
    assert all(pairs.get(other) == key for key, other in pairs.items())
