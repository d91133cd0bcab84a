#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""drill.py ipv4|ipv6 FILE.pkt: replays a packetdrill script.

packetdrill is not packaged; this drives the same exchanges: the kernel's own TCP
at one end, packets through a tun device at the other. It knows as much of the
language as the scripts in net/netfilter/packetdrill use. Run it in a network
namespace of its own, in the folder from which the script's commands start.

Sequence numbers in a script: those of a packet with SYN are taken as they are;
others count from the first number of their side. The kernel's own first number
stands for 0. A packet may come late, as with packetdrill's --tolerance_usecs, and
what the kernel sends again meanwhile is passed over. A script that fails after that
ends with status 75: it was this machine that was late, which says nothing.
"""

import errno
import fcntl
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "selftests"))
import packets as p  # noqa: E402

MASK = 0xFFFFFFFF
TOLERANCE = 5.0
TOO_LATE = 75
FAMILIES = {
    "ipv4": ("192.168.24.72", 16, "192.0.2.1", socket.AF_INET, 1500),
    "ipv6": ("fd3d:fa7b:d17d::1", 48, "2001:db8::1", socket.AF_INET6, 1520),
}


class Failed(Exception):
    pass


PACKET = re.compile(
    r"(?P<dir>[<>])\s+(?P<flags>[SFRPEWU.]+)\s+(?P<start>\d+):(?P<end>\d+)\((?P<len>\d+)\)"
    r"(?:\s+ack\s+(?P<ack>\d+))?(?:\s+win\s+(?P<win>\d+))?(?:\s+<(?P<opts>[^>]*)>)?\s*$")


def parse(path):
    """The events of a script: (line number, time, relative?, kind, value)."""
    with open(path) as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            if not line or line.startswith("//"):
                continue
            when, relative = 0.0, True
            found = re.match(r"(\+?)(\d*\.?\d+)\s+(.*)", line)
            if found and not line.startswith("`"):
                relative, when, line = found[1] == "+", float(found[2]), found[3].strip()
            if line.startswith("`"):
                yield number, when, relative, "command", line.strip("`")
                continue
            match = PACKET.match(line.split("//")[0].strip())
            if match:
                yield number, when, relative, "packet", match.groupdict()
                continue
            match = re.match(r"(\w+)\((.*)\)\s*=\s*(-?\d+)(?:\s+(\w+))?", line)
            if not match:
                raise Failed(f"line {number}: cannot read: {line}")
            yield number, when, relative, "call", match.groups()


def options_out(text, stamps):
    """The bytes of an option list, with the kernel's time stamps echoed."""
    out = b""
    for item in filter(None, (part.strip() for part in (text or "").split(","))):
        words = item.split()
        if words[0] == "mss":
            out += struct.pack("!BBH", 2, 4, int(words[1]))
        elif words[0] == "wscale":
            out += struct.pack("!BBB", 3, 3, int(words[1]))
        elif words[0] == "sackOK":
            out += b"\4\2"
        elif words[0] == "nop":
            out += b"\1"
        elif words[0] == "TS":
            echo = int(words[4])
            out += struct.pack("!BBII", 8, 10, int(words[2]), stamps.get(echo, echo))
        else:
            raise Failed(f"no such option: {item}")
    return out


def options_in(data):
    """Names of the options in DATA, the segment size, the time stamp."""
    kinds, mss, stamp, at = [], None, None, 0
    while at < len(data) and data[at] != 0:
        if data[at] == 1:
            at += 1
            continue
        kinds.append({2: "mss", 3: "wscale", 4: "sackOK", 5: "sack", 8: "TS"}.get(data[at], str(data[at])))
        if data[at] == 2:
            mss = struct.unpack("!H", data[at + 2:at + 4])[0]
        if data[at] == 8:
            stamp = struct.unpack("!I", data[at + 2:at + 6])[0]
        at += data[at + 1]
    return kinds, mss, stamp


def flags_of(bits):
    return {c for c, b in (("S", 2), ("F", 1), ("R", 4), ("P", 8), ("E", 64), ("W", 128), (".", 16)) if bits & b}


def shape(packet):
    """What a packet has in common with the same one sent again."""
    bits, seq, _, _, length, _ = packet
    return bits, seq, length


class Drill:
    def __init__(self, version):
        self.local, prefix, self.remote, self.family, mtu = FAMILIES[version]
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, 0x400454CA, struct.pack("16sH", b"tun0", 0x1001))
        nodad = ["nodad"] if version == "ipv6" else []
        for words in (["link", "set", "lo", "up"], ["link", "set", "tun0", "mtu", str(mtu)],
                      ["addr", "add", f"{self.local}/{prefix}", "dev", "tun0"] + nodad, ["link", "set", "tun0", "up"],
                      ["route", "add", self.remote, "dev", "tun0"]):
            subprocess.run(["ip", "-6" if version == "ipv6" else "-4", *words], check=True)
        self.src, self.dst = p.address(self.remote), p.address(self.local)
        self.sockets = {}
        self.ports = None
        self.local_isn = self.remote_isn = None
        self.stamps = {}
        self.sent = None
        self.repeated = False
        self.start = self.last = time.monotonic()

    def wait(self, when, relative):
        if not relative:
            until = self.start + when
        else:
            until = self.last + when
        time.sleep(max(0.0, until - time.monotonic()))
        self.last = max(until, self.last)

    # --- packets

    def send(self, spec):
        syn = "S" in spec["flags"]
        seq = int(spec["start"])
        if syn and (self.remote_isn is None or "." not in spec["flags"] and self.local_isn is None):
            self.remote_isn = seq
        if not syn:
            seq += self.remote_isn or 0
        ack = int(spec["ack"]) + (self.local_isn or 0) if spec["ack"] else 0
        if self.ports is None:
            self.ports = (40000, 8080)
        flags = spec["flags"].replace("W", "C")
        body = p.tcp(self.src, self.dst, *self.ports, flags, seq, ack, int(spec["win"] or 0),
                     b"\0" * int(spec["len"]), options_out(spec["opts"], self.stamps))
        os.write(self.tun, p.ip(self.src, self.dst, p.TCP, body))

    def receive(self, limit):
        """The next TCP packet of the kernel, as (flags, seq, ack, win, length, options)."""
        while True:
            left = limit - time.monotonic()
            if left <= 0 or not select.select([self.tun], [], [], left)[0]:
                return None
            data = os.read(self.tun, 65536)
            if data[0] >> 4 == 4 and data[9] == p.TCP:
                body = data[(data[0] & 15) * 4:struct.unpack("!H", data[2:4])[0]]
            elif data[0] >> 4 == 6 and data[6] == p.TCP:
                body = data[40:]
            else:
                continue
            sport, dport, seq, ack, words, bits, win = struct.unpack("!HHIIBBH", body[:16])
            head = (words >> 4) * 4
            if self.ports is None:
                self.ports = (dport, sport)
            if (dport, sport) != self.ports:
                continue
            return bits, seq, ack, win, len(body) - head, body[20:head]

    def expect(self, spec, number):
        limit = time.monotonic() + TOLERANCE
        got = self.receive(limit)
        # A packet that answers late finds that the kernel has repeated itself.
        while got and shape(got) == self.sent and flags_of(got[0]) != set(spec["flags"]):
            self.repeated = True
            got = self.receive(limit)
        # The kernel may acknowledge first and send its data in the next packet.
        if got and got[0] == 16 and got[4] == 0 and int(spec["len"]) > 0:
            got = self.receive(limit)
        if got is None:
            raise Failed(f"line {number}: no packet came")
        bits, seq, ack, win, length, opts = got
        self.sent = shape(got)
        if bits & 2 and self.local_isn is None:
            self.local_isn = seq
        flags = "".join(sorted(flags_of(bits)))
        shown_seq = (seq - (self.local_isn or 0)) & MASK
        shown_ack = (ack - (self.remote_isn or 0)) & MASK
        if bits & 2 and spec["ack"]:
            shown_ack = (ack - self.remote_isn) & MASK
        got_text = f"{flags} {shown_seq}:{(shown_seq + length) & MASK}({length})" + (f" ack {shown_ack}" if bits & 16 else "")
        want_text = f"{spec['flags']} {spec['start']}:{spec['end']}({spec['len']})" + (f" ack {spec['ack']}" if spec["ack"] else "")
        # Later windows depend on the size of the socket's buffer.
        if spec["win"] and bits & 2:
            got_text += f" win {win}"
            want_text += f" win {spec['win']}"
        kinds, mss, stamp = options_in(opts)
        if spec["opts"]:
            names = [w.split()[0] for w in spec["opts"].split(",") if w.strip() and w.split()[0] != "nop"]
            got_text += f" <{','.join(kinds)}>"
            want_text += f" <{','.join(names)}>"
            value = re.search(r"TS val (\d+)", spec["opts"])
            if value and stamp is not None:
                self.stamps[int(value[1])] = stamp
            size = re.search(r"mss (\d+)", spec["opts"])
            if size and mss != int(size[1]):
                got_text += f" mss {mss}"
                want_text += f" mss {size[1]}"
        if sorted_flags(got_text) != sorted_flags(want_text):
            raise Failed(f"line {number}: wanted {want_text}, got {got_text}")

    # --- system calls

    def call(self, number, words):
        name, args, result, error = words
        args = [a.strip() for a in args.split(",")]
        wanted = int(result)
        try:
            got = self.calls[name](self, args, wanted)
            code = None
        except BlockingIOError as err:
            got, code = -1, errno.errorcode[err.errno]
        except OSError as err:
            got, code = -1, errno.errorcode.get(err.errno, str(err.errno))
        if got != wanted or error and code != error:
            raise Failed(f"line {number}: {name} gave {got} {code or ''}, not {wanted} {error or ''}")

    def do_socket(self, args, wanted):
        self.sockets[wanted] = socket.socket(self.family, socket.SOCK_STREAM)
        return wanted

    def do_setsockopt(self, args, wanted):
        self.sockets[int(args[0])].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return 0

    def do_bind(self, args, wanted):
        self.sockets[int(args[0])].bind((self.local, 8080))
        return 0

    def do_listen(self, args, wanted):
        self.sockets[int(args[0])].listen(int(args[1]))
        return 0

    def do_accept(self, args, wanted):
        self.sockets[int(args[0])].settimeout(TOLERANCE)
        self.sockets[wanted], _ = self.sockets[int(args[0])].accept()
        return wanted

    def do_fcntl(self, args, wanted):
        self.sockets[int(args[0])].setblocking(False)
        return 0

    def do_connect(self, args, wanted):
        self.sockets[int(args[0])].connect((self.remote, 8080))
        return 0

    def do_write(self, args, wanted):
        return self.sockets[int(args[0])].send(b"\0" * int(args[2]))

    def do_read(self, args, wanted):
        return len(self.sockets[int(args[0])].recv(int(args[2])))

    def do_close(self, args, wanted):
        self.sockets.pop(int(args[0])).close()
        return 0

    calls = {"socket": do_socket, "setsockopt": do_setsockopt, "bind": do_bind, "listen": do_listen,
             "accept": do_accept, "fcntl": do_fcntl, "connect": do_connect, "write": do_write, "read": do_read,
             "close": do_close}

    def run(self, path):
        for number, when, relative, kind, value in parse(path):
            self.wait(when, relative)
            if kind == "command":
                done = subprocess.run(["/bin/bash", "-c", value], capture_output=True, text=True)
                if done.returncode:
                    raise Failed(f"line {number}: {value}: status {done.returncode} {done.stderr.strip()}")
                # A command takes its time; what follows counts from its end.
                self.shift(time.monotonic())
            elif kind == "call":
                self.call(number, value)
            elif value["dir"] == "<":
                self.send(value)
            else:
                self.expect(value, number)

    def shift(self, now):
        if now > self.last:
            self.start += now - self.last
            self.last = now


def sorted_flags(text):
    head, _, rest = text.partition(" ")
    return "".join(sorted(head)) + " " + rest


def main():
    version, path = sys.argv[1:3]
    os.environ["NFCT_IP_VERSION"] = version
    os.environ["xtables"] = "iptables" if version == "ipv4" else "ip6tables"
    drill = Drill(version)
    try:
        drill.run(path)
    except Failed as err:
        print(err, flush=True)
        subprocess.run(["conntrack", "-L", "-f", version], stderr=subprocess.DEVNULL)
        for tool in ("iptables", "ip6tables"):
            subprocess.run([tool, "-v", "-S"])
        return TOO_LATE if drill.repeated else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
