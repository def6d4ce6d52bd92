# SPDX-License-Identifier: GPL-2.0-only
"""What two performances of a script did differently, and whether that is known: `accepted` is the reviewed list."""
import os
import re
from collections import Counter, namedtuple

ACCEPTED = os.path.join(os.path.dirname(__file__), "accepted")

Difference = namedtuple("Difference", "step text")


def differences(script, ours, theirs):
    """Of each step those lines that are not the same: "out udp stranger datagram: nsbpf nothing, linux ..."."""
    for number, (mine, other) in enumerate(zip(ours, theirs)):
        step = script.steps[number]
        flow = script.flows[step.flow]
        for text in step_differences(mine, other):
            yield Difference(number, f"{flow.way} {flow.proto} {step.side} {step.kind}: {text}")


def step_differences(mine, other):
    mine, other = without(mine, other), without(other, mine)
    if [short(record) for record in mine] != [short(record) for record in other]:
        yield f"nsbpf {listed(mine)}, linux {listed(other)}"
        return
    for record, same in zip(mine, other):
        for name in sorted(record.keys() | same.keys()):
            if record.get(name) != same.get(name):
                yield f"{short(record)}: {name} {record.get(name)}, linux {same.get(name)}"


def without(records, others):
    left = list(others)
    result = []
    for record in records:
        if record in left:
            left.remove(record)
        else:
            result.append(record)
    return result


def listed(records):
    return " + ".join(short(record) for record in records) or "nothing"


def short(record):
    return f"{record['at']} {record['what']}"


class Accepted:
    """The list: lines that may differ, `*` standing for anything, each with its reason indented below. One that ends
    with "..." is where a flow's two stories part: whatever differs in that flow later is its consequence."""

    def __init__(self, path=ACCEPTED):
        with open(path, encoding="utf-8") as file:
            lines = [line.rstrip() for line in file if line[0] not in "# \t\n"]
        self.patterns = {line: re.compile(re.escape(line.removesuffix(" ...")).replace(r"\*", ".*")) for line in lines}
        self.used = Counter()

    def left(self, script, found):
        """The differences that the list says nothing about."""
        parted = set()
        for difference in found:
            flow = script.steps[difference.step].flow
            if flow in parted:
                continue
            line = next((line for line, pattern in self.patterns.items() if pattern.fullmatch(difference.text)), None)
            self.used[line] += 1
            if line is None:
                yield difference
            elif line.endswith("..."):
                parted.add(flow)
