# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors about packets that the NAT has changed, and those that it makes: rows 10, 11, 16, 19 and 21."""
import itertools

from row_flows import BACK, OUT
from machines import l4, partial
from net import EXPOSED
from row_families import spelt
from table import check, row

NARROW_MTU = 1400
FORMS = (None, "extended")


@row(10)
def errors_delete_nothing(net):
    for proto in ("udp", "tcp", "icmp"):
        flow = net.open(proto, net.a, 5000)
        for kind in net.family.errors:
            check_error(flow, OUT, kind, net.family.router_beyond)
            check(flow.back() and flow.out(), f"{proto}: gone after {spelt(net.family, kind)}")
    return f"{len(net.family.errors)} kinds about UDP, TCP and ping"


@row(11)
def too_large_for_device(net):
    net.host.ip("link", "set", "up0", "mtu", NARROW_MTU)
    return check_mtu(net, "by the device's MTU") + ", GSO by its segments"


@row(11)
def too_large_for_locked_route(net):
    net.host.ip("route", "add", net.family.narrow, "via", net.family.outside, "dev", "up0", "mtu", "lock", NARROW_MTU)
    return check_mtu(net, "by a route's locked MTU")


@row(11)
def too_large_for_route(net):
    net.host.ip("route", "add", net.family.narrow, "via", net.family.outside, "dev", "up0", "mtu", NARROW_MTU)
    return check_mtu(net, "by a route's MTU")


def check_mtu(net, what):
    """Larger than NARROW_MTU, alone or as a GSO packet's segment: an error that says so. Everything else passes."""
    header = net.family.header_size
    for proto, headers in (("udp", header + 8), ("tcp", header + 20)):
        flow = net.open(proto, net.a, 5000, net.family.narrow).establish()
        for size in (NARROW_MTU, NARROW_MTU + 1, 1500):
            got = flow.out("PA", data=size - headers, form="df")
            check(bool(got) == (size <= NARROW_MTU), f"{what}: {size} bytes {'passed' if got else 'were dropped'}")
            check(got or is_too_big(net, flow.sent), f"{what}: {size} bytes were dropped without a right error")
    flow = net.open("tcp", net.a, 6000, net.family.narrow).establish()
    for mss in (NARROW_MTU - headers, 1500 - headers):
        packet = partial(flow.compose(OUT, "PA", data=3 * mss, form="df"))
        net.send(net.a, packet, gso_size=mss)
        segments = net.segments(packet)
        if mss > NARROW_MTU - headers:
            check(not segments, f"{what}: GSO: segments larger than the MTU passed")
            check(is_too_big(net, packet, gso_size=mss), f"{what}: GSO: dropped without a right error")
        else:
            check(segments == [mss] * 3, f"{what}: GSO: of 3 segments that fit came {segments}")
    return what


def is_too_big(net, packet, **how):
    error = net.made_error(net.a, packet, **how)
    return error and net.family.error(error) == net.family.TOO_BIG and net.family.mtu(l4(error)) == NARROW_MTU


@row(16)
def errors_from_outside(net):
    for proto in ("udp", "tcp", "icmp"):
        for form in FORMS:
            flow = net.open(proto, net.a, 5000, form=form)
            reporters = (None, net.family.router_beyond)
            for kind, reporter, cut in itertools.product(net.family.errors, reporters, (None, 8)):
                check_error(flow, OUT, kind, reporter, cut)
    return "from outside: all restored"


@row(16)
def errors_of_endpoints(net):
    net.expose("b", EXPOSED, 80, "udp")
    net.expose("b", EXPOSED, 80, "tcp")
    flows = []
    for proto in ("udp", "tcp", "icmp"):
        for port, form in zip((5000, 5001), FORMS):
            flow = net.open(proto, net.a, port)
            check(flow.back(form=form), f"{proto}: an answer was lost")
            flows.append((BACK, flow))
    for proto in ("udp", "tcp"):
        flow = net.inbound(proto, (net.servers[0], 40000), (net.external, EXPOSED), net.b)
        check(flow.out(), f"{proto}: nothing came to an exposed port")
        flows.append((OUT, flow))
    for (direction, flow), kind, cut in itertools.product(flows, net.family.errors, (None, 8)):
        check_error(flow, direction, kind, cut=cut)
    return "from endpoints: all restored"


@row(19)
def wrong_checksums(net):
    for proto in ("udp", "tcp", "icmp"):
        flow = net.open(proto, net.a, 5000)
        kind = net.family.PORT_UNREACHABLE
        check(not flow.error(OUT, kind, spoil="outer"), f"{proto}: a wrong ICMP checksum passed")
        check(flow.error(OUT, kind, spoil="inner"), f"{proto}: dropped for the quoted packet's checksum")
    return "dropped, passed"


@row(21)
def errors_through_hairpin(net):
    for proto in ("udp", "tcp"):
        net.expose("b", EXPOSED, 80, proto)
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
    family = flow.net.family
    for direction, kind, cut in itertools.product(directions, (family.PORT_UNREACHABLE, family.TOO_BIG), (None, 8)):
        check_error(flow, direction, kind, cut=cut)


def check_error(flow, direction, kind, *how, **more):
    """It gets through, with an MTU if that is what it is about."""
    family = flow.net.family
    mtu = 1300 if kind == family.TOO_BIG else 0
    check(flow.error(direction, kind, *how, mtu=mtu, **more), f"{flow.proto}: {spelt(family, kind)} was lost")
