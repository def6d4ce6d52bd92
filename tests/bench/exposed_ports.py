# SPDX-License-Identifier: GPL-2.0-only
"""Traffic to exposed ports, when there are few and when there are many, each by a rule of its own. As 10,000 of them
take a minute to make, each number has a host that stays, and the hosts take turns."""
from amounts import KEYS, Target, no_samples, of_those_there, take
from bridge import BridgeIptables, BridgeNft
from cni import Cni
from contestant import FAMILY, FIRST_PORT, LAST_PORT, NsbpfTcx, Path
from measures import UDP_PORT
from traffic import turns

FIRST_EXPOSED = 10001
PORTS = {BridgeIptables: (1, 100, 10000), BridgeNft: (1, 10000), Cni: (1, 100), NsbpfTcx: (1, 100, 10000)}
TITLE = "exposed ports"


def wanted(bench):
    return of_those_there(bench, PORTS, 1000)


def steps(bench):
    return sum(map(len, wanted(bench).values())) * (1 + bench.plan.rounds * len(KEYS))


def prepare(entrant, amount):
    """Endpoint "b" with so many, and some to send to that are as far from each other as can be."""
    entrant.start()
    b = entrant.add("b")
    entrant.expose("b", UDP_PORT, UDP_PORT, "udp")
    path = Path(entrant.host.outside, b, FAMILY.host)
    if amount == 1:  # a range: a single port would meet its own closed connections again (tcprr.c)
        entrant.expose("b", FIRST_PORT, LAST_PORT, "tcp")
        return Target(path)
    entrant.expose_singly("b", FIRST_EXPOSED, FIRST_EXPOSED + amount - 1)
    return Target(path, [FIRST_EXPOSED + amount * eighth // 8 for eighth in (1, 3, 5, 7)])


def run(bench):
    amounts = wanted(bench)
    samples, ready = no_samples(amounts), []
    with bench.entrants(kind for kind, many in amounts.items() for _ in many) as entrants:
        for entrant, amount in zip(entrants, (amount for many in amounts.values() for amount in many)):
            with bench.attempt(f"{amount} {TITLE}, {entrant.title}"):
                ready.append((entrant, amount, prepare(entrant, amount)))
        for number in range(bench.plan.rounds):
            title = f"{TITLE}, round {number + 1} of {bench.plan.rounds}"
            bench.progress.milestone(title)
            for key, (entrant, amount, target) in ((k, turn) for k in KEYS for turn in turns(ready, number)):
                take(bench, f"{title}, {amount}", entrant, target, key, samples[amount])
    return samples
