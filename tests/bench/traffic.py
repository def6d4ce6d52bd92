# SPDX-License-Identifier: GPL-2.0-only
"""The traffic of all contestants on all paths: path → measure → figure → contestant → samples."""
from operator import methodcaller

from contestant import PATHS
from measures import MEASURES, requests


def steps(bench):
    plan = bench.plan
    return plan.rounds * (len(plan.measures) + 1) * len(plan.paths) * len(plan.who)


def turns(entrants, number):
    """Another one begins each time: nobody always follows the same neighbour's leftovers."""
    first = number % len(entrants)
    return entrants[first:] + entrants[:first]


def measure(bench, what, entrant, cells, run):
    """One sample of each figure of a measure."""
    with bench.attempt(f"{what}, {entrant.title}"):
        for name, figure in run().items():
            cells[name][entrant.key].append(figure)


def traffic(bench):
    plan = bench.plan
    kinds = [kind for kind in bench.classes if kind.key in plan.who]
    samples = {path: {key: {name: {kind.key: [] for kind in kinds} for name in MEASURES[key].figures}
                      for key in plan.measures} for path in plan.paths}
    for number in range(plan.rounds):
        title = f"round {number + 1} of {plan.rounds}"
        bench.progress.milestone(title)
        # New hosts: where the kernel puts a host's memory makes 2 or 3 %, for all of its life.
        with bench.entrants(turns(kinds, number), methodcaller("prepare")) as entrants:
            for path, entrant in ((p, e) for p in plan.paths for e in entrants):
                with bench.attempt(f"{title}, warming up, {PATHS[path]}, {entrant.title}"):
                    requests(entrant.paths[path], plan.warm_up)
            for path, key, entrant in ((p, k, e) for p in plan.paths for k in plan.measures for e in entrants):
                measure(bench, f"{title}, {PATHS[path]}, {MEASURES[key].title}", entrant, samples[path][key],
                        lambda e=entrant, p=path, k=key: MEASURES[k].run(e.paths[p], plan.durations))
    return samples
