# SPDX-License-Identifier: GPL-2.0-only
"""The state that a TCP connection is in after what its sides have sent, and which timeout counts then.

RFC 5382 REQ-2 and 5, RFC 7857 section 2; RFC 9293 and 5961 for what both sides may send.
"""
import time

import pytest
from bpf import SHOT
from flows import SERVERS, first_packet, open_flow
from rig import CONN_STATES, expect_untouched
from scapy.layers.inet import TCP
from tcp_talk import OPEN, WAYS, Talk
from topology import OUTSIDE_FAR, wait_for

LONG = 600
SCALED = "> S 0 ws=7; < SA 0 1 ws=7; > A 1 1; "
CLOSED = OPEN + "> FA 1 1; < FA 1 2; > A 2 2; "

OPENING = {
    "a SYN": ("> S 0", "syn"),
    "a SYN again": ("> S 0; > S 0; > S 0", "syn"),
    "a SYN with data": ("> S 0 +100; < SA 0 101; > A 101 1", "established"),
    "answered": ("> S 0; < SA 0 1", "syn"),
    "answered twice": ("> S 0; < SA 0 1; < SA 0 1", "syn"),
    "handshake": (OPEN, "established"),
    "handshake that ends with data": ("> S 0; < SA 0 1; > PA 1 1 +10", "established"),
    "its last ACK again": (OPEN + "> A 1 1; > A 1 1", "established"),
    "simultaneous": ("> S 0; < S 0; > SA 0 1; < SA 0 1", "established"),
    "half of a simultaneous one": ("> S 0; < S 0", "syn"),
    "refused": ("> S 0; < RA 0 1", "reset"),
    "refused by a reset without ACK": ("> S 0; < R 0", "reset"),
    "refused by a router's idea of a number": ("> S 0; < RA 77777 1", "reset"),
    "given up": ("> S 0; < SA 0 1; > R 1", "reset"),
    "an old SYN-ACK": ("> S 0; < SA 7000 -500; > R -500", "reset"),
    "an old SYN-ACK, and on": ("> S 0; < SA 7000 -500; > R -500; > S 0; < SA 0 1; > A 1 1", "established"),
    "no flags at all": (OPEN + "> - 1; < - 1", "established"),
}
ADOPTED = {
    "by the endpoint": ("> A 1 1", "syn"),
    "and answered": ("> PA 1 1 +10; < A 1 11", "established"),
    "by its FIN": ("> FA 1 1; < A 1 2", "fin"),
    "by its SYN-ACK": ("> SA 0 1; < A 1 1", "established"),
    "and reset": ("> A 1 1; < A 1 1; < R 1", "reset"),
    "and reset out of its window": ("> A 1 1; < A 1 1; < R -70000", "established"),
}
CLOSING = {
    "by the client": (OPEN + "> FA 1 1; < A 1 2", "fin"),
    "by the server": (OPEN + "< FA 1 1; > A 1 2", "fin"),
    "FIN again": (OPEN + "> FA 1 1; > FA 1 1", "fin"),
    "half-closed, and the other half goes on": (OPEN + "> FA 1 1; < A 1 2; < PA 1 2 +500; > A 2 501", "fin"),
    "both": (CLOSED, "closing"),
    "both, the server first": (OPEN + "< FA 1 1; > FA 1 2; < A 2 2", "closing"),
    "both at once": (OPEN + "> FA 1 1; < FA 1 1; > A 2 2; < A 2 2", "closing"),
    "last ACK again": (CLOSED + "> A 2 2; < A 2 2", "closing"),
    "FIN again after the close": (CLOSED + "< FA 1 2; > A 2 2", "closing"),
    "data again after the close": (CLOSED + "< PA 0 2 +1; > A 2 2", "closing"),
    "reset after the close": (CLOSED + "> R 2", "reset"),
    "before it was open": ("> S 0; > FA 1 1", "fin"),
}
# A side's window begins where it has acknowledged; here it is 1000, as the client's ACK or the server's SYN-ACK say.
RESETS = {
    "by the server": (OPEN + "< R 1", "reset"),
    "by the server, with ACK": (OPEN + "< RA 1 1", "reset"),
    "by the client": (OPEN + "> R 1", "reset"),
    "inside the window": (OPEN + "< R 500", "reset"),
    "at the window's last byte": (OPEN + "< R 1000", "reset"),
    "behind the window": (OPEN + "< R 1002", "established"),
    "far behind": (OPEN + "< R 1000000", "established"),
    "before the window": (OPEN + "< R 0", "established"),
    "long before": (OPEN + "< R -1000000", "established"),
    "half the world away": (OPEN + "< R 2147483649", "established"),
    "by the client, behind the window": (OPEN + "> R 1002", "established"),
    "by the client, before the window": (OPEN + "> R 0", "established"),
    "the window moves on": (OPEN + "< PA 1 1 +800; > A 1 801; < R 1500", "reset"),
    "and leaves what was in it behind": (OPEN + "< PA 1 1 +800; > A 1 801; < R 500", "established"),
    "an old ACK moves nothing back": (OPEN + "< PA 1 1 +800; > A 1 801; > A 1 1; < R 500", "established"),
    "no window": ("> S 0 win=0; < SA 0 1 win=0; > A 1 1 win=0; < R 1", "reset"),
    "no window, and behind it": ("> S 0 win=0; < SA 0 1 win=0; > A 1 1 win=0; < R 2", "established"),
    "scaled": (SCALED + "< R 127000", "reset"),
    "scaled, by the client": (SCALED + "< A 1 1; > R 127000", "reset"),
    "scaled, and behind": (SCALED + "< R 128002", "established"),
    "scaled, whatever a SYN of the other side says": (SCALED + "< S 7777; > A 1 100001; < R 220000", "reset"),
    "scaled, whatever a SYN of its own says": (SCALED + "> S 7777 ws=14; > A 1 2; < R 1000000", "established"),
    "one side alone scales nothing": ("> S 0 ws=7; < SA 0 1; > A 1 1; < R 5000", "established"),
    "nor the other one": ("> S 0; < SA 0 1 ws=7; > A 1 1; < A 1 1; > R 5000", "established"),
    "a SYN-ACK's own window is not scaled": ("> S 0 ws=7; < SA 0 1 ws=7; > R 5000", "syn"),
    "of the largest scale": ("> S 0 ws=14; < SA 0 1 ws=14; > A 1 1 win=65535; < R 1073000000", "reset"),
    "while half-closed": (OPEN + "> FA 1 1; < A 1 2; < R 1", "reset"),
    "behind the window while half-closed": (OPEN + "> FA 1 1; < A 1 2; < R 5000", "fin"),
}
REVIVALS = {
    "by the one that was reset": (OPEN + "< R 1; > PA 1 1 +10", "established"),
    "by the one that reset it": (OPEN + "< R 1; < PA 1 1 +10", "established"),
    "by an ACK of the one that reset it": (OPEN + "< R 1; < A 1 1", "established"),
    "by the client that reset it": (OPEN + "> R 1; > A 1 1", "established"),
    "by the server that was reset": (OPEN + "> R 1; < PA 1 1 +10", "established"),
    "to where it was": (OPEN + "> FA 1 1; < A 1 2; < R 1; < PA 1 2 +10", "fin"),
    "not by an ACK of the other side": (OPEN + "< R 1; > A 1 1", "reset"),
    "not by a RST": (OPEN + "< R 1; < R 1; > R 1", "reset"),
    "and reset again": (OPEN + "< R 1; > PA 1 1 +10; < R 1", "reset"),
}
ANEW = {
    "after the close": (CLOSED + "> S 5000", "syn"),
    "after the close, all of it": (CLOSED + "> S 5000; < SA 9000 5001; > A 5001 9001", "established"),
    "after a reset": (OPEN + "< R 1; > S 5000; < SA 9000 5001; > A 5001 9001", "established"),
    "after a refusal": ("> S 0; < RA 0 1; > S 5000; < SA 9000 5001; > A 5001 9001", "established"),
    "its windows, too": (CLOSED + "> S 50000; < SA 90000 50001; > A 50001 90001; < R 90001", "reset"),
    "without the old windows": (CLOSED + "> S 50000; < SA 90000 50001; > A 50001 90001; < R 3", "established"),
    "its scale, too": (SCALED + "> FA 1 1; < FA 1 2; > S 500000; < SA 900000 500001; > A 500001 900001; < R 950000",
                       "established"),
    "closed anew": (CLOSED + "> S 5000; < SA 9000 5001; > A 5001 9001; > FA 5001 9001; < A 9001 5002", "fin"),
    "not by the other side's SYN": (CLOSED + "< S 9000", "closing"),
    "not by a SYN-ACK": (CLOSED + "> SA 5000 1", "closing"),
    "not while it is established": (OPEN + "> S 5000", "established"),
    "a challenge ACK": (OPEN + "> S 5000; < A 1 1", "established"),
    "a challenge ACK's RST": (OPEN + "> S 5000; < A 1 1; > R 1", "reset"),
    "a challenge ACK's RST, and on": (OPEN + "> S 5000; < A 1 1; > R 1; > S 5000; < SA 9000 5001; > A 5001 9001",
                                      "established"),
    "not while it is half-closed": (OPEN + "> FA 1 1; < A 1 2; > S 5000", "fin"),
}
TALKS = {f"{group}: {name}": row for group, rows in
         {"opening": OPENING, "adopted": ADOPTED, "closing": CLOSING, "reset": RESETS, "revived": REVIVALS,
          "anew": ANEW}.items() for name, row in rows.items()}


@pytest.fixture(autouse=True)
def long_timeouts(rig):
    rig.set_timeouts(**dict.fromkeys(CONN_STATES, LONG))
    yield
    rig.set_second()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("began", [(1000, 2000), (0xffffff00, 0xfffffffe)], ids=["", "wrapping"])
@pytest.mark.parametrize("name", TALKS)
def test_state(rig, state, name, began, way):
    script, wanted = TALKS[name]
    if name.startswith("adopted") and way != "masqueraded":
        pytest.skip("only what an endpoint sends to the outside is adopted")
    talk = Talk(rig, way, began).play(script)
    assert state.tcp_state(state.entry(*talk.key)) == wanted


@pytest.mark.parametrize("wanted", CONN_STATES[:5])
def test_ends_by_the_timeout_of_its_state(rig, state, wanted):
    rig.set_second(300)
    # What becomes established is looked at again when its SYN would have timed out, or its reset.
    sooner = ("syn", "closing", "reset") if wanted == "established" else ()
    rig.set_timeouts(**dict.fromkeys((wanted, *sooner), 1))
    talks = [Talk(rig).play(script) for script, outcome in TALKS.values() if outcome == wanted]
    wait_for(lambda: not [talk.key for talk in talks if state.entry(*talk.key)], 3)


@pytest.mark.parametrize("wanted", CONN_STATES[:5])
def test_ends_by_no_other_timeout(rig, state, wanted):
    rig.set_second(300)
    rig.set_timeouts(**{name: LONG if name == wanted else 1 for name in CONN_STATES})
    talks = {name: Talk(rig).play(script) for name, (script, outcome) in TALKS.items() if outcome == wanted}
    time.sleep(0.7)  # nothing to poll for: what should not happen has no event
    assert not [name for name, talk in talks.items() if not state.entry(*talk.key)]


def test_pitfall_cilium_11742_one_reset_does_not_leave_hours(rig, state):
    """Of either side: the other one has nothing more to send, so nothing else would ever close it."""
    rig.set_second(300)
    rig.set_timeouts(reset=1)
    talks = [Talk(rig).play(OPEN + step) for step in ("< R 1", "> R 1", "> FA 1 1; < A 1 2; < R 1")]
    wait_for(lambda: not [talk.key for talk in talks if state.entry(*talk.key)], 3)


@pytest.mark.parametrize("ending", ["> FA 1 1; < FA 1 2; > A 2 2", "< R 1", "> R 1"])
def test_pitfall_cilium_28939_a_tuple_is_used_again(rig, state, ending):
    """The same ports at once: the new connection lives as long as any, not as short as the old one had left."""
    rig.set_second(300)
    rig.set_timeouts(closing=1, reset=1)
    talk = Talk(rig).play(OPEN + ending + "; > S 5000; < SA 9000 5001; > A 5001 9001")
    time.sleep(0.7)
    assert state.entry(*talk.key)
    talk.play("> A 5001 9001; < A 9001 5001")


@pytest.mark.parametrize("ending", ["> FA 1 1; < FA 1 2; > A 2 2", "< R 1"])
def test_anew_with_the_same_nat_port(rig, state, ending):
    """Under collision as well, where the NAT port is not the client's own."""
    port = rig.port()
    open_flow(rig, rig.b, "tcp", port)
    chosen = open_flow(rig, rig.a, "tcp", port)
    for flags in ("A", "FA"):
        assert open_flow(rig, rig.a, "tcp", port, flags=flags) == chosen
        rig.from_uplink(rig.arrived() / TCP(sport=SERVERS[0][1], dport=chosen, flags=flags, seq=7, ack=8))
    assert state.tcp_state(state.entry(rig.a.address, OUTSIDE_FAR, port, SERVERS[0][1], "tcp")) == "closing"
    assert open_flow(rig, rig.a, "tcp", port) == chosen
    assert state.tcp_state(state.entry(rig.a.address, OUTSIDE_FAR, port, SERVERS[0][1], "tcp")) == "syn"


@pytest.mark.parametrize("flags", ["A", "PA", "SA", "FA"])
def test_mid_flow_from_outside_is_the_hosts(rig, flags):
    """Whose RST says so: nothing stalls in silence. An exposed port's, too."""
    for port in (rig.port(), 5000):
        packet = rig.arrived() / TCP(sport=rig.port(), dport=port, flags=flags, seq=7, ack=9)
        expect_untouched(rig.from_uplink(packet), packet)


@pytest.mark.parametrize("flags", ["R", "RA"])
def test_a_reset_opens_nothing(rig, state, flags):
    before = state.usage()
    with rig.dropped("untracked"):
        assert rig.from_endpoint(rig.a, first_packet(rig, rig.a, "tcp", rig.port(), flags=flags))[0] == SHOT
    assert state.usage() == before


def test_the_maps_agree(state):
    state.check()
