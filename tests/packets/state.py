# SPDX-License-Identifier: GPL-2.0-only
"""What the datapath keeps, read out of its maps: connections, NAT ports, bindings, counters; and whether they agree.

The layouts are those of include/nsbpf/types.h.
"""
import collections
import contextlib
import itertools
import mmap
import socket
import struct
import time

from bpf import Map
from connections import BUCKET, REPLY, Connections
from siblings import Family4
from topology import HOST_ADDRESS

TUPLE = struct.Struct("!16s16sHHB3x")
NAT_ADDRESS = struct.Struct("=16s4I")
PRESSURE = struct.Struct("=IIQQIIIII4x")
USAGE_SIZE, MAX_ENDPOINTS, MAX_NAT_ADDRESSES, MAX_CONNECTIONS = 8, 2048, 8, 65536
IFINDEX_BASE = 1 << 24
SNAT, DNAT, HAIRPIN, FILTERED = (1 << bit for bit in range(4))
SEEN_SYN, SEEN_ACK, SEEN_FIN, SEEN_RST = (1 << bit for bit in range(4))
NAT_PROTOS = ("tcp", "udp", "icmp")
IPPROTOS = {socket.IPPROTO_TCP: "tcp", socket.IPPROTO_UDP: "udp", socket.IPPROTO_ICMP: "icmp",
            socket.IPPROTO_ICMPV6: "icmp"}
MAPPED = bytes(10) + b"\xff\xff"
NAT_ADDRESS_READY = 1

Tuple = collections.namedtuple("Tuple", "src dst sport dport proto")
NatPort = collections.namedtuple("NatPort", "endpoint port users freed")
Usage = collections.namedtuple("Usage", "connections ports")
Pressure = collections.namedtuple("Pressure", "opened examined gave_way overlaps held scanned taken given frozen")


def slot(node):
    return node.ifindex - IFINDEX_BASE


def packed(address):
    """As struct nsbpf_addr."""
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address)
    return MAPPED + socket.inet_aton(address)


def unpacked(addr):
    if addr.startswith(MAPPED):
        return socket.inet_ntoa(addr[len(MAPPED):])
    return socket.inet_ntop(socket.AF_INET6, addr)


def protocol(name, address):
    """Its number in the family of this address."""
    if name == "icmp":
        return socket.IPPROTO_ICMPV6 if ":" in address else socket.IPPROTO_ICMP
    return socket.getprotobyname(name)


def parsed(key):
    src, dst, sport, dport, proto = TUPLE.unpack(key)
    return Tuple(unpacked(src), unpacked(dst), sport, dport, IPPROTOS[proto])


def different(found, wanted):
    """Fails with some of what differs: thousands of others are not worth reading."""
    wrong = {key: (found.get(key), wanted.get(key)) for key in found.keys() | wanted.keys()
             if found.get(key) != wanted.get(key)}
    assert not wrong, (len(wrong), dict(itertools.islice(wrong.items(), 5)))


def conn_state(proto, original, reply):
    """As in include/nsbpf/order.h."""
    if proto != "tcp":
        return proto
    if (original | reply) & SEEN_RST:
        return "reset"
    if original & reply & SEEN_FIN:
        return "closing"
    if (original | reply) & SEEN_FIN:
        return "fin"
    return "established" if original & reply & SEEN_ACK else "syn"


class State:
    def __init__(self, rig):
        self.rig = rig
        sizes = {"bindings": (4, BUCKET.size), "usage": (4, USAGE_SIZE),
                 "nat_addresses": (4, 8 + MAX_NAT_ADDRESSES * NAT_ADDRESS.size), "pressure": (4, PRESSURE.size)}
        self._connections = Connections(rig.pins)
        self._maps = {name: Map(f"{rig.pins}/maps/{name}", *of_name) for name, of_name in sizes.items()}
        self._ports = memoryview(mmap.mmap(rig.nat_ports.fd, MAX_NAT_ADDRESSES * len(NAT_PROTOS) << 19,
                                           mmap.MAP_SHARED, mmap.PROT_READ)).cast("Q")

    def close(self):
        for map_ in (self._connections, *self._maps.values()):
            map_.close()

    # one thing
    def entries(self):
        return dict(self._connections.items())

    def entries_of(self, proto, port):
        """Those with this port at either end, before or after translation."""
        return [entry for key, entry in self.entries().items()
                if parsed(key).proto == proto and port in parsed(key)[2:4] + parsed(entry.xlat)[2:4]]

    def key(self, src, dst, sport, dport, proto):
        src, dst = map(self._address, (src, dst))
        return TUPLE.pack(packed(src), packed(dst), sport, dport, protocol(proto, src))

    def entry(self, *ends):
        """One direction's, or None."""
        return self._connections.get(self.key(*ends))

    def tcp_state(self, original):
        reply = self._connections.entry(original.place, REPLY)
        return conn_state("tcp", original.tcp, reply.tcp)

    def usage(self, node=None):
        """Of an endpoint, or of all together."""
        return self._usage(slot(node) if node else 0)

    def pressure(self):
        return Pressure(*PRESSURE.unpack(self._maps["pressure"].lookup(bytes(4))))

    def nat_addresses(self):
        """Index of its port table → (address, how many ports are bound, by protocol)."""
        table = self._maps["nat_addresses"].lookup(bytes(4))[8:]  # behind its lock
        return {index: (unpacked(addr), dict(zip(NAT_PROTOS, bound)))
                for index, (addr, state, *bound) in enumerate(NAT_ADDRESS.iter_unpack(table))
                if state == NAT_ADDRESS_READY}

    def nat_port(self, proto, port, address=HOST_ADDRESS):
        """Whose it is, by how many connections."""
        address = self._address(address)
        index = next((index for index, (addr, _) in self.nat_addresses().items() if addr == address), None)
        if index is None:
            return None
        return self._word(self._ports[(index * len(NAT_PROTOS) + NAT_PROTOS.index(proto) << 16) + port])

    def bindings(self):
        """(index of the address, protocol, endpoint's slot, endpoint's port) → NAT port."""
        found = {}
        for bucket in BUCKET.iter_unpack(self._maps["bindings"].values()):
            for word in filter(None, bucket):
                number = (word & 0xffffffff) - 1
                table, port = divmod(number, 1 << 16)
                index, proto = divmod(table, len(NAT_PROTOS))
                bound = self._word(self._ports[number])
                assert (index, NAT_PROTOS[proto], bound.endpoint, bound.port) not in found
                found[index, NAT_PROTOS[proto], bound.endpoint, bound.port] = port
        return found

    def kept_bindings(self):
        """All there are now, as restore_bindings() takes them."""
        return self._maps["bindings"].values()

    def restore_bindings(self, kept):
        """Those that have gone since are there again, though their ports are free."""
        now = self._maps["bindings"].values()
        for at in range(0, len(now), BUCKET.size):
            if now[at:at + BUCKET.size] != kept[at:at + BUCKET.size]:
                self._maps["bindings"].update(struct.pack("=I", at // BUCKET.size), kept[at:at + BUCKET.size])

    def hide(self, entry):
        """See Connections."""
        return self._connections.hide(entry)

    def free_for(self, node, proto, port, address=HOST_ADDRESS):
        """A NAT port that nobody uses was another endpoint's last."""
        index = next(index for index, (addr, _) in self.nat_addresses().items() if addr == self._address(address))
        number = (index * len(NAT_PROTOS) + NAT_PROTOS.index(proto) << 16) + port
        own, _, users, freed = struct.unpack("=4H", struct.pack("=Q", self._ports[number]))
        assert not users
        self.rig.nat_ports.update(struct.pack("=I", number), struct.pack("=4H", own, slot(node), 0, freed))

    def forget_openings(self):
        """As if all that may give way had been overwritten in the ring."""
        pressure = self.pressure()
        self._maps["pressure"].update(bytes(4), PRESSURE.pack(*pressure._replace(examined=pressure.opened)))

    def _address(self, address):
        """In the family that the tests are at, where there are such (see siblings.py)."""
        return getattr(self.rig, "family", Family4).address(address)

    # all of it
    def check(self, tries=3):
        """Fails unless every map says the same: invariant 2 of the design, and that nothing counted is lost or left.

        A timer may go off while the maps are read, hence the tries.
        """
        for _ in range(tries - 1):
            with contextlib.suppress(AssertionError):
                return self._check()
            time.sleep(0.05)
        return self._check()

    def _check(self):
        originals = self._connections.originals()
        self._check_index(originals)
        self._check_places(originals)
        held = collections.Counter(original.endpoint for original in originals)
        users = self._users(originals)
        ports = self._bound_ports()
        different({word: bound.users for word, bound in ports.items()}, users)
        self._check_bindings(ports)
        bound = collections.Counter(word.endpoint for word in ports.values())
        for endpoint in range(1, MAX_ENDPOINTS):
            assert self._usage(endpoint) == (held[endpoint], bound[endpoint]), endpoint
        assert self._usage(0) == (len(originals), len(ports))
        for index, (_, counts) in self.nat_addresses().items():
            for proto, count in counts.items():
                wanted = sum(word[:2] == (index, proto) and (proto == "icmp" or word[2] >= 1024) for word in ports)
                assert count == wanted, (index, proto)

    def _check_index(self, originals):
        """Both directions of each are in the index, and nothing else is; no two have a tuple in common."""
        entries = self._connections.values()
        assert sorted(entry.word for entry in entries) == sorted(self._connections.words())
        assert len({entry.key for entry in entries}) == len(entries) == 2 * len(originals)

    def _check_places(self, originals):
        """Each place is a connection's or free, once."""
        pressure = self.pressure()
        places = collections.Counter(self._connections.free(pressure.taken, pressure.given))
        places.update(original.place for original in originals)
        different(places, dict.fromkeys(range(1, self._connections.room + 1), 1))

    @staticmethod
    def _users(originals):
        """(index of the address, protocol, NAT port) → how many connections name it."""
        users = collections.Counter()
        for original in originals:
            key, xlat = parsed(original.key), parsed(original.xlat)
            if original.source_ports:
                users[original.source_ports - 1, key.proto, xlat.sport] += 1
            if original.target_ports:
                users[original.target_ports - 1, key.proto, key.dport or key.sport] += 1
        return users

    def _bound_ports(self):
        """(index of the address, protocol, NAT port) → whose it is, for all that are somebody's."""
        found = {}
        for number, word in enumerate(self._ports):
            if word >> 32 & 0xffff:
                table, port = divmod(number, 1 << 16)
                index, proto = divmod(table, len(NAT_PROTOS))
                found[index, NAT_PROTOS[proto], port] = self._word(word)
        return found

    def _check_bindings(self, ports):
        """Those ports that are not the endpoint's own are in the table of bindings, and nothing else is."""
        wanted = {(index, proto, bound.endpoint, bound.port): port
                  for (index, proto, port), bound in ports.items() if bound.port != port}
        different(self.bindings(), wanted)

    def _usage(self, endpoint):
        return Usage(*struct.unpack_from("=II", self._maps["usage"].lookup(struct.pack("=I", endpoint))))

    @staticmethod
    def _word(word):
        port, endpoint, users, freed = struct.unpack("=4H", struct.pack("=Q", word))
        return NatPort(endpoint, port, users, freed)
