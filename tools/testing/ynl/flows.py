# SPDX-License-Identifier: GPL-2.0
"""flows.py PART CLIENT ROUTER SERVER: traffic of every kind through ROUTER, packet by
packet, and what ctnetlink says of it there: events, dumps, answers. A line that begins
with `ok` or `not ok` judges; any other is a fact, to be the same with both modules.
"""

import os
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../selftests"))
sys.path.insert(0, HERE)
import agent  # noqa: E402
import client as nl  # noqa: E402
from client import EXP, TIMEOUT  # noqa: E402

part, C, R, S = sys.argv[1:5]
IPV4, IPV6 = 2, 10
OPTIONS = "opt=020405b4010303070402"  # largest segment, window scale 7, selective ACK


class Side:
    """One end of the flows of a family: hosts .9, whose packets the agent puts on the wire."""

    def __init__(self, family):
        self.family = family
        self.name = "ipv4" if family == IPV4 else "ipv6"
        self.left, self.right, self.router, self.outside = (
            ("10.0.1.9", "10.0.2.9", "10.0.1.1", "10.0.2.1") if family == IPV4 else
            ("2001:db8:1::9", "2001:db8:2::9", "2001:db8:1::1", "2001:db8:2::1"))
        self.icmp = (8, 0) if family == IPV4 else (128, 129)

    def go(self, kind, sport=None, dport=None, dst=None, **more):
        """A packet from the client's side."""
        self.put(C, "c0", "02:00:00:00:01:01", kind, self.left, dst or self.right, sport, dport, more)

    def back(self, kind, sport=None, dport=None, dst=None, **more):
        """A packet from the server's side; ports as the packet has them."""
        self.put(S, "s0", "02:00:00:00:02:01", kind, self.right, dst or self.left, sport, dport, more)

    @staticmethod
    def put(ns, dev, mac, kind, src, dst, sport, dport, more):
        words = [f"src={src}", f"dst={dst}"]
        words += [] if sport is None else [f"sport={sport}", f"dport={dport}"]
        words += [f"{key}={value}" for key, value in more.items() if key != "option"]
        agent.inject(ns, dev, mac, kind, *words, *([OPTIONS] if more.get("option") else []))


def tcp(side, sport, dport, steps, dst=None, back=None):
    """STEPS: `>FLAGS SEQ ACK [LENGTH]` or `<...`; DST: a router's address that leads to port 8081
    of the server; BACK: address and port that answers go to."""
    for step in steps:
        flags, seq, ack, *size = step[1:].split()
        more = {"flags": flags, "seq": seq, "ack": ack, "win": 2000, "option": "S" in flags}
        if size:
            more["len"] = size[0]
        if step[0] == ">":
            side.go("tcp", sport, dport, dst, **more)
        else:
            address, port = back or (side.left, sport)
            side.back("tcp", 8081 if dst else dport, port, address, **more)


def sctp(side, sport, dport, steps, dst=None, back=None):
    """STEPS: `>CHUNK TAG` or `<...`."""
    for step in steps:
        chunk, tag = step[1:].split()
        if step[0] == ">":
            side.go("sctp", sport, dport, dst, chunk=chunk, vtag=tag, itag=7)
        else:
            address, port = back or (side.left, sport)
            side.back("sctp", 8081 if dst else dport, port, address, chunk=chunk, vtag=tag, itag=9)


SHAKE = [">S 100 0", "<SA 500 101", ">A 101 501"]
TCP = (
    SHAKE[:1],
    [">S 100 0", ">S 100 0"],
    [">S 100 0", "<S 500 0"],
    SHAKE[:2],
    SHAKE,
    SHAKE + [">A 101 501 10", "<A 501 111 20", ">A 111 521"],
    SHAKE + [">A 101 501 10"] * 4,
    SHAKE + [">A 900000 501 10", "<R 900000 0"],
    SHAKE + [">FA 101 501"],
    SHAKE + [">FA 101 501", "<A 501 102"],
    SHAKE + [">FA 101 501", "<A 501 102", "<FA 501 102"],
    SHAKE + [">FA 101 501", "<A 501 102", "<FA 501 102", ">A 102 502"],
    SHAKE + [">FA 101 501", "<FA 501 102", ">A 102 502", ">S 70000 0"],
    SHAKE + ["<R 501 0"],
    [">S 100 0", "<RA 0 101"],
    SHAKE + [">S 4000 0", "<A 501 101", ">R 101 0"],
    [">A 1000 2000"],
    [">A 1000 2000", "<A 2000 1000 5", ">A 1000 2005"],
    [">SFA 1 1"],
)
# Chunks: 0 DATA, 1 INIT, 2 INIT ACK, 3 SACK, 4 HEARTBEAT, 5 its ACK, 6 ABORT, 7 SHUTDOWN, 8 its ACK,
# 10 COOKIE ECHO, 11 its ACK, 14 SHUTDOWN COMPLETE.
UP = [">1 0", "<2 7", ">10 9", "<11 7"]
SCTP = (
    UP[:1], UP[:2], UP[:3], UP,
    UP + [">0 9", "<3 7"],
    UP + [">7 9"],
    UP + ["<7 7"],
    UP + [">7 9", "<8 7"],
    UP + [">7 9", "<8 7", ">14 9"],
    UP + ["<6 7"],
    [">4 9"],
    [">4 9", "<5 7"],
)


# --- what is told

def key(line):
    """What an event is about: its first attribute, which is a connection's tuple."""
    return (re.search(r"type=(.)", line)[1], re.search(r"head=\S+ (.*?\}\})", line)[1])


def tell(what, lines):
    for line in lines:
        print(f"{what}: {line}")


def judge(what, good):
    print("ok" if good else "not ok", what)


def heard(what):
    """The events so far; the order counts within one connection."""
    tell(f"{what} event", sorted(listener.drain(), key=key))


def dumped(what):
    """The table and what is expected, and each entry once more by both of its tuples."""
    for name, family in (("ipv4", IPV4), ("ipv6", IPV6)):
        tell(f"{what} dump {name}", sorted(asker.tell(nl.GET, nl.DUMP, family)))
        tell(f"{what} expected {name}", sorted(asker.tell(nl.GET, nl.DUMP, family, subsys=EXP)))
    entries = asker.dump("get", {"nfgen-family": 0})
    judge(f"{what}: the specification's own dump has as many", len(entries) == len(asker.tell(nl.GET, nl.DUMP, 0)) - 1)
    answers = []
    for entry in entries:
        for way in ("tuple-orig", "tuple-reply"):
            attrs = {way: dict(entry[way])}
            zone = entry.get("zone", attrs[way].pop("tuple-zone", None))
            if zone is not None:
                attrs["zone"] = zone
            lines, _ = asker.ask(nl.GET, 0, entry["nfgen-family"], attrs)
            answers.append(" / ".join(lines))
    tell(f"{what} get", sorted(answers))


def flush():
    asker.tell(nl.DELETE, 0, 0)


def stats(what):
    tell(f"{what} stats", asker.ask(nl.STATS, 0, 0, answer=nl.RAW)[0])
    tell(f"{what} per CPU", asker.ask(nl.STATS_CPU, nl.DUMP, 0, answer="conntrack-stats-attrs", blind=True)[0])
    tell(f"{what} expectations per CPU", asker.ask(3, nl.DUMP, 0, subsys=EXP, answer=nl.RAW, blind=True)[0])
    for name, kind in (("dying", nl.DYING), ("unconfirmed", nl.UNCONFIRMED)):
        tell(f"{what} {name}", asker.ask(kind, nl.DUMP, 0)[0])


# --- the parts

def flows():
    for side in (Side(IPV4), Side(IPV6)):
        name = side.name
        for at, steps in enumerate(TCP):
            tcp(side, 1000 + at, 80, steps)
        heard(f"tcp {name}")
        dumped(f"tcp {name}")
        flush()
        heard(f"tcp {name} flushed")
        tcp(side, 1100, 8080, SHAKE)
        for port in (53, 7000, 7001, 7005, 7006, 3000, 4000, 5000, 65000, 7777):
            side.go("udp", 2000, port, len=port % 50)
        for port in (53, 3000):
            side.back("udp", port, 2000, len=9)
        side.go("udp", 2001, 54)
        side.back("udp", 54, 2001)
        side.go("udp", 2001, 54)
        heard(f"udp {name}")
        dumped(f"udp {name}")
        flush()
        heard(f"udp {name} flushed")
        for at, steps in enumerate(SCTP):
            sctp(side, 3000 + at, 90, steps)
        heard(f"sctp {name}")
        dumped(f"sctp {name}")
        flush()
        request, reply = side.icmp
        side.go("icmp", type=request, id=77)
        side.go("icmp", type=request, id=78)
        side.back("icmp", type=reply, id=78)
        if side.family == IPV4:
            for number, kind in enumerate((13, 15, 17)):
                side.go("icmp", type=kind, id=79 + number)
        side.go("gre", key=5)
        side.go("gre", key=6)
        side.back("gre", key=6)
        side.go("gre", ver=0, gproto=0x800, key=9)
        for proto in (33, 41, 50, 89, 103, 115, 136, 253, 255):
            side.go("ip", proto=proto, len=40)
        side.back("ip", proto=253, len=50)
        heard(f"other {name}")
        dumped(f"other {name}")
        flush()
        heard(f"other {name} flushed")
    stats("flows")


def control(side, to):
    """A connection to port 21, as a function that says a line on it: `>` the client, `<` the server."""
    tcp(side, 4000, 21, SHAKE, back=(to, 4000))
    at = {">": 101, "<": 501}

    def say(way, text):
        data = (text + "\r\n").encode()
        numbers = {"flags": "PA", "win": 2000, "seq": at[way], "ack": at["<" if way == ">" else ">"], "data": data.hex()}
        if way == ">":
            side.go("tcp", 4000, 21, **numbers)
        else:
            side.back("tcp", 21, 4000, to, **numbers)
        at[way] += len(data)
    return say


def helpers(translated=False):
    """A control connection, what it makes expected, and what was expected; TFTP; an expectation by rule."""
    for side in (Side(IPV4), Side(IPV6)):
        name = side.name
        to = side.outside if translated else side.left
        say = control(side, to)
        passive, active = ("227 Entering Passive Mode (10,0,2,9,156,{})", "PORT 10,0,1,9,156,65") if side.family == IPV4 \
            else ("229 Extended Passive Mode OK (|||{}|)", f"EPRT |2|{side.left}|40001|")
        port = (lambda last: last) if side.family == IPV4 else (lambda last: 39936 + last)
        say("<", "220 hello")
        say(">", "USER me")
        say("<", passive.format(port(64)))
        heard(f"ftp {name}")
        dumped(f"ftp {name}")
        tcp(side, 4001, 40000, SHAKE)
        say(">", active)
        heard(f"ftp data {name}")
        dumped(f"ftp data {name}")
        side.back("tcp", 20, 40001, to, flags="S", seq=9, win=2000)
        side.go("tcp", 40001, 20, flags="SA", seq=99, ack=10, win=2000)
        say("<", passive.format(port(66)))
        side.go("udp", 4100, 69, data="0001" + b"file\0octet\0".hex())
        side.back("udp", 5000, 4100, to, len=20)
        side.go("udp", 4101, 69, data="0001" + b"other\0octet\0".hex())
        heard(f"related {name}")
        dumped(f"related {name}")
        if side.family == IPV4 and not translated:
            tcp(side, 4200, 8888, SHAKE)
            dumped("by rule")
            tcp(side, 4201, 9876, SHAKE)
            heard("by rule")
            dumped("by rule, used")
        flush()
        heard(f"related {name} flushed")
    stats("helpers")


def nat():
    for side in (Side(IPV4), Side(IPV6)):
        tcp(side, 5000, 80, SHAKE, dst=side.router)
        tcp(side, 5001, 90, SHAKE, back=(side.outside, 2000))
        tcp(side, 5002, 91, SHAKE + [">A 101 501 10"], back=(side.outside, 5002))
        tcp(side, 5003, 92, SHAKE)
        side.go("udp", 5000, 80, side.router)
        side.back("udp", 8081, 5000)
        side.go("udp", 5001, 90)
        side.back("udp", 90, 2000, side.outside)
        side.go("udp", 5002, 91)
        side.go("udp", 5003, 2222)
        sctp(side, 5000, 80, UP, dst=side.router)
        sctp(side, 5001, 90, UP, back=(side.outside, 2000))
        request, reply = side.icmp
        side.go("icmp", type=request, id=88)
        side.back("icmp", dst=side.outside, type=reply, id=88)
        side.go("gre", key=5)
        heard(side.name)
        dumped(side.name)
        flush()
        heard(f"{side.name} flushed")
    helpers(translated=True)


def tuples(side, proto, **numbers):
    """The two tuples of a connection."""
    src, dst = ("ip-v4-src", "ip-v4-dst") if side.family == IPV4 else ("ip-v6-src", "ip-v6-dst")
    swapped = {"proto-src-port": "proto-dst-port", "proto-dst-port": "proto-src-port"}
    back = {k: numbers[swapped.get(k, k)] for k in numbers}
    for kind in ("proto-icmp-type", "proto-icmpv6-type"):
        if kind in back:
            back[kind] = {8: 0, 13: 14, 15: 16, 17: 18, 128: 129}.get(back[kind], back[kind])
    return {
        "tuple-orig": {"tuple-ip": {src: side.left, dst: side.right}, "tuple-proto": {"proto-num": proto, **numbers}},
        "tuple-reply": {"tuple-ip": {src: side.right, dst: side.left}, "tuple-proto": {"proto-num": proto, **back}},
    }


def ports(a, b):
    return {"proto-src-port": a, "proto-dst-port": b}


def cases(side):
    """Entries to ask for: protocol, ports, other attributes."""
    seen, flags, long = 0xE, {"flags": 0x0A, "mask": 0x0A}, {"timeout": 600}
    adjusted = {"correction-pos": 1, "offset-before": 2, "offset-after": 0xFFFFFFFA}

    def info(**values):
        return {**long, "protoinfo": {"protoinfo-tcp": {k.replace("_", "-"): v for k, v in values.items()}}}
    made = {
        "plain": (17, ports(1, 2), {}),
        "timeout": (17, ports(2, 2), long),
        "mark": (17, ports(3, 2), {**long, "mark": 0x12345678}),
        "status": (17, ports(4, 2), {**long, "status": seen}),
        "fixed": (17, ports(5, 2), {**long, "status": 0x40A}),
        "zone": (17, ports(6, 2), {**long, "zone": 7}),
        "labels": (17, ports(7, 2), {**long, "labels": "01" * 16}),
        "some labels": (17, ports(8, 2), {**long, "labels": "ff" * 16, "labels-mask": "0f" * 16}),
        "short labels": (17, ports(8, 3), {**long, "labels": "ff" * 4}),
        "odd labels": (17, ports(8, 4), {**long, "labels": "ff" * 3}),
        "tcp": (6, ports(9, 2), info(tcp_state=3)),
        "tcp all": (6, ports(10, 2), {"status": seen, **info(
            tcp_state=3, tcp_wscale_original=7, tcp_wscale_reply=9, tcp_flags_original=flags, tcp_flags_reply=flags)}),
        "tcp no info": (6, ports(11, 2), long),
        "tcp state": (6, ports(12, 2), info(tcp_state=200)),
        "tcp empty": (6, ports(13, 2), {**long, "protoinfo": {}}),
        "tcp wide": (6, ports(14, 2), info(tcp_state=3, tcp_wscale_original=200, tcp_wscale_reply=15)),
        "sctp": (132, ports(15, 2), {**long, "protoinfo": {"protoinfo-sctp": {
            "sctp-state": 4, "vtag-original": 0x11223344, "vtag-reply": 0x55667788}}}),
        "sctp half": (132, ports(16, 2), {**long, "protoinfo": {"protoinfo-sctp": {"sctp-state": 4}}}),
        "gre": (47, ports(17, 18), long),
        "seqadj": (6, ports(19, 2), {**long, "status": 0x4E, "seq-adj-orig": adjusted, "seq-adj-reply": adjusted}),
        "synproxy": (6, ports(20, 2), {**long, "synproxy": {"isn": 1, "its": 2, "tsoff": 3}}),
        "helper": (6, ports(21, 21), {**long, "help": {"help-name": "ftp"}}),
        "wrong helper": (6, ports(22, 21), {**long, "help": {"help-name": "nosuch"}}),
        "udplite": (136, ports(23, 2), long),
        "dccp": (33, ports(24, 2), long),
        "generic": (253, {}, long),
        "master": (17, ports(25, 2), {**long, "tuple-master": tuples(side, 17, **ports(3, 2))["tuple-orig"]}),
    }
    if side.family == IPV4:
        for kind in (8, 13, 3):
            made[f"icmp {kind}"] = (1, {"proto-icmp-id": 9, "proto-icmp-type": kind, "proto-icmp-code": 0}, long)
    else:
        for kind in (128, 1):
            made[f"icmp {kind}"] = (58, {"proto-icmpv6-id": 9, "proto-icmpv6-type": kind, "proto-icmpv6-code": 0}, long)
    return made


def translations(side):
    address = {"nat-v4-minip": 0x0A000901, "nat-v4-maxip": 0x0A000901} if side.family == IPV4 else \
        {f"nat-v6-{end}ip": "20010db8000900000000000000000001" for end in ("min", "max")}
    port = {**address, "nat-proto": {"nat-port-min": 3333, "nat-port-max": 3333}}
    long = {"timeout": 600}
    return {
        "source": (17, ports(1, 2), {**long, "nat-src": address}),
        "source port": (17, ports(2, 2), {**long, "nat-src": port}),
        "destination": (6, ports(3, 2), {**long, "nat-dst": address}),
        "both": (6, ports(4, 2), {**long, "nat-src": port, "nat-dst": port}),
        "nothing": (6, ports(5, 2), {**long, "nat-src": {}}),
        "sctp": (132, ports(6, 2), {**long, "nat-src": port}),
        "generic": (253, {}, {**long, "nat-src": port}),
    }


def requests(translated=False):
    """Entries and expectations made, changed, found and removed by messages; answers and echoes."""
    for side in (Side(IPV4), Side(IPV6)):
        name = side.name

        def ask(what, kind, flags, attrs):
            tell(f"{what} {name}", asker.ask(kind, flags, side.family, attrs)[0])
        for case, (proto, numbers, attrs) in (translations if translated else cases)(side).items():
            both = tuples(side, proto, **numbers)
            zone = {"zone": attrs["zone"]} if "zone" in attrs else {}
            ask(f"{case} new", nl.NEW, nl.CREATE | nl.EXCL | nl.ECHO, {**both, **attrs})
            ask(f"{case} again", nl.NEW, nl.CREATE | nl.EXCL, {**both, **attrs})
            for way, both_way in both.items():
                ask(f"{case} get", nl.GET, 0, {way: both_way, **zone})
            ask(f"{case} change", nl.NEW, nl.ECHO, {**both, **zone, "timeout": 700, "mark": 9})
            ask(f"{case} mark", nl.NEW, 0, {**both, **zone, "mark": 0xF0, "mark-mask": 0xFF})
            for bits in (0x2, 0xE, 0x0):
                ask(f"{case} status {bits:x}", nl.NEW, 0, {**both, **zone, "status": bits})
        heard(f"made {name}")
        if not translated:
            filters(side)
            expectations(side)
        dumped(f"made {name}")
        gone = tuples(side, 17, **ports(1, 2))["tuple-orig"]
        ask("delete by a wrong id", nl.DELETE, 0, {"tuple-orig": gone, "id": 1})
        ask("delete", nl.DELETE, nl.ECHO, {"tuple-orig": gone})
        ask("delete again", nl.DELETE, 0, {"tuple-orig": gone})
        ask("delete by mark", nl.DELETE, 0, {"mark": 0xF9, "mark-mask": 0xFF})
        heard(f"deleted {name}")
        tell("zero counters", sorted(asker.ask(nl.GET_CTRZERO, nl.DUMP, side.family)[0]))
        # What is over goes when somebody looks, and is reported.
        brief = tuples(side, 17, **ports(900, 2))
        asker.tell(nl.NEW, nl.CREATE | nl.EXCL, side.family, {**brief, "timeout": 1})
        heard(f"brief {name}")
        time.sleep(1.5)
        asker.tell(nl.GET, nl.DUMP, side.family)
        heard(f"expired {name}")
        flush()
        heard(f"flushed {name}")


def filters(side):
    """Dumps of some entries."""
    wanted = {
        "mark": {"mark": 9, "mark-mask": 0xFF}, "mark zero": {"mark": 0, "mark-mask": 0xFF},
        "status": {"status": 4, "status-mask": 4}, "not status": {"status": 0, "status-mask": 4},
        "zone": {"zone": 7}, "no zone": {"zone": 9},
    }
    icmp, version, bits = (1, "", (0x48, 0x88, 0x108)) if side.family == IPV4 else (58, "v6", (0x208, 0x408, 0x808))
    echo = {f"proto-icmp{version}-id": 9, f"proto-icmp{version}-type": side.icmp[0], f"proto-icmp{version}-code": 0}
    for both, all_bits in ((tuples(side, 6, **ports(9, 2)), (0x1, 0x3, 0x4, 0x8, 0x10, 0x18, 0x1F, 0x28, 0x38, 0x3FF, 0xFFF, 0x8000)),
                           (tuples(side, icmp, **echo), (*bits, 0x8 | sum(bits), 0xFFF))):
        for bit in all_bits:
            for way, flags in (("tuple-orig", (bit, 0)), ("tuple-reply", (0, bit))):
                proto = both[way]["tuple-proto"]["proto-num"]
                wanted[f"{way} {proto} {bit:x}"] = {way: both[way], "filter": {"orig-flags": flags[0], "reply-flags": flags[1]}}
    for what, attrs in wanted.items():
        tell(f"filter {what} {side.name}", sorted(asker.ask(nl.GET, nl.DUMP, side.family, attrs)[0]))


def expectations(side):
    """Expectations of the entry that has a helper."""
    master = tuples(side, 6, **ports(21, 21))["tuple-orig"]

    def ask(what, kind, flags, attrs):
        tell(f"{what} {side.name}", sorted(asker.ask(kind, flags, side.family, attrs, subsys=EXP)[0]))
    everything = 0xFFFFFFFF if side.family == IPV4 else "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    for number, extra in enumerate(({}, {"class": 0}, {"class": 9}, {"flags": 1}, {"flags": 7}, {"zone": 0}, {"zone": 3},
                                    {"help-name": "ftp"}, {"help-name": "nosuch"}, {"fn": "nat-follow-master"}, {"fn": "nosuch"},
                                    {"timeout": 0})):
        wanted = tuples(side, 6, **ports(0, 7000 + number))["tuple-orig"]
        mask = {"tuple-ip": dict.fromkeys(wanted["tuple-ip"], everything),
                "tuple-proto": {"proto-num": 0xFF, "proto-src-port": 0, "proto-dst-port": 0xFFFF}}
        attrs = {"master": master, "tuple": wanted, "mask": mask, "timeout": 300, **extra}
        what = f"expectation {number}"
        ask(f"{what} new", nl.NEW, nl.CREATE | nl.EXCL | nl.ECHO, attrs)
        ask(f"{what} again", nl.NEW, nl.CREATE | nl.EXCL, attrs)
        ask(f"{what} change", nl.NEW, 0, attrs)
        ask(f"{what} get", nl.GET, 0, {"tuple": wanted})
        ask(f"{what} of the master", nl.GET, nl.DUMP, {"master": master})
    ask("all", nl.GET, nl.DUMP, {})
    heard(f"expectations {side.name}")
    ask("deleted", nl.DELETE, nl.ECHO, {"tuple": tuples(side, 6, **ports(0, 7000))["tuple-orig"]})
    ask("a helper's deleted", nl.DELETE, 0, {"help-name": "ftp"})
    heard(f"expectations {side.name} deleted")


def plain(kind, payload):
    size = 4 + len(payload)
    return size.to_bytes(2, "little") + kind.to_bytes(2, "little") + payload + b"\0" * (-size % 4)


def policies():
    """Timeout policies: what each tracker makes of the values, and its defaults."""
    def ask(what, kind, flags, family, *attrs):
        body = b"".join(plain(k, v) for k, v in attrs)
        tell(what, asker.ask(kind, flags, family, body=body, subsys=TIMEOUT, answer=nl.RAW)[0])

    def values(*pairs):
        return 4 | nl.NESTED, b"".join(plain(i, n.to_bytes(4, "big")) for i, n in pairs)
    name = (1, b"it\0")
    for family in (IPV4, IPV6):
        for number in (1, 6, 17, 33, 47, 58, 132, 136, 253, 255, 0):
            head = (2, family.to_bytes(2, "big")), (3, bytes([number]))
            what = f"{family} {number}"
            ask(f"{what} defaults", 4, 0, family, *head)
            for count in (3, 14):
                data = values(*((i, 10 + i) for i in range(1, count + 1)))
                ask(f"{what} new, {count} values", 0, nl.CREATE | nl.EXCL, family, name, *head, data)
                ask(f"{what} get", 1, 0, family, name)
                ask(f"{what} listed", 1, nl.DUMP, family)
                ask(f"{what} changed", 0, 0, family, name, *head, values((1, 99)))
                ask(f"{what} get", 1, 0, family, name)
                ask(f"{what} delete", 2, 0, family, name)
            ask(f"{what} set defaults", 3, 0, family, *head, values((1, 77)))
            ask(f"{what} defaults then", 4, 0, family, *head)


agent.enter(R)
listener, asker = nl.Listener(), nl.Client()
flush()
listener.drain()
PARTS = {"flows": flows, "helpers": helpers, "requests": requests, "policies": policies, "nat": nat}
if part == "requests-nat":
    requests(translated=True)
else:
    PARTS[part.split("-")[0]]()
flush()
