#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sockets and raw packets in any network namespace, driven line by line.

A test starts one agent and writes commands; each is answered by one line, `ok
[TEXT]` or `error TEXT`. Commands (`NS` is a name of `ip netns`):

  tcp-listen NAME NS ADDR PORT        tcp-connect NAME NS ADDR PORT [sport=N] [src=A]
  accept NAME LISTENER                udp NAME NS ADDR PORT
  udp-to NAME ADDR PORT DATA          send NAME DATA      recv NAME
  close NAME    reset NAME    shut NAME    ping NS ADDR [ID]
  inject NS DEV MAC PROTO key=value...
  exchange CLIENT SERVER BYTES        exact CLIENT SERVER BYTES
  scan NS ADDR FIRST LAST
  inject-many NS DEV MAC COUNT [FIRST]
  flows LEFT RIGHT KIND NET FIRST HOSTS [PORT] [PORTS]
  look NS [PROTO]
  queue NAME NS NUMBER    queue-get NAME    queue-let NAME [drop]    queue-close NAME
"""

import os
import select
import signal
import socket
import struct
import sys
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import packets  # noqa: E402

sockets = {}
wires = {}
queues = {}
WAIT = 5 * int(os.environ.get("SLOW", "1"))


def enter(ns):
    fd = os.open("/proc/1/ns/net" if ns == "init" else f"/run/netns/{ns}", os.O_RDONLY)
    os.setns(fd, os.CLONE_NEWNET)
    os.close(fd)


def make(ns, family, kind, proto=0):
    enter(ns)
    sock = socket.socket(family, kind, proto)
    sock.settimeout(WAIT)
    return sock


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def options(words):
    return dict(word.split("=", 1) for word in words)


def tcp_listen(name, ns, addr, port):
    sock = make(ns, family(addr), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((addr, int(port)))
    sock.listen(64)
    sockets[name] = sock


def tcp_connect(name, ns, addr, port, *words):
    opts = options(words)
    sock = make(ns, family(addr), socket.SOCK_STREAM)
    sock.settimeout(float(opts.get("wait", WAIT)))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "sport" in opts:
        sock.bind((opts.get("src", "::" if ":" in addr else "0.0.0.0"), int(opts["sport"])))
    sock.connect((addr, int(port)))
    sockets[name] = sock


def accept(name, listener):
    sockets[name], _ = sockets[listener].accept()
    sockets[name].settimeout(WAIT)


def udp(name, ns, addr, port):
    sock = make(ns, family(addr), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((addr, int(port)))
    sockets[name] = sock


def udp_to(name, addr, port, data="x"):
    sockets[name].sendto(data.encode(), (addr, int(port)))


def send(name, data):
    sockets[name].sendall(data.encode())


def send_quoted(name, data):
    """Sends DATA with %XX for what a word cannot hold."""
    sockets[name].sendall(urllib.parse.unquote_to_bytes(data))


def recv(name):
    return sockets[name].recv(65536).decode(errors="replace")


def recv_quoted(name):
    """Receives, and says %XX for what would end the line."""
    return urllib.parse.quote(sockets[name].recv(65536), safe=" ,()|.")


def exchange(client, server, count):
    """BYTES from CLIENT to SERVER, and an answer of the same size."""
    count = int(count)
    for out, into in ((client, server), (server, client)):
        left, pending = count, memoryview(b"x" * count)
        sockets[out].setblocking(False)
        while left:
            if pending:
                try:
                    pending = pending[sockets[out].send(pending[:65536]):]
                except BlockingIOError:
                    pass
            left -= len(sockets[into].recv(262144)) if left else 0
        sockets[out].settimeout(WAIT)


def exact(client, server, count):
    """BYTES that nobody can guess from CLIENT to SERVER, and others back: each arrives in its place."""
    for out, into in ((client, server), (server, client)):
        data = os.urandom(int(count))
        pending, got = memoryview(data), bytearray()
        sockets[out].setblocking(False)
        while len(got) < len(data):
            if pending:
                try:
                    pending = pending[sockets[out].send(pending[:65536]):]
                except BlockingIOError:
                    pass
            got += sockets[into].recv(262144)
        sockets[out].settimeout(WAIT)
        if bytes(got) != data:
            raise ValueError("the data differ")


def shut(name):
    sockets[name].shutdown(socket.SHUT_WR)


def close(name):
    sockets.pop(name).close()


def reset(name):
    sock = sockets.pop(name)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def leave(*_signal):
    """Ends without a FIN to repeat: whose peer is gone would keep its namespace for minutes."""
    for name in [name for name, sock in sockets.items() if sock.type == socket.SOCK_STREAM]:
        reset(name)
    sys.exit()


def ping(ns, addr, ident="0x4242"):
    """One echo and its reply through a raw socket, with an id of our choice."""
    proto = socket.IPPROTO_ICMPV6 if ":" in addr else socket.IPPROTO_ICMP
    sock = make(ns, family(addr), socket.SOCK_RAW, proto)
    ident = int(ident, 0)
    head = struct.pack("!BBHHH", 128 if ":" in addr else 8, 0, 0, ident, 1)
    if ":" not in addr:
        head = packets.put16(head, 2, packets.checksum(head))
    sock.sendto(head, (addr, 0))
    try:
        while True:
            data = sock.recv(2048)
            body = data if ":" in addr else data[(data[0] & 15) * 4:]
            if body[0] in (0, 129) and struct.unpack("!H", body[4:6])[0] == ident:
                return "reply"
    except TimeoutError:
        return "silence"
    finally:
        sock.close()


def scan(ns, addr, first, last):
    """A connect scan of a range of ports: which answer with SYN and ACK."""
    tries = []
    enter(ns)
    for port in range(int(first), int(last) + 1):
        sock = socket.socket(family(addr), socket.SOCK_STREAM)
        sock.setblocking(False)
        tries.append((port, sock, sock.connect_ex((addr, port))))
    found = []
    for port, sock, _ in tries:
        select.select([], [sock], [], WAIT)
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            try:
                sock.getpeername()
                found.append(port)
            except OSError:
                pass
        sock.close()
    return "open " + ",".join(map(str, found))


def look(ns, proto="tcp"):
    """How many packets were invalid so far, and the state of the first entry of PROTO."""
    enter(ns)
    with open("/proc/thread-self/net/stat/nf_conntrack") as f:
        column = f.readline().split().index("invalid")
        invalid = sum(int(line.split()[column], 16) for line in f)
    with open("/proc/thread-self/net/nf_conntrack") as f:
        for line in f:
            words = line.split()
            if words[2] == proto:
                return f"{invalid} {words[5] if '=' not in words[5] else '-'}"
    return f"{invalid} none"


def attributes(data):
    """Netlink attributes of DATA as a dict."""
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack("=HH", data[at:at + 4])
        found[kind & 0x3FFF] = data[at + 4:at + size]
        at += max(4, (size + 3) & ~3)
    return found


def queue_message(sock, number, kind, attrs):
    body = b"".join(struct.pack("=HH", 4 + len(v), k) + v + b"\0" * (-len(v) % 4) for k, v in attrs)
    sock.send(struct.pack("=IHHII", 20 + len(body), 3 << 8 | kind, 1, 0, 0) + struct.pack("!BBH", 0, 0, number) + body)


def queue(name, ns, number):
    """Receives the packets that rules send to queue NUMBER and keeps them."""
    sock = make(ns, socket.AF_NETLINK, socket.SOCK_RAW, 12)
    sock.bind((0, 0))
    queue_message(sock, int(number), 2, [(1, struct.pack("!BBH", 1, 0, 0))])
    queue_message(sock, int(number), 2, [(2, struct.pack("!IB", 0, 1))])
    queues[name] = (sock, int(number), [])


def queue_get(name):
    sock, _, held = queues[name]
    while True:
        data = sock.recv(65536)
        if struct.unpack("=H", data[4:6])[0] == 3 << 8:
            held.append(attributes(data[20:])[1][:4])
            return len(held)


def queue_let(name, verdict="accept"):
    """The oldest packet goes on, or is dropped."""
    sock, number, held = queues[name]
    queue_message(sock, number, 1, [(2, struct.pack("!I", 1 if verdict == "accept" else 0) + held.pop(0))])


def queue_close(name):
    queues.pop(name)[0].close()


def build(proto, opts):
    """The packet that key=value words describe."""
    num = {k: int(v, 0) for k, v in opts.items()
           if k not in ("src", "dst", "flags", "csum", "data", "opt", "inner", "hex", "chunk")}
    src, dst = packets.address(opts.get("src", "10.0.1.9")), packets.address(opts.get("dst", "10.0.2.9"))
    data = bytes.fromhex(opts["data"]) if "data" in opts else b"x" * num.get("len", 0)
    sport, dport = num.get("sport", 1000), num.get("dport", 2000)
    csum = opts.get("csum")
    if proto == "tcp":
        flags = opts.get("flags", "S")
        number = packets.TCP
        body = packets.tcp(src, dst, sport, dport, int(flags, 0) if flags.startswith("0x") else flags,
                           num.get("seq", 0), num.get("ack", 0), num.get("win", 65535), data,
                           bytes.fromhex(opts.get("opt", "")), num.get("doff"), csum)
    elif proto == "udp":
        number = packets.UDP
        body = packets.udp(src, dst, sport, dport, data, num.get("ulen"), csum)
    elif proto == "icmp":
        number = packets.ICMP6 if src.version == 6 else packets.ICMP
        if "inner" in opts:
            data = inner(opts["inner"])
        rest = num.get("id", 0) << 16 | num.get("seq", 0) if "id" in num else num.get("rest", 0)
        body = packets.icmp(src, dst, num.get("type", 8), num.get("code", 0), rest, data, csum)
    elif proto == "sctp":
        number = packets.SCTP
        chunks = []
        for item in filter(None, opts.get("chunk", "1").split(",")):
            kind = int(item)
            # INIT and INIT-ACK carry tag, window, streams and first number.
            fixed = struct.pack("!IIHHI", num.get("itag", 7), 65536, 1, 1, 1) if kind in (1, 2) else b"1234"
            chunks.append((kind, num.get("cflags", 0), fixed))
        body = packets.sctp(sport, dport, num.get("vtag", 0), chunks, csum)
    elif proto == "gre":
        number = packets.GRE
        body = packets.gre(num.get("key", 5), num.get("gproto", 0x880B), num.get("ver", 1), data)
    elif proto == "ip":
        number = num.get("proto", 253)
        body = data
    else:
        raise ValueError(f"no such packet: {proto}")
    number = num.get("ipproto", number)
    if "cut" in num:
        body = body[:num["cut"]]
    packet = packets.ip(src, dst, number, body, num.get("ttl", 64), num.get("ident", 0), num.get("frag", 0),
                        num.get("ihl", 5), num.get("iplen"), num.get("ipcsum"), num.get("ipver"), num.get("flow", 0))
    return packet[:num["total"]] if "total" in num else packet


def inner(text):
    """The packet inside an ICMP error: PROTO/key=value/key=value..."""
    words = text.split("/")
    return build(words[0], options(words[1:]))


def inject(ns, dev, mac, proto, *words):
    if (ns, dev) not in wires:
        enter(ns)
        wires[ns, dev] = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    opts = options(words)
    times = int(opts.pop("times", "1"))
    packet = bytes.fromhex(opts["hex"]) if proto == "hex" else build(proto, opts)
    kind = 0x86DD if ":" in opts.get("src", "10.0.1.9") or packet[:1] and packet[0] >> 4 == 6 else 0x0800
    for _ in range(times):
        wires[ns, dev].sendto(packet, (dev, kind, 0, 0, bytes.fromhex(mac.replace(":", ""))))


def inject_many(ns, dev, mac, count, first="1"):
    """COUNT new UDP flows from the wire, one packet each."""
    for i in range(int(first), int(first) + int(count)):
        port = 1 + i % 60000
        inject(ns, dev, mac, "udp", f"sport={port}", f"dport={2000 + i // 60000}")


# What `flows` puts on the wires: side, flags, number and acknowledged number of each segment.
FLOWS = {
    "shaken": [("l", "S", 99, 0), ("r", "SA", 499, 100), ("l", "A", 100, 500)],
    # The other side answers, but nobody acknowledges what was sent.
    "loose": [("l", "A", 100, 400), ("r", "A", 500, 90), ("l", "A", 100, 400)],
    # One side says goodbye, again and again.
    "ending": [("l", "S", 99, 0), ("r", "SA", 499, 100), ("l", "A", 100, 500), ("l", "FA", 100, 500), ("l", "FA", 100, 500)],
    "again": [("l", "FA", 100, 500)],
}


def flows(left, right, kind, net, first, hosts, port="1000", ports="1"):
    """TCP flows through the router, from HOSTS hosts of NET (as 10.99.0.) to 10.0.2.9, PORTS each."""
    wire = {"l": (left, "c0", "02:00:00:00:01:01"), "r": (right, "s0", "02:00:00:00:02:01")}
    for host in range(int(first), int(first) + int(hosts)):
        for number in range(int(port), int(port) + int(ports)):
            there, back = (f"{net}{host}", str(number)), ("10.0.2.9", "80")
            for side, flags, seq, ack in FLOWS[kind]:
                (src, sport), (dst, dport) = (there, back) if side == "l" else (back, there)
                inject(*wire[side], "tcp", f"src={src}", f"dst={dst}", f"sport={sport}", f"dport={dport}",
                       f"flags={flags}", f"seq={seq}", f"ack={ack}")


COMMANDS = {
    "tcp-listen": tcp_listen, "tcp-connect": tcp_connect, "accept": accept, "udp": udp, "udp-to": udp_to,
    "send": send, "send-quoted": send_quoted, "recv": recv, "recv-quoted": recv_quoted, "exchange": exchange,
    "exact": exact, "shut": shut, "close": close, "reset": reset, "ping": ping,
    "inject": inject, "scan": scan, "look": look,
    "flows": flows, "queue": queue, "queue-get": queue_get, "queue-let": queue_let, "queue-close": queue_close, "inject-many": inject_many,
}


def main():
    signal.signal(signal.SIGTERM, leave)
    for line in sys.stdin:
        words = line.split()
        try:
            said = COMMANDS[words[0]](*words[1:])
            print("ok" if said is None else f"ok {said}", flush=True)
        except Exception as err:  # the test decides what an error means
            name = type(err).__name__
            print(f"error {name}: {err}".replace("\n", " "), flush=True)
    leave()


if __name__ == "__main__":
    main()
