#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends ctnetlink and cttimeout messages that are wrong in every way.

For each request there is one right message, as a tree of attributes. Each
attribute in turn is left out, shortened, lengthened, set to extremes, given
twice, or stripped of its nesting flag; the answer (errno) is printed. Then come
broken headers and messages with random bytes changed, from a fixed seed. One
line of output for each attribute, so that two runs can be compared by diff.
"""

import errno
import random
import socket
import struct
import sys

NETLINK_NETFILTER = 12
REQUEST, ACK, DUMP, CREATE, EXCL, REPLACE = 1, 4, 0x300, 0x400, 0x200, 0x100
CT, EXP, TIMEOUT = 1, 2, 8
NEW, GET, DELETE, GET_CTRZERO, STATS_CPU, STATS, DYING, UNCONFIRMED = range(8)
AF_INET, AF_INET6 = 2, 10
NESTED = 0x8000


class Link:
    def __init__(self):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.sock.bind((0, 0))
        self.sock.settimeout(5)
        self.seq = 0

    def raw(self, data):
        """Sends DATA as it is; the answer's name and how many messages came with it."""
        self.sock.send(data)
        return self.answer()

    def answer(self, dump=False):
        count = 0
        while True:
            try:
                data = self.sock.recv(1 << 20)
            except TimeoutError:
                return "silence", count
            while len(data) >= 16:
                size, kind, flags = struct.unpack("=IHH", data[:8])
                if kind == 2:
                    code = -struct.unpack("=i", data[16:20])[0]
                    return ("0" if code == 0 else errno.errorcode.get(code, str(code))), count
                if kind == 3:
                    code = -struct.unpack("=i", data[16:20])[0] if size >= 20 else 0
                    return ("0" if code == 0 else errno.errorcode.get(code, str(code))), count
                count += 1
                data = data[(size + 3) & ~3:]

    def message(self, subsys, kind, flags, family, body, version=0, res=0):
        self.seq += 1
        return struct.pack("=IHHII", 20 + len(body), subsys << 8 | kind, flags, self.seq, 0) + \
            struct.pack("!BBH", family, version, res) + body

    def request(self, subsys, kind, flags, family, attrs, **more):
        return self.raw(self.message(subsys, kind, REQUEST | ACK | flags, family, pack(attrs), **more))


def attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def pack(attrs):
    """ATTRS: list of [type, bytes or list of attributes]."""
    out = b""
    for kind, value in attrs:
        out += attr(kind | NESTED, pack(value)) if isinstance(value, list) else attr(kind, value)
    return out


def be16(n):
    return struct.pack("!H", n)


def be32(n):
    return struct.pack("!I", n)


# The two families' addresses: documentation ranges.
ADDR = {
    AF_INET: ([1, bytes([192, 0, 2, 1])], [2, bytes([192, 0, 2, 2])]),
    AF_INET6: ([3, bytes.fromhex("20010db8000000000000000000000001")],
               [4, bytes.fromhex("20010db8000000000000000000000002")]),
}


def swap(family):
    (a, src), (b, dst) = ADDR[family]
    return [[a, dst], [b, src]]


def ports(num, a, b):
    return [[1, bytes([num])], [2, be16(a)], [3, be16(b)]], [[1, bytes([num])], [2, be16(b)], [3, be16(a)]]


PROTOS = {
    "udp": (AF_INET, ports(17, 1000, 2000), None),
    "udp6": (AF_INET6, ports(17, 1000, 2000), None),
    "tcp": (AF_INET, ports(6, 1000, 2000),
            [1, [[1, b"\3"], [2, b"\7"], [3, b"\7"], [4, b"\x0a\x0a"], [5, b"\x0a\x0a"]]]),
    "icmp": (AF_INET, ([[1, b"\1"], [4, be16(7)], [5, b"\x08"], [6, b"\0"]],
                       [[1, b"\1"], [4, be16(7)], [5, b"\0"], [6, b"\0"]]), None),
    "icmpv6": (AF_INET6, ([[1, b"\x3a"], [7, be16(7)], [8, b"\x80"], [9, b"\0"]],
                          [[1, b"\x3a"], [7, be16(7)], [8, b"\x81"], [9, b"\0"]]), None),
    "sctp": (AF_INET, ports(132, 1000, 2000), [3, [[1, b"\3"], [2, be32(10)], [3, be32(11)]]]),
    "gre": (AF_INET, ports(47, 5, 6), None),
    "other": (AF_INET, ([[1, b"\xfd"]], [[1, b"\xfd"]]), None),
}


def tuples(proto):
    family, (there, back), info = PROTOS[proto]
    return family, [1, [[1, [list(a) for a in ADDR[family]]], [2, there]]], [2, [[1, swap(family)], [2, back]]], info


def whole(proto):
    """A right NEW message with about everything in it."""
    family, orig, reply, info = tuples(proto)
    attrs = [orig, reply, [3, be32(0x0a)], [7, be32(300)], [8, be32(5)], [18, be16(0)],
             [15, [[1, be32(1)], [2, be32(0)], [3, be32(0)]]], [16, [[1, be32(1)], [2, be32(0)], [3, be32(0)]]],
             [22, bytes(16)]]
    if info:
        attrs.append([4, [info]])
    return family, copy(attrs)


def copy(attrs):
    return [[k, copy(v) if isinstance(v, list) else bytes(v)] for k, v in attrs]


def paths(attrs, prefix=()):
    for i, (_, value) in enumerate(attrs):
        yield prefix + (i,)
        if isinstance(value, list):
            yield from paths(value, prefix + (i,))


def label(attrs, path):
    names = []
    for i in path:
        names.append(str(attrs[i][0]))
        attrs = attrs[i][1]
    return ".".join(names)


def mutations(value):
    """Name and replacement of one attribute's payload."""
    if isinstance(value, list):
        yield "empty", []
        yield "flat", pack(value)
        yield "bytes", b"\1\2\3"
        yield "short", pack(value)[:-4] if pack(value) else b""
        return
    size = len(value)
    for n in sorted({0, 1, 2, 3, 4, max(size - 1, 0), size + 1, size + 4, 200}):
        if n != size:
            yield f"len{n}", (value + b"\0" * n)[:n]
    yield "zero", bytes(size)
    yield "ones", b"\xff" * size
    yield "one", b"\0" * (size - 1) + b"\1"
    yield "high", b"\x80" + b"\0" * (size - 1)
    yield "seven", b"\0" * (size - 1) + b"\x07"


def changed(attrs, path, what):
    """A copy of ATTRS with WHAT done to the attribute at PATH."""
    out = copy(attrs)
    level = out
    for i in path[:-1]:
        level = level[i][1]
    what(level, path[-1])
    return out


def flush(link):
    for family in (AF_INET, AF_INET6):
        link.request(CT, DELETE, 0, family, [])


def sweep(link, name, subsys, kind, flags, family, attrs, before=None, after=None):
    for path in paths(attrs):
        line = []

        def attempt(what, change):
            if before:
                before()
            said, _ = link.request(subsys, kind, flags, family, changed(attrs, path, change))
            if after:
                after()
            line.append(f"{what}={said}")

        def drop(level, i):
            del level[i]

        def twice(level, i):
            level.insert(i, level[i])

        attempt("missing", drop)
        attempt("twice", twice)
        level = attrs
        for i in path[:-1]:
            level = level[i][1]
        for what, value in mutations(level[path[-1]][1]):
            def put(level, i, value=value):
                level[i] = [level[i][0], value]
            attempt(what, put)
        print(f"{name} {label(attrs, path)}: {' '.join(line)}")
    # Attributes that this message should not or need not have.
    line = []
    for extra in range(0, 40):
        if before:
            before()
        said, _ = link.request(subsys, kind, flags, family, attrs + [[extra, b"\0\0\0\1"]])
        if after:
            after()
        line.append(f"+{extra}={said}")
    print(f"{name} extra: {' '.join(line)}")


def conntrack(link):
    for proto in PROTOS:
        family, attrs = whole(proto)
        flush(link)
        said, _ = link.request(CT, NEW, CREATE | EXCL, family, attrs)
        print(f"new {proto}: {said}")
        said, _ = link.request(CT, NEW, CREATE | EXCL, family, attrs)
        print(f"new {proto} again: {said}")
        said, n = link.request(CT, GET, 0, family, [attrs[0]])
        print(f"get {proto}: {said} messages={n}")
        sweep(link, f"new {proto}", CT, NEW, CREATE | EXCL, family, attrs, before=lambda: flush(link))
        flush(link)
        link.request(CT, NEW, CREATE | EXCL, family, attrs)

        # An update may end the entry (a timeout of 0): there is one before each.
        def create(family=family, attrs=attrs):
            link.request(CT, NEW, CREATE | EXCL, family, attrs)
        sweep(link, f"update {proto}", CT, NEW, 0, family, attrs, before=create)
        sweep(link, f"get {proto}", CT, GET, 0, family, [attrs[0], [18, be16(0)]], before=create)
        sweep(link, f"delete {proto}", CT, DELETE, 0, family, [attrs[1], [18, be16(0)], [8, be32(5)], [21, be32(255)]],
              before=create)
    flush(link)


def values(link):
    """Every value of small fields."""
    family, orig, reply, info = tuples("tcp")
    base = [orig, reply, [7, be32(100)]]
    line = []
    for state in range(0, 16):
        flush(link)
        said, _ = link.request(CT, NEW, CREATE | EXCL, family, base + [[4, [[1, [[1, bytes([state])]]]]]])
        line.append(f"{state}={said}")
    print("tcp state:", *line)
    line = []
    for scale in (0, 1, 14, 15, 255):
        flush(link)
        said, _ = link.request(CT, NEW, CREATE | EXCL, family, base + [[4, [[1, [[1, b"\3"], [2, bytes([scale])]]]]]])
        line.append(f"{scale}={said}")
    print("tcp window scale:", *line)
    family, orig, reply, info = tuples("sctp")
    line = []
    for state in range(0, 12):
        flush(link)
        said, _ = link.request(CT, NEW, CREATE | EXCL, family, [orig, reply, [7, be32(100)], [
            4, [[3, [[1, bytes([state])], [2, be32(1)], [3, be32(2)]]]]]])
        line.append(f"{state}={said}")
    print("sctp state:", *line)
    family, orig, reply, info = tuples("udp")
    for name, flags in (("create", CREATE | EXCL), ("update", 0)):
        line = []
        for bit in range(32):
            if flags:
                flush(link)
            said, _ = link.request(CT, NEW, flags, family, [orig, reply, [7, be32(100)], [3, be32(1 << bit)]])
            line.append(f"{bit}={said}")
        print(f"status bit, {name}:", *line)
    line = []
    for num in range(256):
        flush(link)
        changed_orig, changed_reply = copy([orig, reply])
        for t in (changed_orig, changed_reply):
            t[1][1][1][0][1] = bytes([num])
        said, _ = link.request(CT, NEW, CREATE | EXCL, family, [changed_orig, changed_reply, [7, be32(100)]])
        line.append(f"{num}={said}")
    print("protocol number:", *line)
    for icmp, (fam, num, base_type, kinds) in {"icmp": (AF_INET, 1, 4, 20), "icmpv6": (AF_INET6, 58, 7, 256)}.items():
        line = []
        for kind in range(kinds):
            flush(link)
            t = [[1, bytes([num])], [base_type, be16(7)], [base_type + 1, bytes([kind])], [base_type + 2, b"\0"]]
            said, _ = link.request(CT, NEW, CREATE | EXCL, fam, [
                [1, [[1, [list(a) for a in ADDR[fam]]], [2, t]]], [2, [[1, swap(fam)], [2, t]]], [7, be32(100)]])
            line.append(f"{kind}={said}")
        print(f"{icmp} type:", *line)
    line = []
    for seconds in (0, 1, 0x7fffffff, 0x80000000, 0xffffffff):
        flush(link)
        said, _ = link.request(CT, NEW, CREATE | EXCL, family, [orig, reply, [7, be32(seconds)]])
        line.append(f"{seconds}={said}")
    print("timeout:", *line)
    flush(link)


def headers(link):
    family, attrs = whole("udp")
    body = pack(attrs)
    line = []
    for fam in (0, 1, 2, 3, 7, 10, 11, 12, 13, 99, 255):
        flush(link)
        said, _ = link.raw(link.message(CT, NEW, REQUEST | ACK | CREATE, fam, body))
        line.append(f"{fam}={said}")
    print("family:", *line)
    line = []
    for version in (0, 1, 255):
        flush(link)
        said, _ = link.raw(link.message(CT, NEW, REQUEST | ACK | CREATE, family, body, version=version, res=0x1234))
        line.append(f"{version}={said}")
    print("version:", *line)
    flush(link)
    line = []
    for kind in range(0, 12):
        said, n = link.raw(link.message(CT, kind, REQUEST | ACK, family, b""))
        line.append(f"{kind}={said},{n}")
    print("bare request:", *line)
    line = []
    for kind in range(0, 6):
        said, n = link.raw(link.message(EXP, kind, REQUEST | ACK, family, b""))
        line.append(f"{kind}={said},{n}")
    print("bare expectation request:", *line)
    good = link.message(CT, NEW, REQUEST | ACK | CREATE, family, body)
    line = []
    for cut in list(range(16, 64)) + list(range(64, len(good), 8)):
        flush(link)
        part = struct.pack("=I", cut) + good[4:cut]
        said, _ = link.raw(part)
        line.append(f"{cut}={said}")
    print("cut after:", *line)
    line = []
    for size in (0, 1, 3, 4, 5, 200, 65535):
        flush(link)
        said, _ = link.raw(link.message(CT, NEW, REQUEST | ACK | CREATE, family,
                                        struct.pack("=HH", size, 1) + b"\0" * 12))
        line.append(f"{size}={said}")
    print("length of an attribute:", *line)


def dumps(link):
    flush(link)
    for proto in PROTOS:
        family, attrs = whole(proto)
        link.request(CT, NEW, CREATE | EXCL, family, attrs)
    for kind in (GET, GET_CTRZERO, STATS_CPU, STATS, DYING, UNCONFIRMED):
        line = []
        for family in (0, AF_INET, AF_INET6, 99):
            link.sock.send(link.message(CT, kind, REQUEST | ACK | DUMP, family, b""))
            said, n = link.answer()
            line.append(f"{family}={said}" + (f",{n}" if kind not in (STATS_CPU,) else ""))
        print(f"dump {kind}:", *line)
    line = []
    filters = {
        "mark": [[8, be32(5)], [21, be32(255)]], "mark0": [[8, be32(0)], [21, be32(255)]],
        "maskonly": [[21, be32(255)]], "status": [[3, be32(8)], [26, be32(8)]], "status0": [[3, be32(0)], [26, be32(8)]],
        "statusonly": [[3, be32(8)]], "zone": [[18, be16(0)]], "zone5": [[18, be16(5)]], "zoneshort": [[18, b"\0"]],
    }
    for name, attrs in filters.items():
        link.sock.send(link.message(CT, GET, REQUEST | DUMP, AF_INET, pack(attrs)))
        said, n = link.answer()
        line.append(f"{name}={said},{n}")
    print("dump filtered:", *line)
    family, orig, reply, _ = tuples("udp")
    for bits in [1 << b for b in range(12)] + [3, 0x33, 0x3ff, 0xffffffff, 0]:
        line = []
        for which, tup in ((1, orig), (2, reply)):
            link.sock.send(link.message(CT, GET, REQUEST | DUMP, family,
                                        pack([tup, [25, [[which, struct.pack("=I", bits)], [3 - which, struct.pack("=I", 0)]]]])))
            said, n = link.answer()
            line.append(f"{which}={said},{n}")
        print(f"dump by tuple, flags {bits:#x}:", *line)
    flush(link)


def expectation():
    """A right NEW message of an expectation, whose master is UDP's `whole`."""
    family, orig, _, _ = tuples("udp")
    other = copy([orig])[0]
    other[1][1][1][1][1] = be16(3000)
    mask = [3, [[1, [[1, b"\xff" * 4], [2, b"\xff" * 4]]], [2, [[1, b"\xff"], [2, be16(0xffff)], [3, be16(0xffff)]]]]]
    return family, [[1, orig[1]], [2, other[1]], mask, [4, be32(100)], [8, be32(0)], [9, be32(0)]]


def expectations(link):
    """Expectations need a master; names of helpers that are not there are refused."""
    family, orig, reply, _ = tuples("udp")
    _, attrs = expectation()
    other = attrs[1]
    flush(link)
    said, _ = link.request(EXP, NEW, CREATE | EXCL, family, attrs)
    print(f"expect without a master: {said}")
    link.request(CT, NEW, CREATE | EXCL, family, [orig, reply, [7, be32(100)]])
    sweep(link, "expect new", EXP, NEW, CREATE | EXCL, family, attrs,
          after=lambda: link.request(EXP, DELETE, 0, family, []))
    sweep(link, "expect get", EXP, GET, 0, family, [attrs[0], attrs[1]])
    sweep(link, "expect delete", EXP, DELETE, 0, family, [[2, other[1]], [7, be32(1)]])
    for name in (b"\0", b"nosuch\0", b"ftp\0", b"ftp", b"a" * 15 + b"\0", b"a" * 16 + b"\0"):
        flush(link)
        said, _ = link.request(CT, NEW, CREATE | EXCL, family, [orig, reply, [7, be32(100)], [5, [[1, name]]]])
        said2, _ = link.request(EXP, NEW, CREATE | EXCL, family, attrs + [[6, name]])
        print(f"helper {name!r}: {said}, expectation: {said2}")
    flush(link)


def timeouts(link):
    """Timeout policies: the attributes of each protocol are checked by the tracker itself."""
    counts = {("udp", AF_INET, 17): 2, ("udp6", AF_INET6, 17): 2, ("tcp", AF_INET, 6): 11, ("icmp", AF_INET, 1): 1,
              ("icmpv6", AF_INET6, 58): 1, ("sctp", AF_INET, 132): 9, ("gre", AF_INET, 47): 2,
              ("other", AF_INET, 253): 1, ("udplite", AF_INET, 136): 2, ("dccp", AF_INET, 33): 7}
    probe, _ = link.request(TIMEOUT, NEW, CREATE | EXCL, AF_INET, [])
    print(f"timeout policy without attributes: {probe}")
    for (name, family, num), count in counts.items():
        data = [[i, be32(10 + i)] for i in range(1, count + 1)]
        attrs = [[1, b"probe\0"], [2, be16(family)], [3, bytes([num])], [4, data]]

        def drop(family=family):
            link.request(TIMEOUT, DELETE, 0, family, [[1, b"probe\0"]])
        drop()
        said, _ = link.request(TIMEOUT, NEW, CREATE | EXCL, family, attrs)
        back, n = link.request(TIMEOUT, GET, 0, family, [[1, b"probe\0"]])
        print(f"timeout {name}: {said}, get {back} {n}")
        sweep(link, f"timeout {name}", TIMEOUT, NEW, CREATE | EXCL, family, attrs, before=drop)
        drop()
        said, _ = link.request(TIMEOUT, 3, 0, family, attrs[1:])
        print(f"timeout {name} default set: {said}")
        if name in ("tcp", "udp"):
            sweep(link, f"timeout {name} default set", TIMEOUT, 3, 0, family, attrs[1:])
        said, n = link.request(TIMEOUT, 4, 0, family, attrs[1:3])
        print(f"timeout {name} default get: {said} {n}")


def noise(link, seed, rounds):
    """Right messages with a few bytes changed. The outcome of each, fifty in a line."""
    rng = random.Random(seed)
    names = list(PROTOS)
    line = []
    for i in range(rounds):
        family, attrs = whole(names[i % len(names)])
        kind, flags = rng.choice(((NEW, CREATE | EXCL), (NEW, 0), (GET, 0), (DELETE, 0)))
        data = bytearray(link.message(CT, kind, REQUEST | ACK | flags, family, pack(attrs)))
        for _ in range(rng.randint(1, 4)):
            # Not the netlink header: that is the core's to judge.
            data[rng.randrange(16, len(data))] = rng.choice((0, 1, 4, 8, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        said, _ = link.raw(bytes(data))
        line.append(said)
        if i % 4 == 3:
            flush(link)
        if len(line) == 50:
            print(f"noise {i - 49}..{i}:", *line)
            line = []
    flush(link)


def main():
    link = Link()
    parts = {"conntrack": conntrack, "values": values, "headers": headers, "dumps": dumps,
             "expectations": expectations, "timeouts": timeouts}
    for part in sys.argv[1:]:
        if part.startswith("noise="):
            seed, rounds = part[6:].split(",")
            noise(link, int(seed), int(rounds))
        else:
            parts[part](link)


if __name__ == "__main__":
    main()
