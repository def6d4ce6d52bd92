# SPDX-License-Identifier: GPL-2.0-only
"""Where the rows happen.

      a 10.80.0.2, fd..::2 --+                                           +-- the router, 198.51.100.2, 2001:db8:1::2
                             |--- host --- up0 ============ wan0 --------|
      b 10.80.0.3, fd..::3 --+    198.51.100.1, 2001:db8:1::1            +-- servers behind it, 203.0.113.x,
                                  the NAT                                    2001:db8:cafe::x

Both families use it at the same time, each by a Net (net.py) and a thread of its own: rows wait for the same timers.
What they do to the host as such is done in alone(), and once().
"""
import concurrent.futures
import contextlib
import threading
import traceback

from _pytest.outcomes import Failed
from machines import silence
from net import Net
from row_families import FAMILIES
from table import Fails
from topology import Host


class Scene:
    """One host with its NAT, two endpoints and the outside, all of its own.

    `elsewhere`: the host has no address of the outside's subnet; `second_address`: it has two.
    """

    def __init__(self, kind, elsewhere=False, second_address=False, **options):
        self._lock = threading.RLock()
        self._done = {}
        with contextlib.ExitStack() as stack:
            self.host = stack.enter_context(Host())
            self.external = {family: family.elsewhere if elsewhere else family.host for family in FAMILIES}
            self.externals = {family: (address, *([family.second] if second_address else []))
                              for family, address in self.external.items()}
            for family in FAMILIES:
                self._address(family, elsewhere, second_address)
            # The packets of the host's own stack, too, are to be complete when they are seen.
            self.host.run("ethtool", "-K", "up0", "tx", "off")
            silence(self.host.outside, "wan0")
            self.nat = stack.enter_context(contextlib.closing(kind(self.host, **options)))
            self._stack = stack
            self.endpoints = {short: self.add(short) for short in ("a", "b")}
            self._stack = stack.pop_all()

    def _address(self, family, elsewhere, second_address):
        lines = []
        if elsewhere:
            self.host.ip(f"-{family.number}", "address", "flush", "dev", "up0", "scope", "global")
            lines += [f"address add {family.elsewhere}/{family.length} dev up0 {family.at_once}",
                      f"route replace default via {family.via} dev up0 onlink"]
        if second_address:
            lines.append(f"address add {family.second}/{family.link_length} dev up0 {family.at_once}")
        mac = self.host.outside.link("wan0")["address"]
        lines += [f"neighbour replace {router} lladdr {mac} dev up0 nud permanent"
                  for router in {family.outside, family.via}]
        self.host.ip_batch(*lines)

    def add(self, short, **options):
        """One more endpoint: its namespace, and by family its address and the gateway's."""
        netns, addresses = self.nat.add(short, **options)
        silence(netns, "eth0")
        return netns, addresses

    def net(self, family):
        return self._stack.enter_context(Net(self, family))

    def alone(self):
        """While the other family changes nothing of the host."""
        return self._lock

    def once(self, function, *arguments):
        """What it returned to whoever was first: the families share what it does."""
        with self._lock:
            if (function, arguments) not in self._done:
                self._done[function, arguments] = function(*arguments)
            return self._done[function, arguments]

    def another(self):
        """One more host elsewhere, with a NAT of the same kind."""
        return self._stack.enter_context(Scene(type(self.nat), elsewhere=True))

    def close(self):
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def measure(part, kind):
    """A function of a row on one NAT: {family: (passed, what was measured)}; None if it could not be measured."""
    try:
        with Scene(kind, **part.options) as scene, concurrent.futures.ThreadPoolExecutor(len(FAMILIES)) as pool:
            return dict(zip(FAMILIES, pool.map(lambda family: outcome(part, scene, family), FAMILIES)))
    except (Exception, Failed):  # the latter is how topology.py says that it can't work
        return dict.fromkeys(FAMILIES, (None, traceback.format_exc()))


def outcome(part, scene, family):
    try:
        return True, part.function(scene.net(family))
    except Fails as missing:
        return False, str(missing)
    except Exception:
        return None, traceback.format_exc()
