# SPDX-License-Identifier: GPL-2.0-only
"""How commands get on with much that is there already: 1,000 endpoints; 10,000 exposed ports of one endpoint.

A process for each, as a script of an operator's would have it. Others than nsbpf are stopped if it takes them too long,
and a remark says how far they got.
"""
import time
from collections import namedtuple
from statistics import median

from cni import Cni
from contestant import NsbpfTcx

Step = namedtuple("Step", "title unit")
# The budget is the seconds that others than nsbpf have for all endpoints, and for all ports.
Extent = namedtuple("Extent", "endpoints ports budget")

FULL, QUICK = Extent(1000, 10000, 30), Extent(50, 200, 3)
FIRST_PORT = 10000
EDGE = 20  # that many calls at the beginning and at the end are looked at by themselves

STEPS = {
    "endpoints": Step("1,000 endpoints", "s"),
    "add_first": Step("add, of the first 20", "ms"),
    "add_last": Step("add, of the last 20", "ms"),
    "list": Step("list them", "ms"),
    "delete": Step("delete one of them", "ms"),
    "range": Step("expose 10,000 ports as a range", "ms"),
    "ports": Step("expose 10,000 single ports", "s"),
    "expose_first": Step("expose, of the first 20", "ms"),
    "expose_last": Step("expose, of the last 20", "ms"),
}


def timed(function, *arguments):
    """Seconds."""
    start = time.monotonic()
    function(*arguments)
    return time.monotonic() - start


def repeat(contestant, budget, function, items):
    """How long each call took, as far as the budget goes."""
    taken, start = [], time.monotonic()
    for item in items:
        if time.monotonic() - start > budget and not isinstance(contestant, NsbpfTcx):
            break
        taken.append(timed(function, *item))
    return taken


def figures(names, taken):
    whole, first, last = names
    return {whole: sum(taken), first: median(taken[:EDGE]) * 1e3, last: median(taken[-EDGE:]) * 1e3}


def remarks(contestant, what, taken, full):
    """Where there are fewer than the step's title says."""
    if len(taken) == full:
        return []
    return [f"{contestant.title}: only {len(taken):,} of {full:,} {what}, {sum(taken):.0f} s"]


def many_endpoints(contestant, extent):
    contestant.start()
    adds = repeat(contestant, extent.budget, contestant.add, ((f"e{number}",) for number in range(extent.endpoints)))
    found = figures(("endpoints", "add_first", "add_last"), adds)
    if isinstance(contestant, NsbpfTcx):
        found["list"] = median(timed(contestant.host.nsbpf, "list") for _ in range(5)) * 1e3
    found["delete"] = timed(contestant.delete, "e1") * 1e3
    return found, remarks(contestant, "endpoints", adds, FULL.endpoints)


def many_ports(contestant, extent):
    """Of one endpoint. UDP and TCP: neither is in the other's way."""
    contestant.start()
    contestant.add("e0")
    found, last = {}, FIRST_PORT + extent.ports - 1
    # To portmap a range is as many single ones.
    if not isinstance(contestant, Cni):
        found["range"] = timed(contestant.expose, "e0", FIRST_PORT, last, "udp") * 1e3
    singles = (("e0", port, port, "tcp") for port in range(FIRST_PORT, last + 1))
    ports = repeat(contestant, extent.budget, contestant.expose, singles)
    found |= figures(("ports", "expose_first", "expose_last"), ports)
    return found, remarks(contestant, "ports", ports, FULL.ports)


def scale_setup(contestant, quick=False):
    """A figure for each step, as far as the contestant has the command, and "remarks". The host has nothing before."""
    extent = QUICK if quick else FULL
    endpoints, remarks_endpoints = many_endpoints(contestant, extent)
    # Neither is to be slower for the other one's sake.
    another = type(contestant)()
    try:
        ports, remarks_ports = many_ports(another, extent)
    finally:
        another.close()
    return {**endpoints, **ports, "remarks": [*remarks_endpoints, *remarks_ports]}
