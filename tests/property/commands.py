# SPDX-License-Identifier: GPL-2.0-only
"""Random commands, some of them killed on the way, and what else happens to a host: addresses, and time."""
import os
import time

import snapshot
from topology import run
from world import SUBNETS

NAMES = "abcdef"
EXPOSED_PORTS = (600, 5000, 5001, 20000, 33000)
MORE_ADDRESSES = ("198.51.100.9", "198.51.100.10", "2001:db8:1::9", "2001:db8:1::10")
CALLS = "bpf,sendto,mkdir,unlink,unlinkat,rename,renameat2,clone,clone3,write,setns,mount"  # where a command is killed
KILLED_AT = 60
OK, ABSENT, CONFLICT = 0, 3, 4  # exit codes


class Commands:
    def __init__(self, world, rng):
        self.world, self.rng = world, rng
        self.more = {}  # address of up0, besides its first → prefix

    def command(self, *words, allowed=(OK,)):
        """Runs nsbpf; one time in five it is killed somewhere first, and then has to do its work as if nothing was."""
        host, killed = self.world.host, ""
        if self.rng.random() < 0.2:
            number = self.rng.randrange(2, KILLED_AT)
            run("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={CALLS}", "-e",
                f"inject={CALLS}:signal=KILL:when={number}", *host.nsbpf_command(*words), check=False,
                env=host.environment())
            killed = f", killed at call {number} before"
            allowed = (*allowed, ABSENT)  # it may have been done by then
        done = host.nsbpf(*words, check=False)
        what = f"nsbpf {' '.join(words)}{killed}: {done.returncode} {done.stderr.strip()}"
        assert done.returncode in allowed, what
        return done.returncode, what

    # endpoints and networks
    def add(self):
        world = self.world
        absent = [name for name in NAMES if name not in world.endpoints]
        if not absent:
            return self.delete()
        short, network = self.rng.choice(absent), self.rng.choice(list(SUBNETS))
        if network == "other":
            self.network()
        address = f"{SUBNETS[network]}.{2 + NAMES.index(short)}"
        limit = self.rng.choice(("auto", "auto", "3", "10"))
        _, what = self.command("add", world.host.name(short), "--network", network, "--ip", address,
                               "--max-connections", limit)
        world.learn(short, network)
        return what

    def delete(self):
        world = self.world
        short = self.rng.choice(sorted(world.endpoints))
        _, what = self.command("del", world.host.name(short))
        world.forget(short)
        return what

    def network(self):
        names = self.world.host.nsbpf("network", "list").stdout if self.world.state else ""
        if "other" not in names:
            self.command("network", "add", "other", "--subnet", f"{SUBNETS['other']}.0/24")

    def settings(self):
        world = self.world
        used = sorted({node.network for node in world.endpoints.values()})
        network = self.rng.choice(used)
        fixed = [address for address in sorted(self.more) if ":" not in address]
        fixed += [f"{address},{more}" for address in fixed for more in sorted(self.more) if ":" in more]
        options = {"--isolate": ("on", "off"), "--masquerade": ("on", *fixed),
                   "--filtering": ("endpoint-independent", "address-and-port-dependent")}
        option = self.rng.choice(list(options))
        value = self.rng.choice(options[option])
        _, what = self.command("network", "set", network, option, value)
        if option == "--isolate":
            (world.open.discard if value == "on" else world.open.add)(network)
        return what

    # exposed ports
    def expose(self):
        world = self.world
        short = self.rng.choice(sorted(world.endpoints))
        proto, port = self.rng.choice(("tcp", "udp")), self.rng.choice(EXPOSED_PORTS)
        code, what = self.command("expose", world.host.name(short), f"{port}:{self.rng.choice((port, 80))}/{proto}",
                                  allowed=(OK, CONFLICT))
        if code == OK:
            world.exposed[proto, port] = short
        return what

    def unexpose(self):
        world = self.world
        if not world.exposed:
            return "nothing exposed"
        proto, port = self.rng.choice(sorted(world.exposed))
        _, what = self.command("unexpose", world.host.name(world.exposed.pop((proto, port))), f"{port}/{proto}")
        return what

    # the world
    def address(self, address=None):
        world, address = self.world, address or self.rng.choice(MORE_ADDRESSES)
        world.addresses.add(address)
        lengths = (64, 128) if ":" in address else (24, 32)
        verb, prefix = ("del", self.more.pop(address)) if address in self.more else ("add", self.rng.choice(lengths))
        if verb == "add":
            self.more[address] = prefix
            world.host.add_address(f"{address}/{prefix}", "up0")
        else:
            world.host.ip("address", verb, f"{address}/{prefix}", "dev", "up0")
        return f"address {verb} {address}/{prefix}"

    def down(self):
        """Afterwards all is as it was."""
        world = self.world
        for address in list(self.more):
            self.address(address)
        objects = snapshot.bpf_objects(world.host)
        world.forget_all()
        _, what = self.command("down")
        changed = snapshot.difference(world.before, snapshot.take(world.host))
        assert changed == [] and snapshot.still_loaded(objects) == set(), changed
        return what

    def wait(self):
        for_ = self.rng.choice((0.01, 0.01, 0.1, 0.5, 1.5))
        time.sleep(for_)
        return f"{for_} s pass"
