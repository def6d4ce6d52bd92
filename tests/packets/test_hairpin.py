# SPDX-License-Identifier: GPL-2.0-only
"""An endpoint asks for a port of the host's that an endpoint serves: the same one, another, another network's."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import PASS, REDIRECT, SHOT
from flows import open_flow, refused
from rig import EPHEMERAL, NAT_PORTS, SECOND_ADDRESS, expect, expect_untouched, l4, translated
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR


@pytest.mark.parametrize("client, server", [("b", "a"), ("a", "a"), ("c", "a")])
@pytest.mark.parametrize("proto, asked, served", [("tcp", 5000, 5000), ("udp", 5001, 5001), ("tcp", 6003, 7003)])
@pytest.mark.parametrize("address", [HOST_ADDRESS, SECOND_ADDRESS])
def test_there_and_back(rig, client, server, proto, asked, served, address):
    client, server, port = getattr(rig, client), getattr(rig, server), rig.port()
    packet = rig.sent(client, address) / l4(proto, port, asked) / Raw(b"ask")
    with rig.dropped():
        expect(rig.from_endpoint(client, packet), REDIRECT,
               translated(packet, rig.to(server), src=HOST_ADDRESS, dst=server.address, dport=served))
    answer = rig.sent(server, HOST_ADDRESS) / l4(proto, served, port) / Raw(b"tell")
    with rig.dropped():
        expect(rig.from_endpoint(server, answer), REDIRECT,
               translated(answer, rig.to(client), src=address, dst=client.address, sport=asked))


@pytest.mark.parametrize("proto, asked, served", [("tcp", 5000, 5000), ("udp", 5001, 5001)])
@pytest.mark.parametrize("client", ["a", "b", "c"])
def test_pitfall_cni_68_the_server_sees_what_the_outside_sees(rig, proto, asked, served, client):
    """RFC 4787 REQ-9: the client's external address and port, by whichever address of the host it asks."""
    client = getattr(rig, client)
    for address in (HOST_ADDRESS, SECOND_ADDRESS, rig.a.gateway):
        port = rig.port() + 30000
        chosen = open_flow(rig, client, proto, port)
        packet = rig.sent(client, address) / l4(proto, port, asked)
        expect(rig.from_endpoint(client, packet), REDIRECT,
               translated(packet, rig.to(rig.a), src=HOST_ADDRESS, dst=rig.a.address, sport=chosen, dport=served))


def test_a_client_asks_one_server_by_two_addresses(rig):
    """Its answers could be of either connection, were the source ports the same: one of the two gets another."""
    port, chosen = rig.port(), {}
    for address in (HOST_ADDRESS, SECOND_ADDRESS):
        packet = rig.sent(rig.b, address) / UDP(sport=port, dport=5001) / Raw(b"ask")
        verdict, out = rig.from_endpoint(rig.b, packet)
        chosen[address] = Ether(out)[UDP].sport
        expect((verdict, out), REDIRECT, translated(packet, rig.to(rig.a), src=HOST_ADDRESS, dst=rig.a.address,
                                                    sport=chosen[address]))
    assert len(set(chosen.values())) == 2
    for address, source in chosen.items():
        answer = rig.sent(rig.a, HOST_ADDRESS) / UDP(sport=5001, dport=source) / Raw(b"tell")
        expect(rig.from_endpoint(rig.a, answer), REDIRECT,
               translated(answer, rig.to(rig.b), src=address, dst=rig.b.address, dport=port))


def test_without_any_address_for_the_outside(make_rig):
    """A host with no uplink: then it is the address that was asked."""
    rig, state = make_rig()
    for family in ("-4", "-6"):
        rig.host.ip(family, "route", "del", "default")
    rig.host.nsbpf("uplink", "del", "up0")
    for address in (HOST_ADDRESS, SECOND_ADDRESS):
        port = rig.port()
        packet = rig.sent(rig.b, address) / TCP(sport=port, dport=5000, flags="S")
        verdict, out = rig.from_endpoint(rig.b, packet)
        chosen = Ether(out)[TCP].sport
        assert chosen in NAT_PORTS
        expect((verdict, out), REDIRECT,
               translated(packet, rig.to(rig.a), src=address, dst=rig.a.address, sport=chosen))
    state.check()


def test_source_port_outside_the_nat_range(rig):
    packet = rig.sent(rig.b, HOST_ADDRESS) / TCP(sport=EPHEMERAL, dport=5000, flags="S")
    verdict, out = rig.from_endpoint(rig.b, packet)
    chosen = Ether(out)[TCP].sport
    assert chosen in NAT_PORTS
    expect((verdict, out), REDIRECT,
           translated(packet, rig.to(rig.a), src=HOST_ADDRESS, dst=rig.a.address, sport=chosen))


def test_two_clients_with_one_source_port(rig):
    port, chosen = rig.port(), []
    for client in (rig.a, rig.b, rig.c):
        packet = rig.sent(client, HOST_ADDRESS) / TCP(sport=port, dport=5400, flags="S")
        verdict, out = rig.from_endpoint(client, packet)
        chosen.append(Ether(out)[TCP].sport)
        expect((verdict, out), REDIRECT, translated(packet, rig.to(rig.b), src=HOST_ADDRESS, dst=rig.b.address,
                                                    sport=chosen[-1], dport=80))
    assert chosen[0] == port and len(set(chosen)) == 3


def test_ttl_1(rig):
    packet = rig.sent(rig.b, HOST_ADDRESS, ttl=1) / UDP(sport=rig.port(), dport=5001)
    refused(rig, rig.b, packet, "ttl")


def test_only_for_some_sources(rig):
    packet = rig.sent(rig.b, HOST_ADDRESS) / TCP(sport=rig.port(), dport=5200, flags="S")
    expect(rig.from_endpoint(rig.b, packet), REDIRECT,
           translated(packet, rig.to(rig.a), src=HOST_ADDRESS, dst=rig.a.address))
    for node in (rig.a, rig.c):
        packet = rig.sent(node, HOST_ADDRESS) / TCP(sport=rig.port(), dport=5200, flags="S")
        with rig.dropped("source"):
            assert rig.from_endpoint(node, packet)[0] == SHOT


def test_exposed_on_one_address(rig):
    packet = rig.sent(rig.b, HOST_ADDRESS) / TCP(sport=rig.port(), dport=5100, flags="S")
    assert rig.from_endpoint(rig.b, packet)[0] == REDIRECT
    packet.payload.dst = rig.family.address(SECOND_ADDRESS)
    expect_untouched(rig.from_endpoint(rig.b, packet), packet)


def test_pitfall_moby_41872_exposed_on_loopback(rig):
    packet = rig.sent(rig.b, HOST_ADDRESS) / TCP(sport=rig.port(), dport=5300, flags="S")
    expect_untouched(rig.from_endpoint(rig.b, packet), packet)
    for port in (5300, 5000):
        # Nobody has 127.0.0.1 on the wire (RFC 1122, 3.2.1.3): the host's stack drops it as a martian, if not we.
        packet = rig.sent(rig.b, "127.0.0.1") / TCP(sport=rig.port(), dport=port, flags="S")
        assert rig.from_endpoint(rig.b, packet)[0] in (PASS, SHOT)


def test_the_wrong_protocol_or_port_is_the_hosts(rig):
    for proto, port in (("udp", 5000), ("tcp", 5001), ("tcp", 5999), ("tcp", 6011), ("udp", 6003)):
        packet = rig.sent(rig.b, HOST_ADDRESS) / l4(proto, rig.port(), port)
        expect_untouched(rig.from_endpoint(rig.b, packet), packet)


def test_an_address_that_is_not_the_hosts(rig):
    """An exposed port of "any" host address is not one of every machine's."""
    for address in (OUTSIDE_FAR, OUTSIDE_ADDRESS):
        port = rig.port()
        packet = rig.sent(rig.b, address) / TCP(sport=port, dport=5000, flags="S")
        expect(rig.from_endpoint(rig.b, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))


def test_the_gateway_address_is_one_of_the_hosts(rig):
    packet = rig.sent(rig.b, rig.b.gateway) / TCP(sport=rig.port(), dport=5000, flags="S")
    expect(rig.from_endpoint(rig.b, packet), REDIRECT,
           translated(packet, rig.to(rig.a), src=HOST_ADDRESS, dst=rig.a.address))


def test_the_maps_agree(state):
    """Whatever the tests before this one have left."""
    assert state.entries()
    state.check()
