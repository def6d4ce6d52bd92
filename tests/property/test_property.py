# SPDX-License-Identifier: GPL-2.0-only
"""A host under random packets, commands, kills, address changes and passing time. All the while these hold:

- what leaves is translated, by a connection of whoever sent it; what arrives at an endpoint may be there;
- the checksums of every packet are right;
- each connection has both its entries, and NAT ports, bindings, deadlines and counters are what connections say;
- a command that was killed can be repeated, and after `down` nothing remains.

SEED=7 STEPS=20000 tests/run property: another walk, and a longer one.
"""
import collections
import os
import random
import shutil

import pytest
from commands import Commands
from sending import Sending
from taps import one_cpu
from world import World

pytestmark = [pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed"),
              pytest.mark.families("both")]

SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else [1, 2]
STEPS = int(os.environ.get("STEPS", 1000))
TABLES_EVERY = 50


@pytest.mark.families("both")
@pytest.mark.timeout(60 + STEPS)
@pytest.mark.parametrize("seed", SEEDS)
def test_invariants(seed):
    rng = random.Random(seed)
    log = collections.deque(maxlen=40)
    world = World()
    try:
        with one_cpu():
            walk(world, rng, log)
    except AssertionError as problem:
        steps = "\n".join(f"{number:5}: {what}" for number, what in log)
        pytest.fail(f"SEED={seed} STEPS={STEPS}: {problem}\n{steps}", pytrace=False)
    finally:
        world.close()


def walk(world, rng, log):
    sending, commands = Sending(world, rng), Commands(world, rng)
    operations = {sending.by_endpoint: 500, sending.by_outside: 350, sending.liar: 40,
                  sending.neighbour_discovery: 15, commands.add: 25,
                  commands.delete: 12, commands.settings: 15, commands.expose: 20, commands.unexpose: 12,
                  commands.address: 8, commands.down: 3, commands.wait: 20}
    for step in range(1, STEPS + 1):
        operation, = rng.choices(list(operations), operations.values()) if world.endpoints else [commands.add]
        log.append((step, operation.__name__))
        log[-1] = step, operation()
        world.look()
        if step % TABLES_EVERY == 0:
            world.check_tables()
    log.append((STEPS, commands.down()))
