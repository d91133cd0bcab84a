#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Looks at conntrack's sysctls and writes to them, in the namespace it runs in.

  list           every file: name, mode, owner, group
  values         the ones that do not depend on the machine, with their values
  try NAME VALUE what a write answers and what is there afterwards; the old
                 value is put back
"""

import errno
import os
import sys

DIRS = ("/proc/sys/net/netfilter", "/proc/sys/net")
# Not conntrack's own, or different from one moment or machine to the next.
FOREIGN = ("nf_log", "nf_hooks_lwtunnel", "nf_conntrack_frag6")
MACHINE = ("nf_conntrack_count", "nf_conntrack_buckets", "nf_conntrack_max", "nf_conntrack_expect_max")


def files():
    for folder in DIRS:
        for name in sorted(os.listdir(folder)):
            if not name.startswith("nf_") or name.startswith(FOREIGN):
                continue
            yield name if folder.endswith("netfilter") else "net." + name, f"{folder}/{name}"


def read(path):
    with open(path, "rb") as f:
        return f.read().decode().strip()


def write(path, data):
    fd = -1
    try:
        fd = os.open(path, os.O_WRONLY)
        return f"{os.write(fd, data.encode())} bytes" if data else f"{os.write(fd, b'')} bytes"
    except OSError as err:
        return errno.errorcode.get(err.errno, str(err.errno)) + ("" if fd >= 0 else " at open")
    finally:
        if fd >= 0:
            os.close(fd)


def main():
    what = sys.argv[1]
    if what == "list":
        for name, path in files():
            st = os.stat(path)
            print(f"{name} {st.st_mode & 0o7777:o} {st.st_uid}:{st.st_gid}")
    elif what == "values":
        for name, path in files():
            if not name.endswith(MACHINE):
                print(name, read(path))
    elif what == "try":
        paths = dict(files())
        for line in sys.stdin:
            name, *values = line.rstrip("\n").split("\t")
            old = read(paths[name])
            for value in values:
                said = write(paths[name], value.encode().decode("unicode_escape"))
                now = read(paths[name])
                shown = "same" if now == old else now
                print(f"{name} <- {value!r}: {said}; {shown}")
                if now != old:
                    write(paths[name], old + "\n")
                    if read(paths[name]) != old:
                        print(f"{name}: cannot put {old} back")


if __name__ == "__main__":
    main()
