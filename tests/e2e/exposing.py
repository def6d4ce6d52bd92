# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of exposed ports share: both protocols at once, and more addresses of the host."""
import contextlib

from families import FAMILIES
from wire import question

PROTOS = ["tcp", "udp"]


@contextlib.contextmanager
def echoes(netns, port, address):
    with netns.tcp_echo(port, address), netns.udp_echo(port, address):
        yield


def answers(client, address, port, **more):
    """The server's view of a question by TCP and of one by UDP; fails the test if one has no answer."""
    return [question(client, proto, address, port, **more) for proto in PROTOS]


def refused(client, address, port, **more):
    """Neither has an answer: mostly the host's own stack says at once that nobody listens."""
    return (client.tcp(address, port, timeout=0.7, **more).get("error") and
            client.udp(address, port, timeout=0.7, connect=True, **more).get("error"))


def add_addresses(host, family):
    """family.second on the uplink and family.third elsewhere; the outside knows the way to both."""
    # The newest one would be the source of what the host sends: not if it is deprecated.
    options = "preferred_lft 0 nodad" if family.number == 6 else ""
    host.ip_batch(f"address add {family.second}/{family.length} dev up0 {options}",
                  f"address add {family.third}/{family.length} dev lo {options}")
    host.outside.ip(f"-{family.number}", "route", "add", family.third, "via", family.host)


def other_family(family):
    return FAMILIES[10 - family.number]
