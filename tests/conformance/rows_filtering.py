# SPDX-License-Identifier: GPL-2.0-only
"""Who may send to a NAT port, from outside and by hairpin: rows 7 to 9, 13 and 14."""
from clock import HURRY, wait
from row_flows import OUT
from machines import l4, name
from net import EXPOSED, SERVICE
from row_families import spelt
from scapy.layers.inet import TCP
from table import check, row

TARGET = 80


def strangers(flow):
    """Outside addresses and ports to which the endpoint has sent nothing."""
    stranger = flow.net.family.stranger
    return (flow.peer[0], SERVICE + 10), (stranger, SERVICE), (stranger, 9999)


def only_its_peer(net, flow):
    """Address-and-port-dependent filtering: strangers are kept out, the peer's packets pass as before."""
    for stranger in strangers(flow):
        knock = net.inbound(flow.proto, stranger, flow.nat, flow.near)
        check(not knock.out(), f"{flow.proto} from {name(stranger)} came in")
        check(flow.back(), f"{flow.proto}: no answer of its peer came in afterwards")


@row(7)
def filtering(net):
    for proto in ("udp", "tcp"):
        only_its_peer(net, net.open(proto, net.a, 5000).establish())
    cone = net.add(filtering="endpoint-independent")
    for proto in ("udp", "tcp"):
        flow = net.open(proto, cone, 5000).establish()
        for stranger in strangers(flow):
            knock = net.inbound(proto, stranger, flow.nat, cone)
            check(knock.out() and knock.back(), f"{proto} from {name(stranger)} did not come in")
    return "both"


@row(8)
def exposed_hairpin(net):
    for proto in ("udp", "tcp"):
        net.expose("b", EXPOSED, TARGET, proto)
        for node in (net.a, net.b):
            outside = net.open(proto, node, 5000).nat
            flow = net.flow(proto, node, 5000, net.external, EXPOSED, far=net.b)
            check(flow.out(), f"{proto}: nothing came to the exposed port")
            check(flow.there == (net.b.address, TARGET), f"{proto}: came to {name(flow.there)}")
            check(flow.nat == outside, f"{proto}: the peer sees {name(flow.nat)}, the outside {name(outside)}")
            flow.establish()
    return "exposed ports: the peer sees what the outside sees"


@row(8)
def dynamic_hairpin(net):
    for proto in ("udp", "tcp"):
        one, two = net.open(proto, net.a, 5000), net.open(proto, net.b, 6000)
        call = net.flow(proto, net.a, 5000, *two.nat, far=net.b)
        answer = net.flow(proto, net.b, 6000, *one.nat, far=net.a)
        check(not call.out(), f"{proto}: came in before its target had sent anything there")
        check(answer.out(), f"{proto}: nothing came to a NAT port")
        check(answer.nat == two.nat, f"{proto}: the peer sees {name(answer.nat)}, the outside {name(two.nat)}")
        check(call.out(), f"{proto}: one way only")
        check(call.nat == one.nat, f"{proto}: the peer sees {name(call.nat)}, the outside {name(one.nat)}")
    return "dynamic mappings: both ways, filtered as from outside"


@row(9, slow=True, hurry=HURRY)
def deterministic(net):
    timeout = net.nat.timeout("udp")
    taken = net.open("udp", net.b, 5000)
    flow = net.open("udp", net.a, 5000, net.servers[1])
    others = [net.open("udp", net.a, 5000, server) for server in (net.servers[0], net.servers[2])]
    only_its_peer(net, flow)
    wait(net, taken.touched, timeout / 2, "udp")
    check(flow.out() and flow.back(), "lost under a collision")
    wait(net, taken.touched, timeout + 2, "udp")
    others.append(net.open("udp", net.a, 5000, net.servers[0], SERVICE + 1))
    ports = [other.nat[1] for other in (flow, *others)]
    check(len(set(ports)) == 1, f"{len(set(ports))} ports to 3 servers, with a collision at one")
    only_its_peer(net, flow)
    return "1 port before, under and after"


@row(13)
def simultaneous_open(net):
    there = net.another()
    # Each has learnt its own NAT port from a server, and told the other one.
    here_nat, there_nat = net.open("tcp", net.a, 5000).nat, there.open("tcp", there.a, 6000).nat
    here, back = net.flow("tcp", net.a, 5000, *there_nat), there.flow("tcp", there.a, 6000, *here_nat)
    for flow, nat in ((here, here_nat), (back, there_nat)):
        check(flow.out("S") and flow.nat == nat, f"the SYN left by {name(flow.nat)}, not {name(nat)}")
    # Both SYNs are on the way now: each meets a NAT that has just sent its own.
    for flags in ("S", "SA", "A", "PA"):
        for flow, other in ((here, back), (back, here)):
            check(flags == "S" or flow.out(flags), f"{flags} was not let out")
            check(other.deliver(flow.last[OUT][1]), f"{flags} of the other side was not let in")
    return "connected"


@row(14, slow=True)
def unsolicited_syn(net):
    flow = net.open("tcp", net.a, 5000).establish()
    knock = net.inbound("tcp", (net.family.stranger, 9999), flow.nat, net.a)
    check(not knock.out("S"), "came in")
    begun = knock.tried
    check_silence(net, 0)
    for moment in (1, 3, 5.9):
        wait(net, begun, moment, "syn")
        knock.out("S")
        check_silence(net, moment)
    wait(net, begun, 7, "syn")
    check(not knock.out("S"), "came in")
    error = net.made_error(net.outside, knock.sent)
    refused = spelt(net.family, net.family.PORT_UNREACHABLE)
    check(error and net.family.error(error) == net.family.PORT_UNREACHABLE, f"no {refused} after 7 s")
    return f"silence, then {refused} for the SYN after 7 s"


@row(14)
def unsolicited_syn_answered(net):
    flow = net.open("tcp", net.a, 5000).establish()
    stranger = (net.family.stranger, 9999)
    knock = net.inbound("tcp", stranger, flow.nat, net.a)
    check(not knock.out("S"), "came in")
    check_silence(net, 0)
    call = net.flow("tcp", net.a, 5000, *stranger)
    check(call.out("S") and call.nat == flow.nat, "the outbound SYN left by another port")
    check(knock.out("S"), "the SYN was not let in afterwards")
    check(call.out("SA") and call.back("SA"), "no handshake")
    return "an outbound SYN opens it"


def check_silence(net, moment):
    answers = net.news(net.outside)
    names = ("RST" if TCP in answer and answer[TCP].flags.R else f"an answer ({l4(answer).name})" for answer in answers)
    check(not answers, f"{', '.join(names)} after {moment} s")
