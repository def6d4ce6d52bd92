# SPDX-License-Identifier: GPL-2.0-only
"""Random scripts of valid packets, through nsbpf and through Linux' own NAT: both have to deliver the same.

SEED is the first script's number and STEPS how many there are: SEED=1000 STEPS=5000 tests/run differential
"""
import os

import pytest
from comparison import Accepted, differences
from formats import FORMATS
from perform import Performance
from script import make, shrink

FIRST, COUNT = int(os.environ.get("SEED", 1)), int(os.environ.get("STEPS", 160))


@pytest.fixture(scope="module")
def accepted():
    return Accepted()


def found(sides, accepted, script, form):
    """The differences that are not on the list, and what either side delivered."""
    traces = [Performance(side, script, form).run() for side in sides]
    return list(accepted.left(script, differences(script, *traces))), traces


def report(sides, script, left, traces):
    lines = [str(script), *(f"step {number}: {text}" for number, text in left)]
    for side, trace in zip(sides, traces):
        lines += [f"\n{side.name}:"]
        lines += [f"{number:3}: {record}" for number, records in enumerate(trace) for record in records]
    return "\n".join(lines)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_as_linux(sides, accepted, seed, form):
    script = make(seed)
    left, traces = found(sides, accepted, script, form)
    if not left:
        return
    first = left[0].text
    smallest = shrink(script, lambda smaller: first in (text for _, text in found(sides, accepted, smaller, form)[0]))
    again = found(sides, accepted, smallest, form)
    what = f"{form.name} {first}: SEED={seed} STEPS=1"
    if again[0]:
        script, (left, traces) = smallest, again
    else:
        what += " (but it did not happen again)"
    pytest.fail(f"{what}\n\n{report(sides, script, left, traces)}", pytrace=False)


@pytest.mark.skipif("SEED" in os.environ or "STEPS" in os.environ, reason="the list is for the usual scripts")
def test_nothing_is_accepted_that_does_not_happen(sides, accepted):
    """Runs after all scripts."""
    assert sorted(accepted.patterns.keys() - accepted.used.keys()) == []
