# SPDX-License-Identifier: GPL-2.0
"""A ctnetlink client on the kernel's own YNL library and conntrack specification.

It shares no code with libnetfilter_conntrack. Every message that comes is kept as
its bytes: each attribute is shown with its header, its payload and its padding as
they were on the wire; only what differs from run to run (identifiers, times, who
asked) is masked, byte by byte, so that lengths still count. The specification has to
be able to read every message, or the client fails.
"""

import os
import socket
import struct
import sys
import tempfile
import time

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
KERNEL = os.path.join(HERE, "../../../build/ynl")
sys.path.insert(0, KERNEL)
from pyynl.lib.ynl import NlAttrs, NlMsgs, SpaceAttrs, YnlFamily  # noqa: E402

CT, EXP, TIMEOUT = 1, 2, 8
NEW, GET, DELETE, GET_CTRZERO, STATS_CPU, STATS, DYING, UNCONFIRMED = range(8)
REQUEST, ACK, ECHO, DUMP, EXCL, CREATE = 1, 4, 8, 0x300, 0x200, 0x400
NETLINK_ERROR, NETLINK_DONE = 2, 3
NESTED = 0x8000

# Not the same in two runs, whoever tracks: identifiers, times, cookies.
MASKED = {"id", "timeout", "start", "stop", "timestamp-event", "isn", "its", "tsoff"}
SETS = {CT: "conntrack-attrs", EXP: "expect-attrs"}
RAW = ""  # an answer that no specification describes: attributes by their numbers


def specification():
    """The kernel's specification, completed by ours, as a file."""
    with open(os.path.join(KERNEL, "conntrack.yaml"), encoding="utf-8") as f:
        spec = yaml.safe_load(f)
    with open(os.path.join(HERE, "expectations.yaml"), encoding="utf-8") as f:
        spec["attribute-sets"] += yaml.safe_load(f)["attribute-sets"]
    for attribute_set in spec["attribute-sets"]:
        for attribute in attribute_set["attributes"]:
            if attribute_set["name"] == "conntrack-attrs" and attribute["name"] == "timestamp":
                # A nest since it exists; the specification takes it for a number.
                attribute.clear()
                attribute.update({"name": "timestamp", "type": "nest", "nested-attributes": "timestamp-attrs"})
    out = tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8")
    out.write("# SPDX-License-Identifier: GPL-2.0\n")
    yaml.safe_dump(spec, out, sort_keys=False)
    out.flush()
    return out


class Client(YnlFamily):
    """All that one socket of the current network namespace is told."""

    def __init__(self):
        with specification() as spec:
            super().__init__(spec.name, schema="")
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE
        self.seq = 100

    # --- bytes

    def bytes_of(self, raw, space, blind=False):
        """The attributes in RAW, every byte of them, by their names; BLIND: less all values."""
        out, at = [], 0
        attributes = self.attr_sets[space].attrs_by_val if space else {}
        while at < len(raw):
            if at + 4 > len(raw):
                return " ".join(out + ["trailing:" + raw[at:].hex()])
            size, kind = struct.unpack_from("=HH", raw, at)
            spec = attributes.get(kind & 0x3FFF)
            name = spec.name if spec else str(kind & 0x3FFF)
            body, padding = raw[at + 4:at + size], raw[at + size:at + (size + 3 & ~3)]
            head = raw[at:at + 4].hex()
            if kind & NESTED or spec and spec["type"] == "nest":
                inner = spec["nested-attributes"] if spec and spec["type"] == "nest" else None
                out.append(f"{name}[{head}]{{{self.bytes_of(body, inner, blind)}}}")
            else:
                shown = ".." * len(body) if blind or name in MASKED else body.hex()
                out.append(f"{name}[{head}]={shown}" + (f"+{padding.hex()}" if padding else ""))
            at += max(4, size + 3 & ~3)
        return " ".join(out)

    def show(self, msg, space=None, blind=False):
        """A message as one line; port and sequence number are the asker's."""
        kind = msg.nl_type
        if kind in (NETLINK_ERROR, NETLINK_DONE):
            code = struct.unpack_from("=i", msg.raw)[0] if len(msg.raw) >= 4 else None
            extra = msg.raw[20:] if kind == NETLINK_ERROR else msg.raw[4:]
            return f"{'error' if kind == NETLINK_ERROR else 'done'} flags={msg.nl_flags:x} {code} {extra.hex()}".rstrip()
        if space is None:
            space = SETS.get(kind >> 8)
        if space:
            self._decode(NlAttrs(msg.raw, 4), space)
        asked = "asked" if msg.nl_seq else "event"
        line = f"type={kind:03x} flags={msg.nl_flags:x} {asked} head={msg.raw[:4].hex()} "
        return line + self.bytes_of(msg.raw[4:], space, blind)

    # --- asking

    def pack(self, attrs, space):
        """ATTRS by the specification's names."""
        return b"".join(self._add_attr(space, name, value, SpaceAttrs(self.attr_sets[space], attrs))
                        for name, value in attrs.items())

    def ask(self, kind, flags, family, attrs=None, body=None, subsys=CT, answer=None, blind=False):
        """Sends a request; the lines of its answers, and the last one's errno."""
        self.seq += 1
        if body is None:
            body = self.pack(attrs or {}, SETS[subsys])
        self.sock.send(struct.pack("=IHHIIBBH", 20 + len(body), subsys << 8 | kind, REQUEST | ACK | flags, self.seq, 0,
                                   family, 0, 0) + body)
        lines = []
        while True:
            for msg in NlMsgs(self.sock.recv(1 << 20)):
                # An echo of what the request did has no number.
                if msg.nl_seq not in (0, self.seq):
                    continue
                lines.append(self.show(msg, answer, blind))
                if msg.nl_type in (NETLINK_ERROR, NETLINK_DONE):
                    return lines, msg.error

    def tell(self, *args, **more):
        """A request that has to succeed."""
        lines, error = self.ask(*args, **more)
        if error:
            raise OSError(-error, f"{os.strerror(-error)}: {args}")
        return lines


class Listener(Client):
    """A socket that hears all of ctnetlink's groups, or those that GROUPS names."""

    def __init__(self, groups=range(1, 7)):
        super().__init__()
        self.sock.bind((0, 0))
        for group in groups:
            self.sock.setsockopt(270, 1, group)
        self.sock.setblocking(False)

    def drain(self, quiet=0.2, limit=10):
        """All that came, until it is quiet, in order."""
        lines, end, last = [], time.monotonic() + limit, time.monotonic()
        while time.monotonic() < min(end, last + quiet):
            try:
                for msg in NlMsgs(self.sock.recv(1 << 20)):
                    lines.append(self.show(msg))
                last = time.monotonic()
            except BlockingIOError:
                time.sleep(0.02)
        return lines
