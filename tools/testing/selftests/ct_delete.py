#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""ct_delete.py KEY=VALUE...: deletes connections as programs that use Go's netlink
library do: they dump a family, choose in their own memory, and send each chosen
entry's original tuple and zone back with a request to delete it.

Keys: proto (udp or tcp), dport, reply-src, reply-sport. Prints how many went.
"""

import socket
import struct
import sys

NETFILTER, CTNETLINK = 12, 1
GET, DELETE = CTNETLINK << 8 | 1, CTNETLINK << 8 | 2
REQUEST, ACK, DUMP = 1, 4, 0x300
ORIG, REPLY, ZONE = 1, 2, 18


def attributes(data):
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        found[kind & 0x3FFF] = data[at + 4:at + size]
        at += max(4, (size + 3) & ~3)
    return found


def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def request(sock, kind, flags, body=b""):
    message = struct.pack("!BBH", socket.AF_INET, 0, 0) + body
    sock.send(struct.pack("=IHHII", 16 + len(message), kind, REQUEST | flags, 1, 0) + message)


def replies(sock):
    """Messages up to the one that ends the answer; errors are raised."""
    while True:
        data = sock.recv(1 << 18)
        while data:
            size, kind = struct.unpack_from("=IH", data)
            body, data = data[16:size], data[(size + 3) & ~3:]
            if kind == 3:
                return
            if kind == 2:
                code, = struct.unpack_from("=i", body)
                if code:
                    raise OSError(-code, "netlink")
                return
            yield body[4:]


def described(tuple_data):
    """Of a tuple: protocol, source and destination, ports."""
    parts = attributes(tuple_data)
    ip, proto = attributes(parts[1]), attributes(parts[2])
    port = {name: struct.unpack("!H", proto[n])[0] if n in proto else None for name, n in (("sport", 2), ("dport", 3))}
    return {"proto": proto[1][0], "src": socket.inet_ntoa(ip[1]), "dst": socket.inet_ntoa(ip[2]), **port}


def main():
    wanted = dict(word.split("=", 1) for word in sys.argv[1:])
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
    sock.bind((0, 0))
    sock.settimeout(20)
    request(sock, GET, DUMP)
    chosen = []
    for entry in replies(sock):
        attrs = attributes(entry)
        orig, reply = described(attrs[ORIG]), described(attrs[REPLY])
        is_so = {"proto": {6: "tcp", 17: "udp"}.get(orig["proto"]), "dport": str(orig["dport"]),
                 "reply-src": reply["src"], "reply-sport": str(reply["sport"])}
        if all(is_so[key] == value for key, value in wanted.items()):
            chosen.append(attrs)
    for attrs in chosen:
        body = attribute(ORIG | 0x8000, attrs[ORIG])
        if ZONE in attrs:
            body += attribute(ZONE, attrs[ZONE])
        request(sock, DELETE, ACK, body)
        for _ in replies(sock):
            pass
    print(len(chosen), "deleted")


if __name__ == "__main__":
    main()
