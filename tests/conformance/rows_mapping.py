# SPDX-License-Identifier: GPL-2.0-only
"""Which NAT port a packet gets: rows 1 to 4, 17, 22, 25 to 27."""
from clock import wait
from row_families import spelt
from table import check, row

FOUR_PORTS = (65532, 65535)


def nat_ports(net, proto, node, port, servers):
    """What the servers see of one port of an endpoint; each has to get its answer through."""
    flows = [net.open(proto, node, port, server) for server in servers]
    for flow in flows:
        check(flow.back(), f"{proto}: an answer was lost")
    return [flow.nat[1] for flow in flows]


@row(1)
def one_port_for_all(net):
    for proto in ("udp", "tcp"):
        ports = nat_ports(net, proto, net.a, 5000, net.servers)
        check(len(set(ports)) == 1, f"{proto}: {len(set(ports))} ports to 3 servers")
        # The other endpoint is in the way at the first server: of the first packet, then of the last one.
        for port, servers in ((6000, net.servers), (7000, net.servers[::-1])):
            taken = net.open(proto, net.b, port)
            ports = nat_ports(net, proto, net.a, port, servers)
            check(len(set(ports)) == 1, f"{proto}: {len(set(ports))} ports to 3 servers with a collision")
            check(taken.nat[1] not in ports, f"{proto}: 2 endpoints share port {taken.nat[1]}")
    return "1 port to 3 servers, also with a collision"


@row(2, second_address=True)
def one_address(net):
    flows = [net.open(proto, node, port, server) for proto in ("udp", "tcp", "icmp") for node in (net.a, net.b)
             for port in (5000, 40000) for server in net.servers]
    addresses = {flow.nat[0] for flow in flows}
    check(len(addresses) == 1, f"{len(addresses)} addresses in use")
    return f"1 address for {len(flows)} flows"


@row(3, nat_ports=FOUR_PORTS)
def no_overloading(net):
    first, last = FOUR_PORTS
    other = net.add()  # not b: what both families hold counts together in an endpoint's share of the ports
    with net.scene.alone():  # the counter is both families'
        for proto in ("udp", "tcp"):
            before = net.nat.overlaps()
            one, two = net.open(proto, net.a, first, net.servers[0]), net.open(proto, other, first, net.servers[1])
            check(one.nat != two.nat, f"{proto}: 2 endpoints share port {one.nat[1]}, to different servers")
            ports = {flow.nat[1] for flow in (one, two, *(net.open(proto, other, port) for port in (7000, 7001)))}
            check(ports == set(range(first, last + 1)), f"{proto}: 4 ports of 4 endpoints are {ports}")
            check(net.nat.overlaps() == before, f"{proto}: an overlap was counted before the range was used up")
            shared = net.open(proto, net.a, 7002, net.servers[2])
            check(shared.nat[1] in ports and shared.back(), f"{proto}: no answer through a shared port")
            check(net.nat.overlaps() == before + 1, f"{proto}: the overlap was not counted")
    return "distinct ports; shared and counted when all 4 are bound"


@row(4)
def keeps_the_half(net):
    for proto in ("udp", "tcp"):
        for port in (500, 1023, 1024, 5000, 40000):
            seen = [net.open(proto, node, port).nat[1] for node in (net.a, net.b)]
            check(seen[0] != seen[1], f"{proto}: 2 endpoints share port {seen[0]} to one server")
            check(all((nat < 1024) == (port < 1024) for nat in seen), f"{proto}: {port} became {seen}")
    return "also under collision"


@row(17)
def ping(net):
    for identifier in (7, 40000):
        ids = nat_ports(net, "icmp", net.a, identifier, net.servers)
        check(len(set(ids)) == 1, f"{len(set(ids))} ids to 3 servers")
    for identifier, servers in ((8, net.servers), (9, net.servers[::-1])):
        net.open("icmp", net.b, identifier)
        ids = nat_ports(net, "icmp", net.a, identifier, servers)
        check(len(set(ids)) == 1, f"{len(set(ids))} ids to 3 servers with a collision")
    return "1 id to 3 servers, also with a collision"


@row(22, nat_ports=FOUR_PORTS)
def range_used_up(net):
    for proto in ("udp", "tcp"):
        for port in range(4):
            net.open(proto, net.b, 7000 + port).establish()
        flow = net.flow(proto, net.a, 7000)
        check(not flow.out(), f"{proto}: a fifth flow found a port among 4")
        error = net.made_error(net.a, flow.sent)
        check(error, f"{proto}: silence")
        kind = net.family.error(error)
        check(kind in (net.family.PROHIBITED, net.family.UNREACHABLE), f"{proto}: {spelt(net.family, kind)}")
    return spelt(net.family, kind)


@row(25)
def random_ports(net):
    count, near = 32, 64
    for proto in ("udp", "tcp"):
        for port in range(5000, 5000 + count):
            net.open(proto, net.b, port)
        ports = [net.open(proto, net.a, port).nat[1] for port in range(5000, 5000 + count)]
        # Of 32 ports drawn from tens of thousands, two successive ones are rarely near each other.
        close = sum(abs(one - two) < near for one, two in zip(ports, ports[1:]))
        eighths = {port // 8192 for port in ports}
        check(close <= 3 and len(eighths) >= 3, f"{proto}: {close} of {count} ports are near the one before")
    return f"{count} ports without order"


@row(26)
def capped(net):
    cap = 8
    node = net.add(max_connections=cap)
    for port in range(cap):
        net.open("udp", node, 7000 + port).establish()
    flow = net.flow("udp", node, 7000 + cap)
    check(not flow.out(), f"{cap + 1} flows with a cap of {cap}")
    check(net.made_error(node, flow.sent), "refused without an answer")
    net.open("udp", net.a, 7000 + cap)
    return f"{cap} flows of {cap}; the next one gets an ICMP error, others' pass"


@row(27, slow=True, hurry=128)
def quarantine(net):
    rest, lifetime = 120, 10
    flows = {}
    for proto, timer in (("udp", "udp"), ("tcp", "syn")):
        net.nat.set_timeout(timer, lifetime)
        flows[proto] = [net.open(proto, net.b, port) for port in (5001, 5002)]
        check([flow.nat[1] for flow in flows[proto]] == [5001, 5002], f"{proto}: the ports were not kept to begin with")
    first, last = flows["udp"][0].touched, flows["tcp"][1].touched
    for begun, late in ((last, 2), (first, rest - 1)):
        wait(net, begun, lifetime + late, timer)
        for proto in flows:
            check(net.open(proto, net.a, 5001).nat[1] != 5001, f"{proto}: another endpoint has it after {late} s")
    wait(net, last, lifetime + rest + 2, timer)
    for proto in flows:
        check(net.open(proto, net.a, 5002).nat[1] == 5002, f"{proto}: not free again after {rest} s")
    return "others do not get it before, and get it afterwards"
