# SPDX-License-Identifier: GPL-2.0-only
"""What a run is asked to do, from the environment; see ./run for the words."""
import os
import sys
from collections import namedtuple

from contestant import PATHS
from contestants import contestants
from measures import MEASURES, Durations

PARTS = ("traffic", "scale", "setup", "programs")

Plan = namedtuple("Plan", "quick rounds parts paths measures who durations warm_up setups program_runs")
WARM_UP = Durations((), 0.1)


def _list(name, known):
    """A comma list of `known` words, in their order; all if it is empty."""
    words = [word for word in os.environ.get(name, "").split(",") if word]
    for word in words:
        if word not in known:
            sys.exit(f"bench: {name} knows {', '.join(known)}, not {word}")
    return tuple(word for word in known if word in words or not words)


def plan():
    quick = os.environ.get("QUICK", "") not in ("", "0")
    try:
        rounds = int(os.environ.get("ROUNDS") or (1 if quick else 5))
    except ValueError:
        rounds = 0
    if rounds < 1:
        sys.exit("bench: ROUNDS has to be a number above 0")
    chosen = (_list("ONLY", PARTS), _list("PATHS", PATHS), _list("MEASURES", MEASURES),
              _list("WHO", [kind.key for kind in contestants()]))
    if quick:
        return Plan(quick, rounds, *chosen, Durations(("--bytes", "200M"), 0.2), WARM_UP, 2, 2000)
    return Plan(quick, rounds, *chosen, Durations(("--time", "1"), 0.5), WARM_UP, 10, 40000)
