#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""xtmatch.py NAME REVISION HEX...: for each HEX, what the kernel says to a rule of nft
that has the match of x_tables of that name with these bytes: `taken`, or an errno.
The plugin of iptables would not let most of them through. Leaves nothing behind.
"""

import errno
import os
import socket
import struct
import sys

NETLINK_NETFILTER, NFTABLES, NONE, IPV4 = 12, 10, 0, 2
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE = 0, 2, 3, 6
REQUEST, ACK, CREATE, APPEND = 1, 4, 0x400, 0x800


def attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def text(kind, word):
    return attr(kind, word.encode() + b"\0")


def number(kind, value):
    return attr(kind, struct.pack("!I", value))


def nest(kind, *parts):
    return attr(kind | 0x8000, b"".join(parts))


def message(kind, flags, seq, family, resource, payload=b""):
    body = struct.pack("!BBH", family, 0, resource) + payload
    return struct.pack("=IHHII", 16 + len(body), kind, flags, seq, 0) + body


def run(sock, wanted):
    """Sends the messages as one batch: the first error, or 0."""
    parts = [message(BATCH_BEGIN, REQUEST, 0, NONE, NFTABLES)]
    for seq, (kind, flags, payload) in enumerate(wanted, 1):
        parts.append(message(NFTABLES << 8 | kind, REQUEST | ACK | flags, seq, IPV4, 0, payload))
    parts.append(message(BATCH_END, REQUEST, len(wanted) + 1, NONE, NFTABLES))
    sock.send(b"".join(parts))
    first, answers = 0, 0
    while answers < len(wanted):
        data = sock.recv(1 << 16)
        while len(data) >= 16:
            length, kind, _, seq, _ = struct.unpack_from("=IHHII", data)
            if kind == 2:
                answers += 1
                code = -struct.unpack_from("=i", data, 16)[0]
                first = first or code
                if code and seq in (0, len(wanted) + 1):
                    return first
            data = data[(length + 3) & ~3:]
    return first


def main(name, revision, *contents):
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    sock.bind((0, 0))
    sock.settimeout(10)
    table = "xtmatch"
    hook = nest(4, number(1, 0), number(2, -300 & 0xFFFFFFFF))
    base = [(NEWTABLE, CREATE, text(1, table)),
            (NEWCHAIN, CREATE, text(1, table) + text(3, "c") + hook + text(7, "filter"))]
    if run(sock, base):
        sys.exit("no table")
    for content in contents:
        match = nest(1, text(1, "match"),
                     nest(2, text(1, name), number(2, int(revision)), attr(3, bytes.fromhex(content))))
        rule = (NEWRULE, CREATE | APPEND, text(1, table) + text(2, "c") + nest(4, match))
        code = run(sock, [rule])
        print(errno.errorcode.get(code, code) if code else "taken")
    run(sock, [(DELTABLE, 0, text(1, table))])


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    os.environ.pop("PYTHONPATH", None)
    main(*sys.argv[1:])
