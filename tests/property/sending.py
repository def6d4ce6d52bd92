# SPDX-License-Identifier: GPL-2.0-only
"""Random packets, by endpoints and from outside: mostly such as have something to do with each other."""
from datagrams import is_error, is_fragment, ports
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from topology import HOST_ADDRESS
from world import CLIENTS, GATEWAY_MAC, PROTOS, SERVERS, SUBNETS

# below the NAT range, in it, and the host's own: few, so that they meet
SOURCE_PORTS = (7, 600, 5000, 5001, 20000, 20001, 33000, 40000, 61000)
TO_PORTS = (53, 80, 443)
FLAGS = ("S", "S", "S", "SA", "A", "PA", "PA", "FA", "FA", "R", "RA", "SF", "")
UNKNOWN_PROTOCOLS = (4, 41, 47, 50, 132)
ICMP_CODES = ((3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0), (13, 0))


class Sending:
    def __init__(self, world, rng):
        self.world, self.rng = world, rng

    # who
    def by_endpoint(self):
        node = self.rng.choice(list(self.world.endpoints.values()))
        ether = Ether(src=node.tap.mac, dst=GATEWAY_MAC)
        return self.send(node, ether, self.something(node, node.address, self.destination(node), f"<{node.name}>"))

    def by_outside(self):
        node = self.world.outside
        ether = Ether(src=node.tap.mac, dst=self.world.host_mac)
        client = self.rng.choice(CLIENTS)
        to = (self.rng.choice(sorted(self.world.addresses)), self.port_of_host())
        return self.send(node, ether, self.something(node, client, to, "<outside>"))

    def liar(self):
        """Somebody who is not who he says."""
        node = self.rng.choice([*self.world.endpoints.values(), self.world.outside])
        to = self.rng.choice((*SERVERS, HOST_ADDRESS, f"{SUBNETS['default']}.2", "127.0.0.1", "224.0.0.1"))
        victim = self.rng.choice(list(self.world.endpoints.values()))
        src = self.rng.choice((victim.address, victim.address, "127.0.0.1", "0.0.0.0", HOST_ADDRESS))
        dst = self.world.host_mac if node is self.world.outside else GATEWAY_MAC
        return self.send(node, Ether(src=node.tap.mac, dst=dst), IP(src=src, dst=to) / self.fresh("<liar>", 53))

    # where to
    def destination(self, node):
        """(address, port)"""
        rng = self.rng
        kind = rng.choices(("server", "host", "gateway", "neighbour"), (10, 5, 1, 1))[0]
        if kind == "server":
            return rng.choice(SERVERS), rng.choice(TO_PORTS)
        if kind == "host":
            return rng.choice(sorted(self.world.addresses)), self.port_of_host()
        if kind == "gateway":
            return f"{SUBNETS[node.network]}.1", rng.choice(TO_PORTS)
        return rng.choice(list(self.world.endpoints.values())).address, rng.choice(TO_PORTS)

    def port_of_host(self):
        """An exposed one, a NAT port that was seen outside, or any."""
        seen = [ports(packet)[0] for packet in self.world.outside.got if packet.proto in (6, 17) and not packet.frag]
        exposed = [port for _, port in self.world.exposed]
        return self.rng.choice([*exposed, *seen, self.rng.choice(SOURCE_PORTS), self.rng.randrange(1, 65536)])

    # what
    def something(self, node, src, to, token):
        got = [packet for packet in node.got if not is_fragment(packet)]
        about = self.rng.choice(got) if got else None
        kind = self.rng.choices(("fresh", "answer", "error"), (5, 5, 1))[0]
        if kind == "fresh" or not about or is_error(about) or about.proto not in PROTOS:
            return IP(src=src, dst=to[0], **self.ip()) / self.fresh(token, to[1])
        if kind == "answer":
            sport, dport = ports(about)
            return IP(src=about.dst, dst=about.src, **self.ip()) / self.l4(about.proto, dport, sport, token)
        quoted = bytes(about)[:about.ihl * 4 + self.rng.choice((8, 20, 548))]
        code, number = self.rng.choice(ICMP_CODES)
        source = about.dst if node is not self.world.outside or self.rng.random() < 0.5 else self.rng.choice(CLIENTS)
        return IP(src=source, dst=about.src, **self.ip()) / ICMP(type=code, code=number) / Raw(quoted)

    def ip(self):
        rng = self.rng
        fields = {"id": rng.randrange(65536), "ttl": rng.choices((64, 255, 2, 1, 0), (20, 2, 2, 1, 1))[0]}
        if rng.random() < 0.2:
            fields["tos"] = rng.randrange(256)
        if rng.random() < 0.2:
            fields["flags"] = "DF"
        return fields

    def fresh(self, token, dport):
        proto = self.rng.choices((6, 17, 1, self.rng.choice(UNKNOWN_PROTOCOLS)), (6, 5, 3, 1))[0]
        return self.l4(proto, self.rng.choice(SOURCE_PORTS), dport, token)

    def l4(self, proto, sport, dport, token):
        rng = self.rng
        data = Raw(token.encode() + bytes(rng.choice((0, 1, 40, 500, 1300, 1460, 3000))))
        if proto == 6:
            return TCP(sport=sport, dport=dport, flags=rng.choice(FLAGS), seq=rng.randrange(1 << 32),
                       ack=rng.randrange(1 << 32), window=rng.randrange(1 << 16)) / data
        if proto == 17:
            return UDP(sport=sport, dport=dport, **({"chksum": 0} if rng.random() < 0.1 else {})) / data
        if proto == 1:
            return ICMP(type=rng.choice((8, 8, 0)), id=sport or dport, seq=rng.randrange(1 << 16)) / data
        return data

    # how
    def send(self, node, ether, packet):
        if not packet.getlayer(TCP) and not packet.getlayer(UDP) and not packet.getlayer(ICMP):
            packet.proto = self.rng.choice(UNKNOWN_PROTOCOLS)
        whole = Ether(bytes(ether / packet))
        what = f"{node.name} sends {whole.summary()}, {len(whole)} bytes"
        plain = not (UDP in packet and packet[UDP].chksum == 0)
        if len(whole[IP]) > 1500 and TCP in packet and plain and self.rng.random() < 0.7:
            node.tap.send_partial(whole, gso_size=1400)
            return what + ", GSO"
        if len(whole[IP]) > 1500 or self.rng.random() < 0.05:
            pieces = fragment(whole, self.rng.choice((1480, 1200, 40)) if len(whole) < 2000 else 1480)
            self.rng.shuffle(pieces)
            for piece in pieces[:None if self.rng.random() < 0.8 else -1]:
                node.tap.send(piece)
            return f"{what}, {len(pieces)} fragments"
        if plain and (TCP in packet or UDP in packet) and self.rng.random() < 0.2:
            node.tap.send_partial(whole)
            return what + ", partial checksum"
        node.tap.send(whole)
        return what
