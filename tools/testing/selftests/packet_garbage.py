#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Puts truncated, corrupt and senseless packets on a wire, each with a number of
its own (IPv4 ident, IPv6 flow label), and prints the numbers' meanings, one
`NUMBER LABEL` a line, to be joined with what the rules noted for each number.

  packet_garbage.py NS DEV MAC 4|6 PART [SEED ROUNDS]
"""

import random
import socket
import struct
import sys

import agent
import packets as p

HOSTS = {"4": ("10.0.1.9", "10.0.2.9"), "6": ("2001:db8:1::9", "2001:db8:2::9")}


class Wire:
    def __init__(self, ns, dev, mac, family, first):
        agent.enter(ns)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        kind = 0x86DD if family == "6" else 0x0800
        self.to = (dev, kind, 0, 0, bytes.fromhex(mac.replace(":", "")))
        self.src, self.dst = (p.address(a) for a in HOSTS[family])
        self.number = first

    def send(self, label, proto, body, **header):
        self.number += 1
        packet = p.ip(self.src, self.dst, proto, body, ident=self.number, flow=self.number, **header)
        try:
            self.sock.sendto(packet, self.to)
        except OSError as err:
            label += f" (not sent: {err.strerror})"
        print(self.number, label)


def tcp(wire, sport=1000, **more):
    args = {"flags": "S", "seq": 1, "win": 1000}
    args.update(more)
    return p.tcp(wire.src, wire.dst, sport, 80, args.pop("flags"), **args)


def part_tcp(w):
    whole = tcp(w, sport=1)
    for cut in range(len(whole)):
        w.send(f"tcp cut {cut}", p.TCP, whole[:cut])
    for doff in range(16):
        w.send(f"tcp doff {doff}", p.TCP, tcp(w, sport=10 + doff, doff=doff))
    for flags in range(256):
        w.send(f"tcp flags {flags:#04x}", p.TCP, tcp(w, sport=100 + flags, flags=flags))
    w.send("tcp bad checksum", p.TCP, tcp(w, sport=40, csum="bad"))
    w.send("tcp checksum 0", p.TCP, tcp(w, sport=41, csum=0))
    for name, opt in (("kind 255 length 0", "ff00"), ("kind 255 length 1", "ff01"), ("kind 255 length 40", "ff28"),
                      ("length over the end", "0204ffff0306"), ("sack cut", "050a00000001"),
                      ("window scale 255", "0303ff00"), ("window scale length 4", "03040e00"),
                      ("nops", "01" * 40), ("end, then trash", "00ff0000"), ("timestamp", "0101080a0000000100000000"),
                      ("timestamp length 2", "0802"), ("mss length 0", "0200"), ("all ff", "ff" * 40)):
        for flags in ("S", "SA", "A"):
            w.send(f"tcp option {name} {flags}", p.TCP,
                   tcp(w, sport=400 + len(opt), options=bytes.fromhex(opt), flags=flags, ack=1))
    w.send("tcp port 0", p.TCP, tcp(w, sport=0))
    for flags in ("R", "F", "FA", "RA", "SR", "SF", "0", "FPU", "SFRPAU"):
        w.send(f"tcp {flags} for the flow from port 1000", p.TCP, tcp(w, flags=flags, seq=5))


def part_udp(w):
    whole = p.udp(w.src, w.dst, 1, 53, b"12345678")
    for cut in range(len(whole)):
        w.send(f"udp cut {cut}", p.UDP, whole[:cut])
    for size in (0, 1, 7, 8, 9, 15, 16, 17, 255, 65535):
        w.send(f"udp length {size}", p.UDP, p.udp(w.src, w.dst, 10 + size % 1000, 53, b"12345678", length=size))
    w.send("udp checksum 0", p.UDP, p.udp(w.src, w.dst, 2000, 53, b"1", csum=0))
    w.send("udp bad checksum", p.UDP, p.udp(w.src, w.dst, 2001, 53, b"1", csum="bad"))
    w.send("udp bad checksum, known flow", p.UDP, p.udp(w.src, w.dst, 2000, 53, b"1", csum="bad"))
    w.send("udp port 0", p.UDP, p.udp(w.src, w.dst, 0, 0, b"1"))
    whole = p.udp(w.src, w.dst, 1, 53, b"12345678")
    for cut in (0, 7, 8, 9, 20):
        w.send(f"udplite cut {cut}", 136, whole[:cut])


def part_icmp(w):
    six = w.src.version == 6
    number = p.ICMP6 if six else p.ICMP
    echo = 128 if six else 8
    whole = p.icmp(w.src, w.dst, echo, 0, 0x70001, b"12345678")
    for cut in range(len(whole)):
        w.send(f"icmp cut {cut}", number, whole[:cut])
    for kind in range(256):
        w.send(f"icmp type {kind}", number, p.icmp(w.src, w.dst, kind, 0, 0x80000 + kind))
    w.send("icmp bad checksum", number, p.icmp(w.src, w.dst, echo, 0, 0x90000, csum="bad"))
    w.send("icmp code 77", number, p.icmp(w.src, w.dst, echo, 77, 0xa0000))
    # Errors about a flow that exists, with the packet inside cut and damaged.
    body = p.udp(w.dst, w.src, 53, 999, b"12345678")
    there = p.ip(w.dst, w.src, p.UDP, body)
    w.send("the flow that errors are about", p.UDP, p.udp(w.src, w.dst, 999, 53, b"1"))
    for kind, codes in ((1, 7), (2, 1), (3, 2), (4, 3), (5, 1), (137, 1)) if six else ((3, 16), (4, 1), (5, 4), (11, 2), (12, 3), (13, 1)):
        for code in range(codes):
            w.send(f"icmp error {kind}/{code}", number, p.icmp(w.src, w.dst, kind, code, 1400, there))
    kind = 1 if six else 3
    for cut in range(0, len(there), 1):
        w.send(f"icmp error with {cut} bytes of the packet", number, p.icmp(w.src, w.dst, kind, 3, 0, there[:cut]))
    for name, inner in (
            ("of version 0", p.ip(w.dst, w.src, p.UDP, body, version=15)),
            ("with a short header", p.ip(w.dst, w.src, p.UDP, body, hlen=4)),
            ("with a long header", p.ip(w.dst, w.src, p.UDP, body, hlen=15)),
            ("of no length", p.ip(w.dst, w.src, p.UDP, body, length=0)),
            ("of great length", p.ip(w.dst, w.src, p.UDP, body, length=65535)),
            ("that is a later fragment", p.ip(w.dst, w.src, p.UDP, body, frag=185)),
            ("of another flow", p.ip(w.dst, w.src, p.UDP, p.udp(w.dst, w.src, 54, 999, b"1"))),
            ("in the same direction", p.ip(w.src, w.dst, p.UDP, p.udp(w.src, w.dst, 999, 53, b"1"))),
            ("of other hosts", p.ip(w.src, w.src, p.UDP, body)),
            ("that is TCP", p.ip(w.dst, w.src, p.TCP, body)),
            ("that is GRE", p.ip(w.dst, w.src, p.GRE, body)),
            ("that is SCTP", p.ip(w.dst, w.src, p.SCTP, body)),
            ("that is an ICMP error", p.ip(w.dst, w.src, number, p.icmp(w.dst, w.src, kind, 1, 0, there))),
            ("that is an echo", p.ip(w.dst, w.src, number, p.icmp(w.dst, w.src, echo, 0, 5))),
            ("that is nothing known", p.ip(w.dst, w.src, 253, body))):
        w.send(f"icmp error about a packet {name}", number, p.icmp(w.src, w.dst, kind, 3, 0, inner))
        w.send(f"icmp error about a packet {name}, bad checksum", number,
               p.icmp(w.src, w.dst, kind, 3, 0, inner, csum="bad"))


def part_others(w):
    whole = p.sctp(1, 80, 0, [(1, 0, struct.pack("!IIHHI", 7, 65536, 1, 1, 1))])
    for cut in range(0, len(whole)):
        w.send(f"sctp cut {cut}", p.SCTP, whole[:cut])
    for kind in list(range(16)) + [0x80, 0xC1, 0xFF]:
        for vtag in (0, 5):
            w.send(f"sctp chunk {kind} tag {vtag}", p.SCTP, p.sctp(10 + kind, 80, vtag, [(kind, 0, b"12345678" * 2)]))
    w.send("sctp without chunks", p.SCTP, p.sctp(300, 80, 1, []))
    w.send("sctp bad checksum", p.SCTP, p.sctp(301, 80, 0, [(1, 0, bytes(16))], csum="bad"))
    w.send("sctp chunk of length 0", p.SCTP, p.sctp(302, 80, 0, [])[:12] + struct.pack("!BBH", 3, 0, 0) + bytes(8))
    w.send("sctp chunk of length 3", p.SCTP, p.sctp(303, 80, 0, [])[:12] + struct.pack("!BBH", 3, 0, 3) + bytes(8))
    w.send("sctp long chunk", p.SCTP, p.sctp(304, 80, 0, [])[:12] + struct.pack("!BBH", 3, 0, 65535) + bytes(8))
    w.send("sctp init and data", p.SCTP, p.sctp(305, 80, 0, [(1, 0, bytes(16)), (0, 0, bytes(16))]))
    w.send("sctp init with tag", p.SCTP, p.sctp(306, 80, 9, [(1, 0, bytes(16))]))
    w.send("sctp ports 0", p.SCTP, p.sctp(0, 0, 0, [(1, 0, bytes(16))]))
    whole = p.gre(7, data=b"12345678")
    for cut in range(len(whole)):
        w.send(f"gre cut {cut}", p.GRE, whole[:cut])
    for version in range(8):
        for proto in (0x880B, 0x0800, 0):
            w.send(f"gre version {version} protocol {proto:#x}", p.GRE, p.gre(9, proto, version, b"12345678"))
    for flags in (0, 0x10, 0x30, 0x40, 0x80, 0xFF):
        w.send(f"gre flags {flags:#x}", p.GRE, bytes([flags]) + p.gre(11, data=b"12345678")[1:])
    for proto in (0, 2, 4, 33, 41, 43, 44, 50, 51, 59, 60, 89, 94, 103, 112, 135, 136, 137, 255):
        for size in (0, 1, 8, 40):
            w.send(f"protocol {proto} with {size} bytes", proto, b"\0" * size)


def part_ip(w):
    body = p.udp(w.src, w.dst, 5, 6, b"12345678")
    for version in (0, 1, 5, 7, 15):
        w.send(f"ip version {version}", p.UDP, body, version=version)
    for size in (0, 1, 19, 20, 27, 28, 29, 36, 37, 100, 65535):
        w.send(f"ip length {size}", p.UDP, body, length=size)
    for ttl in (0, 1):
        w.send(f"ip ttl {ttl}", p.UDP, body, ttl=ttl)
    if w.src.version == 4:
        for hlen in (0, 1, 4, 6, 7, 15):
            w.send(f"ip header length {hlen}", p.UDP, body, hlen=hlen)
        w.send("ip bad checksum", p.UDP, body, csum=0x1234)
        w.send("ip fragment, first", p.UDP, body, frag=0x2000)
        w.send("ip fragment, later", p.UDP, body, frag=5)
        w.send("ip fragment, past the end", p.UDP, body, frag=0x1FFF)
        w.send("ip fragment of 4 bytes, first", p.UDP, body[:4], frag=0x2000)
        w.send("ip do not fragment", p.UDP, body, frag=0x4000)
        w.send("ip reserved flag", p.UDP, body, frag=0x8000)
    else:
        for nh in (0, 43, 44, 51, 60, 135):
            for words in (0, 1, 255):
                w.send(f"ip6 extension {nh} of length {words}", nh, bytes([p.UDP, words]) + bytes(6) + body)
            w.send(f"ip6 extension {nh} without an end", nh, (bytes([nh, 0]) + bytes(6)) * 20)
        w.send("ip6 fragment, first", 44, bytes([p.UDP, 0, 0, 1, 0, 0, 0, 1]) + body)
        w.send("ip6 fragment, atomic", 44, bytes([p.UDP, 0, 0, 0, 0, 0, 0, 2]) + body)
        w.send("ip6 fragment, later", 44, bytes([p.UDP, 0, 0, 8, 0, 0, 0, 3]) + body)
        w.send("ip6 hop-by-hop, then UDP", 0, bytes([p.UDP, 0, 5, 2, 0, 0, 1, 0]) + body)


def part_noise(w, seed, rounds):
    rng = random.Random(seed)
    protos = [p.TCP, p.UDP, p.ICMP, p.ICMP6, p.SCTP, p.GRE, 136]
    for i in range(rounds):
        proto = protos[i % len(protos)]
        body = bytearray(rng.randbytes(rng.choice((0, 1, 4, 7, 8, 12, 13, 20, 28, 40, 60, 120))))
        w.send(f"noise {i} of protocol {proto}", proto, bytes(body))


def main():
    ns, dev, mac, family, part = sys.argv[1:6]
    parts = {"tcp": part_tcp, "udp": part_udp, "icmp": part_icmp, "others": part_others, "ip": part_ip,
             "noise": part_noise}
    parts[part](Wire(ns, dev, mac, family, 0), *map(int, sys.argv[6:]))


if __name__ == "__main__":
    main()
