# SPDX-License-Identifier: GPL-2.0-only
"""What the measurements with much of something have in common.

Samples: amount → measure → figure → contestant → list.
"""
from collections import namedtuple

from measures import MEASURES, TCP_PORTS, transactions
from traffic import measure

KEYS = ("packets", "requests", "connections")

# Where traffic goes, and the TCP ports that transactions take turns with.
Target = namedtuple("Target", "path ports", defaults=(TCP_PORTS,))


def of_those_there(bench, wanted, enough):
    """Contestant → amounts; `enough` is the most that it takes to see that it works."""
    return {kind: sorted({min(amount, enough) if bench.plan.quick else amount for amount in amounts})
            for kind, amounts in wanted.items() if kind in bench.classes}


def no_samples(wanted):
    return {amount: {key: {name: {kind.key: [] for kind in wanted if amount in wanted[kind]}
                           for name in MEASURES[key].figures} for key in KEYS}
            for amount in sorted(set().union(*wanted.values()))}


def take(bench, what, entrant, target, key, cells):
    """One sample of each figure of the measure."""
    def run():
        if key == "packets":
            return MEASURES[key].run(target.path, bench.plan.durations)
        return transactions(target.path, bench.plan.durations, key, target.ports)

    measure(bench, f"{what}, {MEASURES[key].title}", entrant, cells[key], run)
