# SPDX-License-Identifier: GPL-2.0-only
"""How long a mapping lives, and what keeps it: rows 5, 6, 15, 18, 20, 23 and 24."""
import itertools

from clock import HURRY, lifetimes, survives, wait
from row_flows import BACK, OUT
from table import check, row

PAST = 2  # seconds after its time in which a flow has to be gone


def fresh(net, proto, prepare=lambda flow: None):
    """A function that begins one more flow of this kind, each from a port of its own."""
    ports = itertools.count(5000)

    def begin():
        flow = net.open(proto, net.a, next(ports))
        prepare(flow)
        return flow
    return begin


def check_lifetimes(net, what, begin, timer, *floors):
    """Alive a second before each floor, gone when its configured time is over."""
    timeout = net.nat.timeout(timer)
    moments = [floor - 1 for floor in floors]
    alive = lifetimes(net, begin, [*moments, max(timeout, *floors) + PAST], timer)
    for moment in moments:
        check(alive[moment], f"{what}: gone at {moment} s (configured: {timeout} s)")
    check(not alive[max(alive)], f"{what}: still there after {max(alive)} s (configured: {timeout} s)")


@row(5, hurry=HURRY)
def udp_mapping(net):
    check_lifetimes(net, "one-way", fresh(net, "udp"), "udp", 120, 300)
    return "alive at 119 s and 299 s, gone after 300 s"


@row(6, hurry=HURRY)
def refresh(net):
    alive = refreshing(net)
    check(OUT in alive, "an outbound packet does not refresh")
    return "both do" if BACK in alive else "only outbound packets do"  # the RFC allows both


@row(6, slow=True, hurry=HURRY)
def refresh_by_choice(net):
    if not net.nat.inbound_refresh_off():
        return "always"
    alive = refreshing(net)
    check(OUT in alive, "an outbound packet does not refresh")
    check(BACK not in alive, "inbound packets refresh where they should not")
    return "inbound ones by choice"


def refreshing(net):
    """The directions in which a packet half-way keeps a mapping that would else be gone."""
    part = 0.6 * net.nat.timeout("udp")
    flows = {direction: net.open("udp", net.a, port) for direction, port in ((OUT, 5000), (BACK, 5001))}
    wait(net, flows[BACK].touched, part, "udp")
    check(flows[OUT].out() and flows[BACK].back(), "lost half-way")
    wait(net, flows[BACK].touched, part, "udp")
    return {direction for direction, flow in flows.items() if flow.back()}


@row(15, hurry=HURRY)
def half_open(net):
    check_lifetimes(net, "half-open", fresh(net, "tcp"), "syn", 240)
    return "half-open alive at 239 s, gone after 240 s"


@row(15, slow=True, hurry=HURRY)
def closing(net):
    check_lifetimes(net, "closing", fresh(net, "tcp", close), "closing", 240)
    return "so is closing"


@row(15, slow=True, hurry=HURRY)
def established(net):
    timeout = net.nat.timeout("established")
    alive = lifetimes(net, fresh(net, "tcp", lambda flow: flow.establish()), [7439, 7440 + PAST], "established")
    check(alive[7439], f"established: gone at 7439 s (configured: {timeout} s)")
    if timeout > 7440:
        return f"established alive at 7439 s (configured: {timeout} s)"
    check(not alive[7440 + PAST], f"established: still there after {timeout} s")
    return "established alive at 7439 s, gone after 7440 s"


def close(flow):
    flow.establish()
    check(flow.out("FA") and flow.back("FA") and flow.out("A"), "a FIN was lost")


@row(18, slow=True)
@row(18, hurry=HURRY)
def icmp_query(net):
    check_lifetimes(net, "query", fresh(net, "icmp"), "icmp", 60)
    return "a late reply passes at 59 s, none after 60 s"


@row(20, hurry=HURRY)
def errors_do_not_refresh(net):
    timeout = net.nat.timeout("icmp")

    def begin():
        flow = net.open("icmp", net.a, next(ports))
        wait(net, flow.touched, 0.7 * timeout, "icmp")
        check(flow.error(OUT, net.family.PORT_UNREACHABLE), "an ICMP error was lost")
        return flow
    ports = itertools.count(5000)
    check(survives(net, begin, timeout - 1, "icmp"), "deleted")
    check(not survives(net, begin, timeout + PAST, "icmp"), "refreshed")
    return "neither"


@row(23, hurry=HURRY)
def reset(net):
    def server_resets(flow):
        flow.establish()
        check(flow.back("RA"), "a RST was lost")
    begin = fresh(net, "tcp", server_resets)
    revived = begin()
    dropped = not revived.out()
    check_lifetimes(net, "reset", begin, "reset", 240)
    check(not dropped, "data after a RST was dropped")
    wait(net, revived.touched, 240 + PAST, "reset")
    check(revived.back(), "data does not revive it")
    return "kept for 240 s, revived by data"


@row(24, slow=True, hurry=HURRY)
def outbound_icmp_error(net):
    timeout = net.nat.timeout("udp")
    flow = net.open("udp", net.a, 5000).establish()
    begun = flow.touched
    wait(net, begun, 0.7 * timeout, "udp")
    check(flow.error(BACK, net.family.PORT_UNREACHABLE), "an ICMP error was lost")
    wait(net, begun, timeout + PAST, "udp")
    check(not flow.back(), "an ICMP error refreshes")
    return "an ICMP error does not"


@row(24, slow=True, hurry=HURRY)
def outbound_reset(net):
    timeout = net.nat.timeout("reset")
    flow = net.open("tcp", net.a, 5000).establish()
    check(flow.out("RA"), "a RST was dropped")
    begun = flow.touched
    wait(net, begun, 0.7 * timeout, "reset")
    flow.out("RA")
    wait(net, begun, timeout + PAST, "reset")
    check(not flow.back("A"), "a RST refreshes")
    return "a RST does not"
