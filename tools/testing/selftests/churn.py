#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Traffic that goes on, and namespaces that come and go under it.

  churn.py flood [SECONDS]        in this namespace, over the loopback: UDP questions and
                                  answers, TCP connections, pings, until killed
  churn.py spaces COUNT JOBS [RULES]
                                  COUNT namespaces, JOBS at a time, each ended amid its
                                  traffic; RULES is a file for `nft -f` there
  churn.py insert FIRST COUNT     entries by netlink, assured, in this namespace
  churn.py storm COUNT            COUNT resizes of the table in use, with dumps and flushes
                                  in between; what must stay is found after each
"""

import fcntl
import os
import socket
import struct
import subprocess
import sys
import time

import packets


def loopback_up():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running
    sock.close()


def echo_request(number):
    data = struct.pack("!BBHHH", 8, 0, 0, number & 0xFFFF, 1)
    return packets.put16(data, 2, packets.checksum(data))


class Traffic:
    """A little of everything, on 127.0.0.1 and ::1."""

    def __init__(self):
        self.servers = []
        for family, addr in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.bind((addr, 0))
            tcp = socket.socket(family, socket.SOCK_STREAM)
            tcp.bind((addr, 0))
            tcp.listen(16)
            self.servers.append((family, udp, tcp))
        self.icmp = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.held = []
        self.number = 0

    def round(self):
        self.number += 1
        for family, udp, tcp in self.servers:
            client = socket.socket(family, socket.SOCK_DGRAM)
            client.settimeout(1)
            try:
                client.sendto(b"question", udp.getsockname())
                udp.settimeout(1)
                _, who = udp.recvfrom(100)
                udp.sendto(b"answer", who)
                if self.number % 3:
                    client.recv(100)
                # Nobody is there: an ICMP error comes back.
                client.sendto(b"x", (udp.getsockname()[0], 9))
            except OSError:
                pass
            client.close()
            conn = socket.socket(family, socket.SOCK_STREAM)
            conn.settimeout(1)
            try:
                conn.connect(tcp.getsockname())
                tcp.settimeout(1)
                there, _ = tcp.accept()
                conn.send(b"hello")
                self.held.append((conn, there))
            except OSError:
                conn.close()
        try:
            self.icmp.sendto(echo_request(self.number), ("127.0.0.1", 0))
        except OSError:
            pass
        while len(self.held) > 20:
            for sock in self.held.pop(0):
                # Some end by a reset, some in order.
                if self.number % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()


def flood(seconds):
    end = time.monotonic() + seconds
    traffic = Traffic()
    while time.monotonic() < end:
        traffic.round()


def one_space(number, rules):
    os.unshare(os.CLONE_NEWNET)
    loopback_up()
    if rules:
        subprocess.run(["nft", "-f", rules], check=True)
    traffic = Traffic()
    for _ in range(5 + number % 5):
        traffic.round()
    # A process that still sends while this one, and then the namespace, ends.
    if number % 4 == 0 and os.fork() == 0:
        for _ in range(20):
            traffic.round()
        os._exit(0)
    os._exit(0)


def spaces(count, jobs, rules=None):
    running, bad = set(), 0
    for number in range(count):
        while len(running) >= jobs:
            pid, status = os.wait()
            running.discard(pid)
            bad += status != 0
        pid = os.fork()
        if pid == 0:
            try:
                one_space(number, rules)
            finally:
                os._exit(1)
        running.add(pid)
    for pid in running:
        bad += os.waitpid(pid, 0)[1] != 0
    print(f"{count} namespaces, {bad} failed")
    return bad > 0


def insert(first, count):
    import netlink_garbage as nl
    link = nl.Link()
    for i in range(first, first + count):
        there, back = nl.ports(17, 1 + i % 60000, 2000 + i // 60000)
        attrs = [[1, [[1, [list(a) for a in nl.ADDR[nl.AF_INET]]], [2, there]]],
                 [2, [[1, nl.swap(nl.AF_INET)], [2, back]]], [3, nl.be32(0x0e)], [7, nl.be32(600)]]
        said, _ = link.request(nl.CT, nl.NEW, nl.CREATE | nl.EXCL, nl.AF_INET, attrs)
        if said != "0":
            print(said)
            return 1
    return 0


def read(path):
    with open(path) as f:
        return f.read()


def storm(count):
    import netlink_garbage as nl
    link = nl.Link()
    buckets, param = "/proc/sys/net/netfilter/nf_conntrack_buckets", "/sys/module/nf_conntrack/parameters/hashsize"
    traffic, bad = Traffic(), 0
    insert(0, 200)
    for i in range(count):
        size = 1024 << (i % 6)
        with open(buckets if i % 2 else param, "w") as f:
            f.write(f"{size}\n")
        if int(read(buckets)) != size:
            print(f"resize {i}: {read(buckets).strip()}, not {size}")
            bad += 1
        traffic.round()
        if i % 5 == 1:
            mine = [line for line in read("/proc/net/nf_conntrack").splitlines() if "src=192.0.2.1 " in line]
            if len(mine) != 200 or len(set(line.split("sport=")[1] for line in mine)) != 200:
                print(f"resize {i}: {len(mine)} of 200 entries in /proc")
                bad += 1
        if i % 5 == 3:
            link.sock.send(link.message(nl.CT, nl.GET, nl.REQUEST | nl.ACK | nl.DUMP, nl.AF_INET, b""))
            said, n = link.answer()
            if said != "0" or n < 200:
                print(f"resize {i}: dump {said}, {n} entries")
                bad += 1
        if i % 7 == 6:
            nl.flush(link)
            insert(0, 200)
    nl.flush(link)
    print(f"{count} resizes, {bad} bad")
    return bad > 0


def main():
    what, *rest = sys.argv[1:]
    if what == "flood":
        return flood(float(rest[0]) if rest else 3600)
    if what == "insert":
        return insert(int(rest[0]), int(rest[1]))
    if what == "storm":
        return storm(int(rest[0]))
    return spaces(int(rest[0]), int(rest[1]), *rest[2:])


if __name__ == "__main__":
    sys.exit(main())
