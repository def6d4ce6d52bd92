# SPDX-License-Identifier: GPL-2.0-only
"""How fast new connections are made, and how many there can be: both endpoints send one UDP packet from each of their
ports to one port outside, until no NAT port is left for more. More may get through than there are ports, where those
that were never answered give way."""
from operator import methodcaller
from subprocess import DEVNULL

from bridge import BridgeIptables, BridgeNft
from contestant import FAMILY, TOOLS, NsbpfTcx
from measures import CPUS, UDP_PORT, Figure, on_cpu, result, serving
from traffic import measure, turns

PORTS = 64000  # of each endpoint
MEASURED = 20000  # the rate is that of the first ones, which find a port at once
SILENCE = 0.3  # seconds without a new one are the end

FIGURES = {
    "rate": Figure("new connections (UDP)", "1000/s", True),
    "ports": Figure("NAT ports seen", "", True),
    "reached": Figure("got through, of 128,000", "", True),
}


def open_all(entrant):
    tool = f"{TOOLS}/udpflows"
    clients = entrant.paths["endpoints"].client, entrant.paths["endpoints"].server
    with serving(entrant.host.outside, "ready", tool, "receive", FAMILY.any, UDP_PORT, SILENCE, MEASURED) as receiver:
        senders = [client.popen(*on_cpu(cpu, tool, "send", FAMILY.outside, UDP_PORT, PORTS, 1), stdout=DEVNULL)
                   for client, cpu in zip(clients, (CPUS[0], CPUS[-1]))]
        said = result(receiver.stdout.read())
        for sender in senders:  # without a port for it each packet may take very long
            sender.kill()
            sender.wait()
    return {"rate": said["first"] / said["seconds"] / 1e3, "reached": said["flows"], "ports": said["ports"]}


def wanted(bench):
    return [kind for kind in (BridgeIptables, BridgeNft, NsbpfTcx) if kind in bench.classes]


def steps(bench):
    return len(wanted(bench)) * bench.plan.rounds


def run(bench):
    """Figure → contestant → samples. A new host each time, as a full table stays full for minutes."""
    kinds = wanted(bench)
    samples = {name: {kind.key: [] for kind in kinds} for name in FIGURES}
    for number in range(bench.plan.rounds):
        title = f"new connections, round {number + 1} of {bench.plan.rounds}"
        bench.progress.milestone(title)
        for kind in turns(kinds, number):
            with bench.entrants([kind], methodcaller("prepare")) as entrants:
                for entrant in entrants:
                    measure(bench, title, entrant, samples, lambda e=entrant: open_all(e))
    return samples
