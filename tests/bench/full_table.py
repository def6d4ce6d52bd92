# SPDX-License-Identifier: GPL-2.0-only
"""Masqueraded traffic, when there are no other connections and when there are many. Each round has new hosts, whose
tables fill step by step: so what differs is the table, not where the kernel put a host's memory."""
from amounts import KEYS, Target, no_samples, of_those_there, take
from bridge import BridgeIptables, BridgeNft
from contestant import FAMILY, TOOLS, NsbpfTcx, Path
from traffic import turns

# The kernel's table has 262,144 entries by default, for all namespaces alike: a million is nsbpf's alone.
CONNECTIONS = {BridgeIptables: (0, 100000), BridgeNft: (0, 100000), NsbpfTcx: (0, 100000, 1000000)}
TITLE = "connections in the table"
ROOM = 2097152  # that nsbpf's table is made for

# No machine answers there, and none says so. Each of some source ports sends to each of many.
NOWHERE, NOWHERE_SUBNET = {4: ("192.0.2.1", "192.0.2.0/24"),
                           6: ("2001:db8:dead::1", "2001:db8:dead::/64")}[FAMILY.number]
SOURCE_PORTS = 1000


def wanted(bench):
    return of_those_there(bench, CONNECTIONS, 100000)


def steps(bench):
    return bench.plan.rounds * sum(1 + len(amounts) * len(KEYS) for amounts in wanted(bench).values())


def prepare(entrant):
    """Endpoint "a", whose silent connections are remembered for an hour."""
    host, outside = entrant.host, entrant.host.outside
    outside.ip("route", "add", "blackhole", NOWHERE_SUBNET)
    if isinstance(entrant, NsbpfTcx):
        host.nsbpf("set", "connections", ROOM)
    entrant.start()
    a = entrant.add("a")
    if isinstance(entrant, NsbpfTcx):
        host.nsbpf("set", "timeout.udp", "1h")
    else:
        host.sysctl("net.netfilter.nf_conntrack_udp_timeout", 3600)
    return Target(Path(a, outside, FAMILY.outside))


def count(entrant):
    if isinstance(entrant, NsbpfTcx):
        return entrant.host.json()["connections"]["count"]
    return int(entrant.host.sysctl("net.netfilter.nf_conntrack_count"))


def fill(entrant, client, amount):
    """Those that are there already are sent to once more, which changes nothing."""
    if amount:
        client.run(f"{TOOLS}/udpflows", "send", NOWHERE, 1, SOURCE_PORTS, amount // SOURCE_PORTS)
    if count(entrant) < 0.99 * amount:
        raise AssertionError(f"{count(entrant)} connections in the table instead of {amount}")


def run(bench):
    amounts = wanted(bench)
    samples = no_samples(amounts)
    for number in range(bench.plan.rounds):
        title = f"{TITLE}, round {number + 1} of {bench.plan.rounds}"
        bench.progress.milestone(title)
        for kind in turns(list(amounts), number):
            with bench.entrants([kind]) as (entrant,), bench.attempt(f"{title}, {entrant.title}"):
                target = prepare(entrant)
                for amount in amounts[kind]:
                    fill(entrant, target.path.client, amount)
                    for key in KEYS:
                        take(bench, f"{title}, {amount}", entrant, target, key, samples[amount])
    return samples
