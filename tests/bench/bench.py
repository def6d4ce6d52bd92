# SPDX-License-Identifier: GPL-2.0-only
"""nsbpf beside the bare wire and what else there is: traffic, much of everything, commands, the BPF programs alone.

All contestants exist at once and take turns at each measure: what disturbs the machine for a while disturbs them all.
The bare wire runs with each path again, so that its figure is of the same minute.
"""
import contextlib
import json
import os
import signal
import subprocess
import sys

import program_cost
import scale
import setup
import traffic
from contestant import TOOLS
from contestants import contestants
from machine import describe, machine, stolen_share
from measures import cpu_times
from plan import plan
from plots import plots
from progress import Progress
from report import print_tables
from summary import summary

FAILURES = (AssertionError, OSError, subprocess.TimeoutExpired, ValueError, KeyError)
PARTS = {
    "traffic": (traffic.steps, traffic.traffic),
    "scale": (scale.steps, scale.scale),
    "setup": (setup.steps, setup.setup),
    "programs": (program_cost.steps, program_cost.programs),
}


class Bench:
    """What the parts of a run share: the plan, the contestants, and how to go on after a failure."""

    def __init__(self, what):
        self.plan = what
        self.classes = contestants()
        self.failures = []
        self.progress = Progress(sum(PARTS[part][0](self) for part in what.parts))

    def run(self):
        results = {part: summary(PARTS[part][1](self)) for part in self.plan.parts}
        self.progress.end()
        return {"contestants": {kind.key: kind.title for kind in self.classes}, **results, "failures": self.failures}

    @contextlib.contextmanager
    def entrants(self, kinds, prepare=None):
        """One of each, gone afterwards; without those that prepare(entrant) failed for."""
        with contextlib.ExitStack() as stack:
            entrants = []
            for kind in kinds:
                entrants.append(kind())
                stack.callback(self._close, entrants[-1])
            yield [entrant for entrant in entrants if not prepare or self._prepared(entrant, prepare)]

    def _prepared(self, entrant, prepare):
        with self._going_on(f"preparing {entrant.title}"):
            prepare(entrant)
            return True
        return False

    def _close(self, entrant):
        with self._going_on(f"removing {entrant.title}"):
            entrant.close()

    @contextlib.contextmanager
    def attempt(self, what):
        """A failure costs one figure, not the whole run; it is told at once and at the end."""
        self.progress.step(what)
        with self._going_on(what):
            yield

    @contextlib.contextmanager
    def _going_on(self, what):
        try:
            yield
        except FAILURES as failure:
            self.progress.problem(f"{what}: {failure}")
            self.failures.append(f"{what}: {failure}")


def main():
    if os.geteuid():
        sys.exit("bench: only root can do this (sudo make bench)")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit("\nbench: interrupted"))
    about, before = machine(), cpu_times()
    print(describe(about))
    if about["load_before"] >= 1:
        print(f"The machine is busy (load {about['load_before']:.1f}): the figures below mean little.")
    bench = Bench(plan())
    results = {"machine": about, "plan": bench.plan._asdict(), **bench.run(),
               "stolen": stolen_share(before, cpu_times())}
    with open(f"{TOOLS}/results.json", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    results = json.loads(json.dumps(results))  # as whoever reads the file will have them
    print_tables(results)
    drawn = plots(results, TOOLS)
    if bench.plan.quick:
        print("\nQUICK: fewer of everything than the titles say, and once; to see that it works.")
    print(f"\nrounds: {bench.plan.rounds}; time that the hypervisor took: {100 * results['stolen']:.1f} %; "
          f"all samples: build/bench/results.json{''.join(f', {os.path.basename(path)}' for path in drawn)}")
    if bench.failures:
        sys.exit(f"bench: {len(bench.failures)} of the measurements failed, the first: {bench.failures[0]}")


if __name__ == "__main__":
    main()
