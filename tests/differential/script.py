# SPDX-License-Identifier: GPL-2.0-only
"""Random scripts of valid packets: a few flows, each a plausible conversation, shuffled into each other.

A script says nothing of translation. A flow knows who its client is and what the client addresses; whoever answers, or
complains by an ICMP error, does so to the address and port from which it has seen a packet come.
"""
import random
from dataclasses import dataclass, field, replace

from sides import CLIENTS, ENDPOINTS, EXPOSED, GATEWAY, SECOND_ADDRESS, SERVERS
from topology import HOST_ADDRESS

OUTSIDE = "outside"
# In the NAT range, two of each: below it, in it, the host's own.
PORTS = (600, 601, 5000, 20000, 20001, 40000, 40001)
HOST_PORT = 4000  # nobody listens there
TCP_OPTIONS = (("MSS", 1460), ("SAckOK", b""), ("NOP", None), ("WScale", 7))


@dataclass(frozen=True)
class Flow:
    """`way`: out, in, hairpin, neighbour, or host (whose own stack answers)."""
    way: str
    proto: str
    client: str         # node
    address: str        # the client's
    port: int           # or identifier
    to: str             # the address that the client sends to
    to_port: int
    server: str = None  # node; None: the host

    def __str__(self):
        return (f"{self.way} {self.proto} {self.client} {self.address}:{self.port} > {self.to}:{self.to_port}"
                f" ({self.server or 'host'})")


@dataclass(frozen=True)
class Step:
    """What one side of a flow sends. `kind` is for people, and for the list of accepted differences."""
    flow: int
    side: str                               # client, server, or stranger: somebody else outside, to the server's peer
    kind: str
    fields: dict = field(default_factory=dict)  # of TCP, UDP or ICMP
    size: int = 0                           # of the payload
    ip: dict = field(default_factory=dict)
    fragments: tuple = None                 # order in which they are sent
    quote: int = None                       # an ICMP error: so much of the last packet that this side got
    router: bool = False                    # ... and not sent by that packet's destination
    partial: bool = False                   # sent with the checksum left to the device

    def __str__(self):
        words = [f"{self.flow}", self.side, self.kind]
        words += [f"{key}={value}" for key, value in {**self.fields, **self.ip}.items()]
        words += [f"{self.size} bytes"] if self.size else []
        words += [f"fragments {self.fragments}"] if self.fragments else []
        words += [f"quoting {self.quote}"] if self.quote is not None else []
        words += [word for word in ("router", "partial") if getattr(self, word)]
        return " ".join(words)


@dataclass(frozen=True)
class Script:
    seed: int
    flows: tuple
    steps: tuple

    def __str__(self):
        return "\n".join([f"seed {self.seed}", *(f"flow {number}: {flow}" for number, flow in enumerate(self.flows)),
                          *(f"{number:3}: {step}" for number, step in enumerate(self.steps))])

    def without(self, numbers):
        return replace(self, steps=tuple(step for number, step in enumerate(self.steps) if number not in numbers))


def make(seed):
    rng = random.Random(seed)
    flows = []
    for _ in range(rng.randint(1, 5)):
        new = _flow(rng)
        # The same flow twice would be one.
        if all((new.address, new.port, new.to, new.to_port) != (f.address, f.port, f.to, f.to_port) for f in flows):
            flows.append(new)
    talks = [list(_talk(rng, number, flow)) for number, flow in enumerate(flows)]
    steps = []
    while any(talks):
        talk = rng.choice([talk for talk in talks if talk])
        # Whole exchanges are as likely as a change of flow after every packet.
        for _ in range(rng.randint(1, 6)):
            if talk:
                steps.append(talk.pop(0))
    return Script(seed, tuple(flows), tuple(steps))


def _flow(rng):
    way = rng.choices(("out", "in", "hairpin", "neighbour", "host"), (10, 6, 4, 1, 2))[0]
    proto = rng.choices(("tcp", "udp", "icmp"), (6, 4, 2))[0]
    if proto == "icmp" and way in ("in", "hairpin"):
        proto = rng.choice(("tcp", "udp"))
    port = rng.choice(PORTS)
    endpoint = rng.choice(list(ENDPOINTS))
    server_port = 0 if proto == "icmp" else rng.choice((53, 80))
    if way == "out":
        return Flow(way, proto, endpoint, ENDPOINTS[endpoint], port, rng.choice(SERVERS), server_port, OUTSIDE)
    if way == "neighbour":
        other = rng.choice([name for name in ENDPOINTS if name != endpoint])
        return Flow(way, proto, endpoint, ENDPOINTS[endpoint], port, ENDPOINTS[other], server_port, other)
    if way == "host":
        client, address = rng.choice(((endpoint, ENDPOINTS[endpoint]), (OUTSIDE, rng.choice(CLIENTS))))
        to = rng.choice((HOST_ADDRESS, SECOND_ADDRESS) if client == OUTSIDE else (GATEWAY, HOST_ADDRESS))
        return Flow(way, proto, client, address, port, to, HOST_PORT if server_port else 0)
    exposed = rng.choice([entry for entry in EXPOSED if entry.proto == proto])
    to = exposed.address or rng.choice((HOST_ADDRESS, SECOND_ADDRESS))
    client, address = (OUTSIDE, rng.choice(CLIENTS)) if way == "in" else (endpoint, ENDPOINTS[endpoint])
    return Flow(way, proto, client, address, port, to, rng.randint(exposed.first, exposed.last), exposed.endpoint)


def _talk(rng, number, flow):
    """The steps of one flow, with what may happen to any flow on its way thrown in."""
    talk = {"tcp": _tcp, "udp": _udp, "icmp": _ping}[flow.proto](rng, flow)
    for fields in talk:
        step = Step(flow=number, **fields)
        if rng.random() < 0.1:
            # Linux forgets a closed connection for a SYN that it then drops for its TTL.
            ttls = (2, 255) if step.kind == "syn" else (1, 2, 255)
            step = replace(step, ip={**step.ip, "ttl": rng.choice(ttls), "tos": rng.randrange(256)})
        if not step.fragments:
            if rng.random() < 0.05:
                step = replace(step, ip={**step.ip, "flags": "DF", "id": rng.randrange(65536)})
            if flow.proto != "icmp" and rng.random() < 0.1 and "chksum" not in step.fields:
                step = replace(step, partial=True)
        if flow.server or step.side == "client":
            yield step
        # Linux forgets a connection that was refused.
        if rng.random() < 0.04 and flow.server and step.kind != "refused":
            yield _error(rng, number, flow)
        if rng.random() < 0.04 and flow.way == "out":
            yield _stranger(rng, number, flow)


def _error(rng, number, flow):
    kind, code = rng.choice(((3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (12, 0)))
    side = rng.choice(("client", "server"))
    node = flow.client if side == "client" else flow.server
    fields = {"type": kind, "code": code, **({"nexthopmtu": 1300} if code == 4 else {})}
    return Step(number, side, f"error {kind}/{code}", fields, quote=rng.choice((8, 28, 548)),
                router=node == OUTSIDE and rng.random() < 0.5)


def _stranger(rng, number, flow):
    fields = {"flags": rng.choice(("S", "A", "PA", "R", "SA"))} if flow.proto == "tcp" else {}
    return Step(number, "stranger", "stranger", fields, size=rng.choice((0, 20)))


def _udp(rng, flow):
    yield {"side": "client", "kind": "datagram", "size": rng.choice((0, 1, 30))}
    for _ in range(rng.randint(0, 8)):
        side = rng.choice(("client", "server"))
        if rng.random() < 0.15:
            yield {"side": side, "kind": "fragments", **_fragments(rng)}
        else:
            fields = {"chksum": 0} if rng.random() < 0.1 else {}
            yield {"side": side, "kind": "datagram", "size": rng.choice((0, 1, 9, 512, 1300)), "fields": fields}


def _ping(rng, flow):
    for seq in range(rng.randint(1, 5)):
        more = {"size": rng.choice((0, 56, 700))} if rng.random() < 0.85 else _fragments(rng)
        yield {"side": "client", "kind": "echo", "fields": {"type": 8, "seq": seq}, **more}
        for _ in range(rng.choice((0, 1, 1, 1, 2))):
            yield {"side": "server", "kind": "echo reply", "fields": {"type": 0, "seq": seq}, **more}


def _fragments(rng):
    """All of a datagram's, in some order."""
    count = rng.randint(2, 4)
    order = list(range(count))
    if rng.random() < 0.6:
        rng.shuffle(order)
    return {"size": count * 1480 - rng.randint(9, 1400), "fragments": tuple(order),
            "ip": {"id": rng.randrange(65536)}}


def _tcp(rng, flow):
    yield from _Conversation(rng).steps()


class _Conversation:
    """TCP as two hosts speak it, with segments that come twice; every sequence number is inside the other's window."""

    def __init__(self, rng):
        self.rng = rng
        self.next = {"client": rng.randrange(1 << 32), "server": rng.randrange(1 << 32)}
        self.last = {"client": None, "server": None}
        self.forgotten = False

    def segment(self, side, flags, kind, size=0, **more):
        other = "server" if side == "client" else "client"
        seq = self.next[side]
        fields = {"flags": flags, "seq": seq, "window": 8192, **more}
        if "A" in flags:
            fields["ack"] = self.next[other]
        self.next[side] = (seq + size + ("S" in flags) + ("F" in flags)) % (1 << 32)
        self.last[side] = {"side": side, "kind": kind, "fields": fields, "size": size}
        return self.last[side]

    def chance(self, share):
        return self.rng.random() < share

    def side(self):
        return self.rng.choice(("client", "server"))

    def steps(self):
        for again in range(self.rng.choice((1, 1, 1, 2))):
            # the second time as after TIME_WAIT: the same ports, higher numbers
            self.next = {side: (number + 100000) % (1 << 32) for side, number in self.next.items()}
            if self.chance(0.05):
                yield self.segment("client", "S", "syn", options=TCP_OPTIONS)
                yield self.segment("server", "RA", "refused")
                continue
            if again or self.chance(0.9):
                yield from self.opening()
            elif self.chance(0.5):
                yield from self.both_open()
            else:
                self.forgotten = True  # as a NAT sees it that has lost its table
            yield from self.data()
            yield from self.ending()

    def again(self, side):
        if self.chance(0.12) and self.last[side]:
            yield {**self.last[side], "kind": "again " + self.last[side]["kind"]}

    def opening(self):
        yield self.segment("client", "S", "syn", options=TCP_OPTIONS)
        yield from self.again("client")
        yield self.segment("server", "SA", "synack", options=TCP_OPTIONS)
        yield from self.again("server")
        yield self.segment("client", "A", "ack")
        yield from self.again("server")

    def both_open(self):
        """RFC 9293 3.5, figure 7: each answers the other's SYN by a SYN with ACK."""
        yield self.segment("client", "S", "syn", options=TCP_OPTIONS)
        yield self.segment("server", "S", "simultaneous syn", options=TCP_OPTIONS)
        for side in ("client", "server"):
            self.next[side] = (self.next[side] - 1) % (1 << 32)  # it is the SYN of before
            yield self.segment(side, "SA", "simultaneous synack", options=TCP_OPTIONS)

    def data(self):
        for _ in range(self.rng.randint(0, 6)):
            side = self.side()
            yield self.segment(side, "PA", "data", self.rng.choice((1, 100, 1300)))
            yield from self.again(side)
            if self.chance(0.5):
                yield self.segment("server" if side == "client" else "client", "A", "ack")

    def ending(self):
        how = self.rng.choice(("fin", "fin", "both at once", "reset", "fin and reset", "none"))
        side = self.side()
        other = "server" if side == "client" else "client"
        if how == "both at once":
            first, second = self.segment(side, "FA", "fin"), self.segment(other, "FA", "fin")
            second = {**second, "fields": {**second["fields"], "ack": first["fields"]["seq"]}}
            yield from (first, second, self.segment(side, "A", "ack"), self.segment(other, "A", "ack"))
        elif how.startswith("fin"):
            yield self.segment(side, "FA", "fin")
            yield from self.again(side)
            yield self.segment(other, "A", "ack")
            if self.chance(0.3):
                yield self.segment(other, "PA", "data", 100)
            if how == "fin":
                yield self.segment(other, "FA", "fin")
                yield from self.again(other)
                yield self.segment(side, "A", "ack")
        if how.endswith("reset"):
            yield self.segment(side, self.rng.choice(("R", "RA")), "reset")
            # It crossed the reset. (Linux keeps nothing of a connection that begins with one side's data and its reset.)
            if self.chance(0.3) and not self.forgotten:
                yield self.segment(other, "PA", "data", 10)


def shrink(script, fails):
    """The script with as few steps as it takes to fail: ever smaller pieces of it are left out."""
    size = len(script.steps) // 2
    while size:
        start = 0
        while start < len(script.steps):
            smaller = script.without(range(start, start + size))
            if fails(smaller):
                script = smaller
            else:
                start += size
        size //= 2
    return script
