# SPDX-License-Identifier: GPL-2.0-only
"""Random packets of both families, by endpoints and from outside: mostly such as have something to do with each other."""
from datagrams import is_error, is_fragment, ports, protocol, upper
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import (ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_Redirect, ICMPv6NDOptDstLLAddr,
                                ICMPv6NDOptSrcLLAddr, ICMPv6Unknown, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, PadN)
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from siblings import FAMILIES
from world import CLIENTS, GATEWAY_MAC, PROTOS, SERVERS

# below the NAT range, in it, and the host's own: few, so that they meet
SOURCE_PORTS = (7, 600, 5000, 5001, 20000, 20001, 33000, 40000, 61000)
TO_PORTS = (53, 80, 443)
FLAGS = ("S", "S", "S", "SA", "A", "PA", "PA", "FA", "FA", "R", "RA", "SF", "")
UNKNOWN_PROTOCOLS = (4, 41, 47, 50, 132)
ICMP_CODES = {4: ((3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (13, 0)),
              6: ((1, 0), (1, 1), (1, 3), (1, 4), (2, 0), (3, 0), (3, 1), (4, 0), (100, 0))}
LINK_LOCAL = "fe80::77"


class Sending:
    def __init__(self, world, rng):
        self.world, self.rng = world, rng

    # who
    def family(self):
        return self.rng.choice(list(FAMILIES.values()))

    def endpoint(self):
        return self.rng.choice(list(self.world.endpoints.values()))

    def by_endpoint(self):
        node, family = self.endpoint(), self.family()
        ether = Ether(src=node.tap.mac, dst=GATEWAY_MAC)
        packet = self.something(node, family, node.address(family), self.destination(node, family), f"<{node.name}>")
        return self.send(node, family, ether, packet)

    def by_outside(self):
        node, family = self.world.outside, self.family()
        ether = Ether(src=node.tap.mac, dst=self.world.host_mac)
        client = family.address(self.rng.choice(CLIENTS))
        to = (self.rng.choice(self.world.of_host(family)), self.port_of_host())
        return self.send(node, family, ether, self.something(node, family, client, to, "<outside>"))

    def liar(self):
        """Somebody who is not who he says."""
        family = self.family()
        node = self.rng.choice([*self.world.endpoints.values(), self.world.outside])
        victim = self.endpoint().address(family)
        to = self.rng.choice((*map(family.address, SERVERS), family.host, victim, family.loopback, family.groups[-1]))
        src = self.rng.choice((victim, victim, family.loopback, family.any, family.host))
        dst = self.world.host_mac if node is self.world.outside else GATEWAY_MAC
        packet = family.ip(src, to) / self.fresh(family, "<liar>", 53)
        return self.send(node, family, Ether(src=node.tap.mac, dst=dst), packet)

    def neighbour_discovery(self):
        """Of an endpoint: honest or not."""
        rng, node, family = self.rng, self.endpoint(), FAMILIES[6]
        known = (node.address(family), node.gateway(family), self.endpoint().address(family), LINK_LOCAL)
        target = rng.choice(known)
        message = rng.choice((ICMPv6ND_NS(tgt=target), ICMPv6ND_NS(tgt=target), ICMPv6ND_NA(tgt=target, O=1),
                              ICMPv6ND_RA(routerlifetime=1800), ICMPv6ND_Redirect(tgt=target, dst=family.far)))
        mac = rng.choice((node.tap.mac, GATEWAY_MAC))
        option = rng.choice((ICMPv6NDOptSrcLLAddr, ICMPv6NDOptDstLLAddr))(lladdr=mac)
        packet = family.ip(rng.choice((*known, known[0], "::")), rng.choice((*known, "ff02::1")),
                           hops=rng.choice((255, 255, 255, 64))) / message / option
        return self.send(node, family, Ether(src=node.tap.mac, dst=GATEWAY_MAC), packet)

    # where to
    def destination(self, node, family):
        """(address, port)"""
        rng = self.rng
        kind = rng.choices(("server", "host", "gateway", "neighbour"), (10, 5, 1, 1))[0]
        if kind == "server":
            return family.address(rng.choice(SERVERS)), rng.choice(TO_PORTS)
        if kind == "host":
            return rng.choice(self.world.of_host(family)), self.port_of_host()
        if kind == "gateway":
            return node.gateway(family), rng.choice(TO_PORTS)
        return self.endpoint().address(family), rng.choice(TO_PORTS)

    def port_of_host(self):
        """An exposed one, a NAT port that was seen outside, or any."""
        seen = [ports(packet)[0] for packet in self.world.outside.got
                if isinstance(upper(packet), (TCP, UDP))]
        exposed = [port for _, port in self.world.exposed]
        return self.rng.choice([*exposed, *seen, self.rng.choice(SOURCE_PORTS), self.rng.randrange(1, 65536)])

    # what
    def something(self, node, family, src, to, token):
        rng = self.rng
        got = [packet for packet in node.got if isinstance(packet, family.IP) and not is_fragment(packet)]
        about = rng.choice(got) if got else None
        kind = rng.choices(("fresh", "answer", "error"), (5, 5, 1))[0]
        if kind == "fresh" or not about or is_error(about) or protocol(about) not in PROTOS:
            return self.header(family, src, to[0]) / self.fresh(family, token, to[1])
        if kind == "answer":
            sport, dport = ports(about)
            return self.header(family, about.dst, about.src) / self.l4(family, protocol(about), dport, sport, token)
        quoted = bytes(about)[:len(about) - len(about.payload) + rng.choice((8, 20, 548))]
        number, code = rng.choice(ICMP_CODES[family.number])
        error = ICMP(type=number, code=code) if family.number == 4 else \
            ICMPv6Unknown(type=number, code=code, msgbody=bytes(4))
        source = about.dst
        if node is self.world.outside and rng.random() < 0.5:  # a router's
            source = family.address(rng.choice(CLIENTS))
        return self.header(family, source, about.src) / error / Raw(quoted)

    def header(self, family, src, dst):
        """IPv6's sometimes with extension headers."""
        rng = self.rng
        hops = rng.choices((64, 255, 2, 1, 0), (20, 2, 2, 1, 1))[0]
        tos = rng.randrange(256) if rng.random() < 0.2 else 0
        number, unbroken = rng.randrange(65536), rng.random() < 0.2
        if family.number == 4:
            return family.ip(src, dst, hops, id=number, tos=tos, flags="DF" if unbroken else "")
        header = family.ip(src, dst, hops, fl=number, tc=tos)
        if rng.random() < 0.1:
            header /= rng.choice((IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop))(options=[PadN(optdata=bytes(4))])
        return header

    def fresh(self, family, token, dport):
        proto = self.rng.choices((6, 17, family.icmp, self.rng.choice(UNKNOWN_PROTOCOLS)), (6, 5, 3, 1))[0]
        return self.l4(family, proto, self.rng.choice(SOURCE_PORTS), dport, token)

    def l4(self, family, proto, sport, dport, token):
        rng = self.rng
        data = Raw(token.encode() + bytes(rng.choice((0, 1, 40, 500, 1300, 1460, 3000))))
        if proto == 6:
            return TCP(sport=sport, dport=dport, flags=rng.choice(FLAGS), seq=rng.randrange(1 << 32),
                       ack=rng.randrange(1 << 32), window=rng.randrange(1 << 16)) / data
        if proto == 17:
            none = family.number == 4 and rng.random() < 0.1
            return UDP(sport=sport, dport=dport, **({"chksum": 0} if none else {})) / data
        if proto == family.icmp:
            return rng.choice((family.request, family.request, family.reply))(id=sport or dport,
                                                                              seq=rng.randrange(1 << 16)) / data
        return data

    # how
    def send(self, node, family, ether, packet):
        if isinstance(upper(packet), Raw):
            header = upper(packet).underlayer
            setattr(header, family.protocol if header is packet else "nh", self.rng.choice(UNKNOWN_PROTOCOLS))
        whole = Ether(bytes(ether / packet))
        ip, l4 = whole.payload, upper(whole.payload)
        what = f"{node.name} sends {whole.summary()}, {len(whole)} bytes"
        plain = isinstance(l4, (TCP, UDP)) and l4.chksum and (ip.payload is l4 or ip.payload == l4)
        if len(ip) > 1500 and isinstance(l4, TCP) and plain and self.rng.random() < 0.7:
            node.tap.send_partial(whole, gso_size=1400)
            return what + ", GSO"
        if len(ip) > 1500 or self.rng.random() < 0.05:
            size = self.rng.choice((family.fragment_size, 1200, 40)) if len(whole) < 2000 else family.fragment_size
            pieces = family.fragments(whole, self.rng.randrange(65536), size)
            self.rng.shuffle(pieces)
            for piece in pieces[:None if self.rng.random() < 0.8 else -1]:
                node.tap.send(piece)
            return f"{what}, {len(pieces)} fragments"
        if plain and self.rng.random() < 0.2:
            node.tap.send_partial(whole)
            return what + ", partial checksum"
        node.tap.send(whole)
        return what
