#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""memory.py NAME...: does one thing with conntrack over and over, and each time the next
allocation of memory in it fails, until it goes through without one that did.

The kernel's fault injection counts the allocations of one task (/proc/thread-self/fail-nth).
One line for each NAME: how many allocations it makes, and how often which answer came.
Works in the network namespace at hand.
"""

import collections
import ctypes
import errno
import os
import random
import socket
import sys

import netlink_garbage as nl

CLONE_NEWNET = 0x40000000
# On x86-64: the library has no functions for these.
FINIT_MODULE, DELETE_MODULE = 313, 176
KNOBS = "/proc/sys/net/netfilter/"
# No more tries than this: what allocates more often is tried at places drawn by chance.
TRIES = int(os.environ.get("TRIES", "400"))
ALL = 1 << 30

libc = ctypes.CDLL(None, use_errno=True)


class FailNth:
    """The allocation that fails, counted from now on; 0 for none."""

    def __init__(self):
        self.file = os.open("/proc/thread-self/fail-nth", os.O_RDWR)

    def set(self, number):
        os.pwrite(self.file, b"%d" % number, 0)

    def left(self):
        return int(os.pread(self.file, 32, 0).decode().strip("\0\n ") or 0)


def attempt(call):
    try:
        call()
        return "0"
    except TimeoutError:
        return "silence"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))


class Netlink:
    """Requests, each on a socket that no earlier failure has left anything in."""

    def __init__(self, subsys, kind, flags, family, attrs, before=()):
        self.request = (subsys, kind, flags, family, attrs)
        self.before = before
        self.link = None

    def prepare(self):
        if self.link:
            self.link.sock.close()
        link = nl.Link()
        nl.flush(link)
        for request in self.before:
            link.request(*request)
        link.sock.close()
        self.link = nl.Link()
        # An answer for which there was no memory does not come.
        self.link.sock.settimeout(0.2)

    def __call__(self):
        said = "silence"

        def ask():
            nonlocal said
            said, _ = self.link.request(*self.request)

        failure = attempt(ask)
        return said if failure == "0" else failure


def conntrack(helper=None):
    family, attrs = nl.whole("udp")
    if helper:
        attrs = attrs + [[5, [[1, helper]]]]
    return family, attrs


def new(helper=None):
    family, attrs = conntrack(helper)
    return (nl.CT, nl.NEW, nl.CREATE | nl.EXCL, family, attrs)


def requests():
    family, attrs = conntrack()
    expect_family, expect = nl.expectation()
    policy = [[1, b"short\0"], [2, nl.be16(nl.AF_INET)], [3, bytes([17])],
              [4, [[1, nl.be32(10)], [2, nl.be32(20)]]]]
    master = new(b"tftp\0")
    make = (nl.EXP, nl.NEW, nl.CREATE | nl.EXCL, expect_family, expect)
    no_policy = (nl.TIMEOUT, nl.DELETE, 0, family, policy[:1])
    return {
        "create": Netlink(*new()),
        "create_with_helper": Netlink(*master),
        "update": Netlink(nl.CT, nl.NEW, 0, family, attrs, before=[new()]),
        "get": Netlink(nl.CT, nl.GET, 0, family, attrs[:1], before=[new()]),
        "delete": Netlink(nl.CT, nl.DELETE, 0, family, attrs[:1], before=[new()]),
        "dump": Netlink(nl.CT, nl.GET, nl.DUMP, family, [], before=[new()]),
        "expect": Netlink(*make, before=[master]),
        "expect_dump": Netlink(nl.EXP, nl.GET, nl.DUMP, family, [], before=[master, make]),
        "expect_delete": Netlink(nl.EXP, nl.DELETE, 0, family, expect[1:2], before=[master, make]),
        "timeout": Netlink(nl.TIMEOUT, nl.NEW, nl.CREATE | nl.EXCL, family, policy, before=[no_policy]),
        "timeout_dump": Netlink(nl.TIMEOUT, nl.GET, nl.DUMP, family, [], before=[(*no_policy[:1], nl.NEW,
                                nl.CREATE | nl.EXCL, family, policy)]),
    }


class Send:
    """A datagram to this machine, and through the rules for what goes out and comes in."""

    def __init__(self, family, port, data):
        self.family, self.port, self.data = family, port, data
        self.sock = None

    def prepare(self):
        if self.sock:
            self.sock.close()
        link = nl.Link()
        nl.flush(link)
        link.sock.close()
        self.sock = socket.socket(self.family, socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1" if self.family == socket.AF_INET else "::1", self.port))

    def __call__(self):
        return attempt(lambda: self.sock.send(self.data))


class Read:
    """A file, whole."""

    def __init__(self, path):
        self.path = path

    def prepare(self):
        link = nl.Link()
        link.request(*new())
        link.sock.close()

    def __call__(self):
        def read():
            file = os.open(self.path, os.O_RDONLY)
            try:
                while os.read(file, 1 << 16):
                    pass
            finally:
                os.close(file)

        return attempt(read)


class Write:
    """Values to a file, one after the other."""

    def __init__(self, path, values):
        self.path, self.values, self.turn = path, values, 0

    def prepare(self):
        self.file = os.open(self.path, os.O_WRONLY)
        self.turn += 1

    def __call__(self):
        said = attempt(lambda: os.write(self.file, self.values[self.turn % len(self.values)]))
        os.close(self.file)
        return said


class InChild:
    """A system call in a process of its own, which it changes. `opened` is what it needs before;
    none of the allocations that `first` makes as well fails."""

    def __init__(self, call, opened=lambda: None, after=None, first=None):
        self.call, self.opened, self.after, self.first = call, opened, after, first

    def spared(self):
        return ALL - self.first.run(ALL)[1] if self.first else 0

    def prepare(self):
        pass

    def run(self, number):
        """The answer, and how many allocations there were before NUMBER was reached."""
        near, far = os.pipe()
        child = os.fork()
        if child == 0:
            fault, opened = FailNth(), self.opened()
            fault.set(number)
            result = self.call(opened)
            code = ctypes.get_errno()
            left = fault.left()
            fault.set(0)
            said = "0" if result >= 0 else errno.errorcode.get(code, "?")
            os.write(far, f"{said} {left}".encode())
            os._exit(0)
        os.close(far)
        said, left = os.read(near, 64).decode().split()
        os.close(near)
        os.waitpid(child, 0)
        if self.after and said == "0":
            self.after()
        return said, int(left)


def load_module(path):
    """Loads a module from its file; unloads it if that went through."""
    name = os.path.basename(path).split(".")[0].encode()

    def load(file, parameters=b""):
        return libc.syscall(FINIT_MODULE, file, parameters, 0)

    def unload():
        if libc.syscall(DELETE_MODULE, name, os.O_NONBLOCK) != 0:
            raise OSError(ctypes.get_errno(), f"{name} does not unload")

    def opened():
        return os.open(path, os.O_RDONLY)

    # A bad parameter is refused when the kernel has prepared everything but what is the module's own.
    prepared = InChild(lambda file: load(file, b"hashsize=none"), opened)
    return InChild(load, opened, unload, prepared)


def things():
    known = requests()
    known.update({
        "send": Send(socket.AF_INET, 9, b"x"),
        "send6": Send(socket.AF_INET6, 9, b"x"),
        "send_tftp": Send(socket.AF_INET, 69, b"\0\1name\0octet\0"),
        "read_table": Read("/proc/net/nf_conntrack"),
        "read_expectations": Read("/proc/net/nf_conntrack_expect"),
        "resize": Write(KNOBS + "nf_conntrack_buckets", [b"512", b"1024"]),
        "namespace": InChild(lambda _: libc.unshare(CLONE_NEWNET)),
    })
    return known


def once(thing, number, fault):
    """Does it while allocation NUMBER fails: the answer, and whether that one was reached."""
    thing.prepare()
    if isinstance(thing, InChild):
        said, left = thing.run(number)
        return said, left
    fault.set(number)
    said = thing()
    left = fault.left()
    fault.set(0)
    return said, left


def sweep(name, thing, fault):
    # The first time other things are made as well, which stay.
    for _ in range(2):
        said, left = once(thing, ALL, fault)
    count = ALL - left
    spared = thing.spared() if isinstance(thing, InChild) else 0
    numbers = range(spared + 1, count + 1)
    if len(numbers) > TRIES:
        numbers = sorted(random.Random(1).sample(numbers, TRIES))
    answers = collections.Counter()
    for number in numbers:
        answers[once(thing, number, fault)[0]] += 1
    last, _ = once(thing, ALL, fault)
    seen = " ".join(f"{answer}:{n}" for answer, n in sorted(answers.items()))
    print(f"{name} allocations={count - spared} tries={len(numbers)} answers={seen or 'none'}"
          f" before={said} after={last}", flush=True)


def main():
    fault = FailNth()
    known = things()
    for name in sys.argv[1:]:
        thing = load_module(name[5:]) if name.startswith("load=") else known[name]
        sweep(name.split("/")[-1], thing, fault)


if __name__ == "__main__":
    main()
