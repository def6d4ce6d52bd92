# SPDX-License-Identifier: GPL-2.0-only
"""What much of something costs: exposed ports, and connections in the table.

Each amount has a host of its own, so that all of them take turns: a contestant with much is compared with itself with
little, of the same minute.
"""
from bridge import BridgeIptables, BridgeNft
from cni import Cni
from contestant import FAMILY, FIRST_PORT, LAST_PORT, TOOLS, NsbpfTcx, Path
from measures import MEASURES, TCP_PORTS, UDP_PORT, transactions
from new_connections import new_connections
from traffic import measure, turns

FIRST_EXPOSED = 10001
EXPOSED = {BridgeIptables: (1, 100, 10000), BridgeNft: (1, 10000), Cni: (1, 100), NsbpfTcx: (1, 100, 10000)}
# The kernel's table has 262,144 entries by default, for all namespaces alike: a million is nsbpf's alone.
CONNECTIONS = {BridgeIptables: (0, 100000), BridgeNft: (0, 100000), NsbpfTcx: (0, 100000, 1000000)}
NEW = (BridgeIptables, BridgeNft, NsbpfTcx)
ROOM = 2097152  # connections that nsbpf's table is made for

# No machine answers there, and none says so.
NOWHERE = {4: ("192.0.2.1", "192.0.2.0/24"), 6: ("2001:db8:dead::1", "2001:db8:dead::/64")}[FAMILY.number]
SPORTS = 1000  # source ports of the connections in the table; each goes to many ports

SCALE_MEASURES = ("packets", "requests", "connections")


def steps(bench):
    hosts = sum(len(amounts) for what in (exposed(bench), filled(bench)) for amounts in what.values())
    return hosts * (1 + bench.plan.rounds * len(SCALE_MEASURES)) + len(NEW) * bench.plan.rounds


def exposed(bench):
    return _amounts(bench, EXPOSED, 1000)


def filled(bench):
    return _amounts(bench, CONNECTIONS, 100000)


def _amounts(bench, wanted, enough):
    """Of who is there; `enough` is the most to see that it works."""
    return {kind: sorted({min(amount, enough) if bench.plan.quick else amount for amount in amounts})
            for kind, amounts in wanted.items() if kind in bench.classes}


class Exposed:
    """Endpoint "b" with so many exposed ports, and traffic to some of them, as far from each other as can be."""
    title = "exposed ports"

    def __init__(self, entrant, amount):
        entrant.start()
        b = entrant.add("b")
        if amount == 1:  # a range, because a single port would meet its own closed connections again (tcprr.c)
            self.ports = TCP_PORTS
            entrant.expose("b", FIRST_PORT, LAST_PORT, "tcp")
        else:
            self.ports = [FIRST_EXPOSED + amount * eighth // 8 for eighth in (1, 3, 5, 7)]
            entrant.expose_singly("b", FIRST_EXPOSED, FIRST_EXPOSED + amount - 1)
        entrant.expose("b", UDP_PORT, UDP_PORT, "udp")
        self.path = Path(entrant.host.outside, b, FAMILY.host)


class Filled:
    """Endpoint "a" with so many connections to where nobody is, and then traffic to the outside."""
    title = "connections in the table"
    ports = TCP_PORTS

    def __init__(self, entrant, amount):
        outside = entrant.host.outside
        outside.ip("route", "add", "blackhole", NOWHERE[1])
        if isinstance(entrant, NsbpfTcx):
            entrant.host.nsbpf("set", "connections", ROOM)
            entrant.start()
            entrant.host.nsbpf("set", "timeout.udp", "1h")
        else:
            entrant.start()
        a = entrant.add("a")
        if not isinstance(entrant, NsbpfTcx):
            entrant.host.sysctl("net.netfilter.nf_conntrack_udp_timeout", 3600)
        self.path = Path(a, outside, FAMILY.outside)
        if amount:
            a.run(f"{TOOLS}/udpflows", "send", NOWHERE[0], 1, SPORTS, amount // SPORTS)
        there = connection_count(entrant)
        if there < 0.99 * amount:
            raise AssertionError(f"{there} connections in the table instead of {amount}")


def connection_count(entrant):
    if isinstance(entrant, NsbpfTcx):
        return entrant.host.json()["connections"]["count"]
    return int(entrant.host.sysctl("net.netfilter.nf_conntrack_count"))


def run(key, host, durations):
    """A measure of the traffic part, to the ports that this host has."""
    if key == "packets":
        return MEASURES[key].run(host.path, durations)
    return transactions(host.path, durations, key, host.ports)


def much(bench, kind, hosts):
    """Amount → measure → figure → contestant → samples."""
    samples = {amount: {key: {name: {k.key: [] for k in hosts if amount in hosts[k]} for name in MEASURES[key].figures}
                        for key in SCALE_MEASURES} for amount in sorted(set().union(*hosts.values()))}
    ready = []
    with bench.entrants(k for k, amounts in hosts.items() for _ in amounts) as entrants:
        for entrant, amount in zip(entrants, (n for amounts in hosts.values() for n in amounts)):
            with bench.attempt(f"{amount} {kind.title}, {entrant.title}"):
                ready.append((entrant, amount, kind(entrant, amount)))
        for number in range(bench.plan.rounds):
            title = f"{kind.title}, round {number + 1} of {bench.plan.rounds}"
            bench.progress.milestone(title)
            for key, (entrant, amount, host) in ((k, turn) for k in SCALE_MEASURES for turn in turns(ready, number)):
                measure(bench, f"{title}, {amount}, {MEASURES[key].title}", entrant, samples[amount][key],
                        lambda h=host, k=key: run(k, h, bench.plan.durations))
    return samples


def scale(bench):
    return {"exposed": much(bench, Exposed, exposed(bench)), "connections": much(bench, Filled, filled(bench)),
            "new": new_connections(bench, NEW)}
