import pytest, time
from collections import Counter
from scapy.layers.inet import IP, TCP
from topology import *
from wire import *
@pytest.mark.parametrize("n", range(3))
def test_x(host, n):
    a = host.add("a")
    cap, w = a.capture("eth0"), host.outside.capture("wan0")
    with mirror(host.outside, "tcp") as server:
        t=time.time()
        try:
            own = swarm(host, "host", "tcp", OUTSIDE_FAR, server.port, 300, first_port=20000)
            print("host", time.time()-t); t=time.time()
            s = swarm(a, "a", "tcp", OUTSIDE_FAR, server.port, 300, first_port=20000)
        except AssertionError as e: print(e)
        print("took", time.time()-t)
    print(host.json()["drops"], host.json()["connections"])
    time.sleep(0.5)
    syns = Counter(p[TCP].sport for p in cap.matching(lambda p: TCP in p and p[TCP].flags == "S"))
    bad = [p for p, c in syns.items() if c > 1]
    print("bad", bad)
    wsyn = Counter(p[TCP].sport for p in w.matching(lambda p: TCP in p and p[TCP].flags == "S"))
    wbad = [p for p, c in wsyn.items() if c > 1]
    print("wbad", wbad)
    for port in bad[:2]:
        for p in cap.matching(lambda p: TCP in p and port in (p[TCP].sport, p[TCP].dport)): print(p)
    for port in wbad[:2]:
        for p in w.matching(lambda p: TCP in p and port in (p[TCP].sport, p[TCP].dport)): print(p)
