# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors about packets that the NAT has changed, and those that it makes: rows 10, 11, 16, 19 and 21."""
import itertools

from row_flows import BACK, OUT
from machines import partial
from net import EXPOSED, ROUTER, SERVERS
from scapy.layers.inet import ICMP, IPOption_NOP
from table import check, row

PORT_UNREACHABLE, HOST_UNREACHABLE, TOO_BIG, PROHIBITED = (3, 3), (3, 1), (3, 4), (3, 13)
KINDS = ((3, 0), HOST_UNREACHABLE, (3, 2), PORT_UNREACHABLE, TOO_BIG, PROHIBITED, (11, 0), (11, 1), (12, 0))
ROUTER_BEYOND = "192.0.2.77"
NARROW, NARROW_MTU = "203.0.113.9", 1400
DF = {"flags": "DF"}
OPTIONS = {"options": [IPOption_NOP()] * 4}
MTU = {"nexthopmtu": 1300}  # used by ICMP 3/4 only


@row(10)
def errors_delete_nothing(net):
    for proto in ("udp", "tcp", "icmp"):
        flow = net.open(proto, net.a, 5000)
        for kind in KINDS:
            check(flow.error(OUT, *kind, ROUTER_BEYOND), f"{proto}: ICMP {kind[0]}/{kind[1]} was lost")
            check(flow.back() and flow.out(), f"{proto}: gone after ICMP {kind[0]}/{kind[1]}")
    return f"{len(KINDS)} kinds about UDP, TCP and ping"


@row(11)
def too_large_for_device(net):
    net.host.ip("link", "set", "up0", "mtu", NARROW_MTU)
    check_mtu(net)
    return "by the device's MTU, GSO by its segments"


@row(11)
def too_large_for_locked_route(net):
    net.host.ip("route", "add", NARROW, "via", ROUTER, "dev", "up0", "mtu", "lock", NARROW_MTU)
    check_mtu(net)
    return "by a route's locked MTU"


@row(11)
def too_large_for_route(net):
    net.host.ip("route", "add", NARROW, "via", ROUTER, "dev", "up0", "mtu", NARROW_MTU)
    check_mtu(net)
    return "by a route's MTU"


def check_mtu(net):
    """Larger than NARROW_MTU, alone or as a GSO packet's segment: an error that says so. Everything else passes."""
    for proto, header in (("udp", 28), ("tcp", 40)):
        flow = net.open(proto, net.a, 5000, NARROW).establish()
        for size in (NARROW_MTU, NARROW_MTU + 1, 1500):
            got = flow.out("PA", data=size - header, ip=DF)
            check(bool(got) == (size <= NARROW_MTU), f"{proto}: {size} bytes {'passed' if got else 'were dropped'}")
            check(got or is_too_big(net, flow.sent), f"{proto}: {size} bytes were dropped without a right ICMP 3/4")
    flow = net.open("tcp", net.a, 6000, NARROW).establish()
    for mss in (NARROW_MTU - 40, 1460):
        packet = partial(flow.compose(OUT, "PA", data=3 * mss, ip=DF))
        net.send(net.a, packet, gso_size=mss)
        segments = net.segments(packet)
        if mss == 1460:
            check(not segments, "GSO: segments larger than the MTU passed")
            check(is_too_big(net, packet, unfinished=True), "GSO: dropped without a right ICMP 3/4")
        else:
            check(segments == [mss] * 3, f"GSO: of 3 segments that fit came {segments}")


def is_too_big(net, packet, **how):
    error = net.made_error(net.a, packet, **how)
    return error and (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (*TOO_BIG, NARROW_MTU)


@row(16)
def errors_from_outside(net):
    for proto in ("udp", "tcp", "icmp"):
        for ip in ({}, OPTIONS):
            flow = net.open(proto, net.a, 5000, ip=ip)
            for kind, reporter, cut in itertools.product(KINDS, (None, ROUTER_BEYOND), (None, 8)):
                check(flow.error(OUT, *kind, reporter, cut, **MTU), f"{proto}: ICMP {kind[0]}/{kind[1]} was lost")
    return "from outside: all restored"


@row(16)
def errors_of_endpoints(net):
    net.nat.expose("b", EXPOSED, 80, "udp")
    net.nat.expose("b", EXPOSED, 80, "tcp")
    flows = []
    for proto in ("udp", "tcp", "icmp"):
        for port, ip in ((5000, {}), (5001, OPTIONS)):
            flow = net.open(proto, net.a, port)
            check(flow.back(ip=ip), f"{proto}: an answer was lost")
            flows.append((BACK, flow))
    for proto in ("udp", "tcp"):
        flow = net.inbound(proto, (SERVERS[0], 40000), (net.external, EXPOSED), net.b)
        check(flow.out(), f"{proto}: nothing came to an exposed port")
        flows.append((OUT, flow))
    for (direction, flow), kind, cut in itertools.product(flows, KINDS, (None, 8)):
        check(flow.error(direction, *kind, cut=cut, **MTU), f"{flow.proto}: ICMP {kind[0]}/{kind[1]} was lost")
    return "from endpoints: all restored"


@row(19)
def wrong_checksums(net):
    for proto in ("udp", "tcp", "icmp"):
        flow = net.open(proto, net.a, 5000)
        check(not flow.error(OUT, *PORT_UNREACHABLE, spoil="outer"), f"{proto}: a wrong ICMP checksum passed")
        check(flow.error(OUT, *PORT_UNREACHABLE, spoil="inner"), f"{proto}: dropped for the quoted packet's checksum")
    return "dropped, passed"


@row(21)
def errors_through_hairpin(net):
    for proto in ("udp", "tcp"):
        net.nat.expose("b", EXPOSED, 80, proto)
        flow = net.flow(proto, net.a, 5000, net.external, EXPOSED, far=net.b)
        check_errors(flow.establish(), OUT, BACK)
        one, two = net.open(proto, net.a, 6000), net.open(proto, net.b, 7000)
        call = net.flow(proto, net.a, 6000, *two.nat, far=net.b)
        answer = net.flow(proto, net.b, 7000, *one.nat, far=net.a)
        call.out()
        check(answer.out() and call.out(), f"{proto}: no hairpin through dynamic mappings")
        check_errors(call, OUT)
        check_errors(answer, OUT)
    return "exposed ports and dynamic mappings, both ways"


def check_errors(flow, *directions):
    for direction, kind, cut in itertools.product(directions, (PORT_UNREACHABLE, TOO_BIG), (None, 8)):
        check(flow.error(direction, *kind, cut=cut, **MTU), f"{flow.proto}: ICMP {kind[0]}/{kind[1]} was lost")
