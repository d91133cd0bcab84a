# SPDX-License-Identifier: GPL-2.0
"""Packets as bytes: IPv4 and IPv6 with TCP, UDP, ICMP, SCTP and GRE.

Every length and checksum is right unless the caller gives another one, so that a
test can say what exactly is wrong with its packet.
"""

import ipaddress
import struct
import zlib

TCP, UDP, ICMP, ICMP6, SCTP, GRE = 6, 17, 1, 58, 132, 47
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16, "A": 16, "U": 32, "E": 64, "C": 128}


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(text):
    return ipaddress.ip_address(text)


def pseudo(src, dst, proto, length):
    if src.version == 4:
        return src.packed + dst.packed + struct.pack("!BBH", 0, proto, length)
    return src.packed + dst.packed + struct.pack("!IHBB", length, 0, 0, proto)


def put16(data, offset, value):
    return data[:offset] + struct.pack("!H", value) + data[offset + 2:]


def seal(src, dst, proto, data, offset, wanted):
    """DATA with its checksum at OFFSET: right, `bad`, or the number WANTED."""
    if wanted not in (None, "bad"):
        return put16(data, offset, int(wanted, 0) if isinstance(wanted, str) else wanted)
    value = checksum(pseudo(src, dst, proto, len(data)) + data)
    if proto == UDP and value == 0:
        value = 0xFFFF
    if wanted == "bad":
        value ^= 0x5A5A
    return put16(data, offset, value)


def ip(src, dst, proto, payload, ttl=64, ident=0, frag=0, hlen=5, length=None, csum=None, version=None,
       flow=0):
    """The packet of either family; HLEN, LENGTH, CSUM, VERSION may lie. IDENT is IPv4's, FLOW IPv6's."""
    if src.version == 4:
        total = 20 + len(payload) if length is None else length
        head = struct.pack("!BBHHHBBH4s4s", (version or 4) << 4 | hlen, 0, total, ident, frag, ttl, proto, 0,
                           src.packed, dst.packed)
        return put16(head, 10, checksum(head) if csum is None else csum) + payload
    plen = len(payload) if length is None else length
    return struct.pack("!IHBB16s16s", (version or 6) << 28 | flow, plen, proto, ttl, src.packed, dst.packed) + payload


def tcp(src, dst, sport, dport, flags, seq=0, ack=0, win=65535, data=b"", options=b"", doff=None, csum=None, urg=0):
    bits = flags if isinstance(flags, int) else sum(FLAGS[f] for f in flags if f != "0")
    options += b"\0" * (-len(options) % 4)
    words = 5 + len(options) // 4 if doff is None else doff
    head = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, bits, win, 0, urg)
    return seal(src, dst, TCP, head + options + data, 16, csum)


def udp(src, dst, sport, dport, data=b"", length=None, csum=None):
    size = 8 + len(data) if length is None else length
    return seal(src, dst, UDP, struct.pack("!HHHH", sport, dport, size, 0) + data, 6, csum)


def icmp(src, dst, kind, code, rest=0, data=b"", csum=None):
    head = struct.pack("!BBHI", kind, code, 0, rest)
    if src.version == 6:
        return seal(src, dst, ICMP6, head + data, 2, csum)
    value = checksum(head + data)
    if csum == "bad":
        value ^= 0x5A5A
    elif csum is not None:
        value = int(csum, 0)
    return put16(head + data, 2, value)


CRC32C = []
for _n in range(256):
    for _ in range(8):
        _n = _n >> 1 ^ 0x82F63B78 if _n & 1 else _n >> 1
    CRC32C.append(_n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def sctp(sport, dport, vtag, chunks, csum=None):
    """CHUNKS: (type, flags, bytes) each; padded to words."""
    body = b""
    for kind, flags, data in chunks:
        body += struct.pack("!BBH", kind, flags, 4 + len(data)) + data + b"\0" * (-len(data) % 4)
    head = struct.pack("!HHII", sport, dport, vtag, 0)
    value = crc32c(head + body)
    if csum == "bad":
        value ^= 0x5A5A5A5A
    return head[:8] + struct.pack("<I", value) + body


def gre(key, proto=0x880B, version=1, data=b""):
    """Enhanced GRE (PPTP): the call id is half of the key."""
    return struct.pack("!BBHHH", 0x20, version, proto, len(data), key) + data


def random_bytes(seed, count):
    """The same COUNT bytes for the same SEED on every machine."""
    out = b""
    state = seed
    while len(out) < count:
        state = zlib.crc32(struct.pack("!II", seed, state))
        out += struct.pack("!I", state)
    return out[:count]
