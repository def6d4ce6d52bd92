# SPDX-License-Identifier: GPL-2.0-only
"""The table: what the RFCs ask, and the functions that find out.

A row's function gets a Net (net.py) and says in a few words what it measured; Fails says what was missing instead. Some
rows have several functions: such a row passes if all of them do.
"""
from collections import namedtuple

# Number -> (where it is asked, what). RFC 4787, 5382 and 5508 speak of NATs, not of IPv4; what IPv6 has in place of
# IPv4's formats is in RFC 8200 and 4443, and RFC 6296 section 5.3 asks for a NAT's behaviour where it matters there.
ROWS = {
    1: ("4787 REQ-1, 5382 REQ-1", "endpoint-independent mapping, after a port collision too"),
    2: ("4787 REQ-2", "of several external addresses an endpoint keeps one"),
    3: ("4787 REQ-3, 5382 REQ-7, 7857 3", "no port overloading, unless the range is used up; counted"),
    4: ("4787 REQ-3a", "ports < 1024 stay below, ≥ 1024 above"),
    5: ("4787 REQ-5", "one-way UDP mapping: 120 s at least, 300 s recommended"),
    6: ("4787 REQ-6", "outbound packets refresh a mapping; inbound ones may"),
    7: ("4787 REQ-8, 5382 REQ-3", "filtering address-and-port-dependent by default, endpoint-independent selectable"),
    8: ("4787 REQ-9, 5382 REQ-8, 6296 5.3",
        "hairpin by exposed ports and dynamic mappings; the peer sees the external source"),
    9: ("4787 REQ-11", "the same mapping and filtering under a port collision, and when it is over"),
    10: ("4787 REQ-12, 5382 REQ-10", "an ICMP error deletes no mapping"),
    11: ("4787 REQ-13, 4443 3.2, 8200 5",
         "too large (with DF): ICMP 3/4, ICMPv6 2/0 with the right MTU, also for what a GSO packet becomes"),
    12: ("4787 REQ-14, 8200 4.5", "fragments, last one first too; a flood of them is bounded"),
    13: ("5382 REQ-2", "simultaneous open through two NATs"),
    14: ("5382 REQ-4", "unsolicited SYN to a mapped port: 6 s of silence, cancelled by an outbound SYN, then ICMP 3/3, "
        "ICMPv6 1/4"),
    15: ("5382 REQ-5", "established TCP 7440 s at least, half-open and closing 240 s"),
    16: ("5382 REQ-9, 5508 REQ-4, REQ-5, 4443 2.4, 8200 4",
         "ICMP 3, 11, 12, ICMPv6 1 to 4 both ways, all headers restored; IP options, extension headers, 8-byte quotes"),
    17: ("5508 REQ-1", "ping; the query id mapping is endpoint-independent"),
    18: ("5508 REQ-2", "ICMP query: 60 s at least"),
    19: ("5508 REQ-3, 4443 2.3", "wrong ICMP checksum: dropped; wrong checksum in the quoted packet: not"),
    20: ("5508 REQ-6", "an ICMP error neither refreshes nor deletes a query's mapping"),
    21: ("5508 REQ-7", "ICMP errors through hairpin"),
    22: ("5508 REQ-8, 6888 REQ-11, 4443 3.1", "range used up: the sender gets ICMP 3/13 or 3/1, ICMPv6 1/1 or 1/3"),
    23: ("7857 2.2", "RST: translated, state kept 240 s, data revives it"),
    24: ("7857 7.1", "outbound RST and ICMP errors do not refresh"),
    25: ("6056", "a port that cannot be kept is replaced by a random one"),
    26: ("6888 REQ-4", "a cap for each endpoint"),
    27: ("6888 REQ-8", "a port rests for 120 s when its mapping has ended"),
}

# What a BPF program cannot do on Linux 6.1 and later: function and family -> the exact reason. Reviewed; all others
# have to pass.
EXCEPTIONS = {
    ("too_large_for_route", 6): "bpf_fib_lookup() tells an IPv6 route's MTU only if it is locked (ip6_mtu_from_fib6()),"
                                " and what makes it tell any in IPv4, net.ipv4.ip_forward_use_pmtu, IPv6 does not have",
}

# `slow` by nature: only `make conformance` has it. `options` are the Net's.
Part = namedtuple("Part", "row function slow options")
PARTS = []


class Fails(Exception):
    """The requirement is not met; the text is what was measured."""


def check(fulfilled, measured):
    if not fulfilled:
        raise Fails(measured)


def row(number, slow=False, **options):
    """Makes a function a row's, or one of them."""
    def add(function):
        PARTS.append(Part(number, function, slow, options))
        return function
    return add


def exception(part, family):
    """Why nsbpf does not pass this, or None."""
    return EXCEPTIONS.get((part.function.__name__, family.number))
