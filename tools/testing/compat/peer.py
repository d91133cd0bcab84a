#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Small real servers and clients for the compatibility scenarios; not a library.

  peer.py serve PROTO ADDRESS PORT     a server of ftp, tftp, irc, sip or echo
  peer.py ftp ADDRESS active|passive   ftplib's client: fetches and stores a file
  peer.py tftp ADDRESS                 fetches a file
  peer.py irc ADDRESS                  offers a file by DCC, and hands it over
  peer.py sip ADDRESS                  calls, and receives media
  peer.py refused ADDRESS PORT         what an ICMP error does to a UDP socket
  peer.py udp ADDRESS PORT SIZE        one datagram and its echo
  peer.py tcp ADDRESS PORT SIZE [SPORT [SOURCE]]  SIZE bytes and their echo

Clients print what they saw, ports of the kernel's choice left out. Modules that
take long to load are imported where they are needed.
"""

import os
import re
import socket
import struct
import sys

WAIT = 5 * int(os.environ.get("SLOW", "1"))
FILE = bytes(range(256)) * 64
socket.setdefaulttimeout(WAIT)


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def listener(addr, port):
    sock = socket.socket(family(addr), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((addr, port))
    sock.listen(16)
    sock.settimeout(None)
    return sock


def datagrams(addr, port=0):
    sock = socket.socket(family(addr), socket.SOCK_DGRAM)
    sock.bind((addr, port))
    return sock


def read_all(sock):
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def exactly(sock, size):
    data = b""
    while len(data) < size and (piece := sock.recv(65536)):
        data += piece
    return data


# --- servers: each handles one connection, or one datagram


def serve_echo(sock, _peer):
    while data := sock.recv(65536):
        sock.sendall(data)


def serve_ftp(sock, _peer):
    lines = sock.makefile("rw", newline="\r\n")
    passive = target = None

    def say(text):
        lines.write(text + "\n")
        lines.flush()

    def data():
        if passive:
            conn, _ = passive.accept()
            return conn
        # As an FTP server does: from its port 20.
        conn = socket.socket(sock.family, socket.SOCK_STREAM)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        conn.bind((sock.getsockname()[0], 20))
        conn.connect(target)
        return conn

    say("220 ready")
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        word = word.upper()
        if word == "USER":
            say("331 password")
        elif word == "PASS":
            say("230 in")
        elif word in ("TYPE", "NOOP"):
            say("200 ok")
        elif word in ("PASV", "EPSV"):
            passive = listener(sock.getsockname()[0], 0)
            passive.settimeout(WAIT)
            port = passive.getsockname()[1]
            if word == "EPSV":
                say(f"229 Extended Passive Mode OK (|||{port}|)")
            else:
                host = sock.getsockname()[0].replace(".", ",")
                say(f"227 Entering Passive Mode ({host},{port >> 8},{port & 255})")
        elif word == "PORT":
            n = rest.split(",")
            passive, target = None, (".".join(n[:4]), int(n[4]) * 256 + int(n[5]))
            say(f"200 told {target[0]}")
        elif word == "EPRT":
            n = rest.split(rest[0])
            passive, target = None, (n[2], int(n[3]))
            say(f"200 told {target[0]}")
        elif word == "RETR":
            say("150 here")
            with data() as conn:
                conn.sendall(FILE)
            say("226 done")
        elif word == "STOR":
            say("150 go on")
            with data() as conn:
                got = read_all(conn)
            say("226 same" if got == FILE else "451 differs")
        elif word == "QUIT":
            say("221 bye")
            return
        else:
            say("502 no")


def serve_irc(sock, _peer):
    """Takes up an offer to send a file, as its addressee would."""
    lines = sock.makefile("rw", newline="\r\n")
    for line in lines:
        found = re.search(r"DCC SEND (\S+) (\d+) (\d+) (\d+)", line)
        if found:
            addr = socket.inet_ntoa(struct.pack("!I", int(found[2])))
            with socket.create_connection((addr, int(found[3])), WAIT) as conn:
                same = exactly(conn, len(FILE)) == FILE
            lines.write(f"offer of {addr}: {'same' if same else 'differs'}\n")
        else:
            lines.write("ok\n")
        lines.flush()


def serve_tftp(sock, data, peer):
    """Answers from a port of its own."""
    with datagrams(sock.getsockname()[0]) as own:
        for block in range(len(FILE) // 512 + 1):
            own.sendto(struct.pack("!HH", 3, block + 1) + FILE[block * 512:block * 512 + 512], peer)
            own.recvfrom(1500)


def sdp(addr, port):
    kind = "IP6" if ":" in addr else "IP4"
    return f"v=0\r\no=- 1 1 IN {kind} {addr}\r\ns=-\r\nc=IN {kind} {addr}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"


def sip(first, headers, body):
    lines = [first, *headers, "Content-Type: application/sdp", f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


def host(addr):
    return f"[{addr}]" if ":" in addr else addr


def media(body):
    return re.search(r"c=IN IP[46] (\S+)", body)[1], int(re.search(r"m=audio (\d+)", body)[1])


def serve_sip(sock, data, peer):
    """Answers a call and sends a word to where the caller says that it listens."""
    text = data.decode()
    if not text.startswith("INVITE"):
        return
    own = sock.getsockname()[0]
    headers = [line for line in text.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
    headers.append(f"Contact: <sip:callee@{host(own)}:5060>")
    with datagrams(own, 40000) as rtp:
        sock.sendto(sip("SIP/2.0 200 OK", headers, sdp(own, 40000)), peer)
        where = media(text)
        # The second waits for the caller's word, the first opens the way.
        rtp.sendto(f"you are {where[0]}".encode(), where)
        rtp.recvfrom(1500)
        rtp.sendto(b"heard you", where)


def serve(proto, addr, port):
    import threading

    if proto in ("tftp", "sip", "udp"):
        sock = datagrams(addr, int(port))
        sock.settimeout(None)
        while True:
            data, peer = sock.recvfrom(65536)
            if proto == "udp":
                sock.sendto(data, peer)
                continue
            threading.Thread(target={"tftp": serve_tftp, "sip": serve_sip}[proto], args=(sock, data, peer),
                             daemon=True).start()
    sock = listener(addr, int(port))
    handle = {"ftp": serve_ftp, "irc": serve_irc, "echo": serve_echo}[proto]
    while True:
        conn, peer = sock.accept()
        conn.settimeout(WAIT)
        threading.Thread(target=handle, args=(conn, peer), daemon=True).start()


# --- clients


def ftp(addr, mode):
    import ftplib
    import io
    used = set()

    class Client(ftplib.FTP):
        def makeport(self):
            here = self.sock.getsockname()[0]
            while True:
                sock = socket.create_server((here, 0), family=self.af, backlog=1)
                own, port = sock.getsockname()[:2]
                # Two transfers of the same port would be one entry.
                if port not in used:
                    break
                sock.close()
            used.add(port)
            (self.sendport if self.af == socket.AF_INET else self.sendeprt)(own, port)
            sock.settimeout(self.timeout)
            return sock

        def sendcmd(self, cmd):
            said = super().sendcmd(cmd)
            if cmd[:4] in ("PORT", "EPRT", "PASV"):
                print(re.sub(r"\d+,\d+\)", "p,p)", said))
            return said
    client = Client(timeout=WAIT)
    client.connect(addr, 21)
    client.login("me", "secret")
    client.set_pasv(mode == "passive")
    for _ in range(3):
        got = []
        client.retrbinary("RETR file", got.append)
        print("fetched", b"".join(got) == FILE)
    print("stored", client.storbinary("STOR file", io.BytesIO(FILE)))
    print(client.sendcmd("NOOP"))
    client.quit()


def tftp(addr):
    with datagrams("::" if ":" in addr else "0.0.0.0") as sock:
        sock.sendto(b"\0\1file\0octet\0", (addr, 69))
        got = b""
        while True:
            data, peer = sock.recvfrom(1500)
            got += data[4:]
            sock.sendto(b"\0\4" + data[2:4], peer)
            if len(data) < 516:
                break
    print("fetched", got == FILE)


def irc(addr):
    with socket.create_connection((addr, 6667), WAIT) as conn:
        own = conn.getsockname()[0]
        offer = listener(own, 0)
        offer.settimeout(WAIT)
        lines = conn.makefile("rw", newline="\r\n")
        lines.write("NICK me\n")
        lines.flush()
        print(lines.readline().strip())
        number, = struct.unpack("!I", socket.inet_aton(own))
        lines.write(f"PRIVMSG you :\1DCC SEND file {number} {offer.getsockname()[1]} {len(FILE)}\1\n")
        lines.flush()
        with offer.accept()[0] as peer:
            peer.sendall(FILE)
            print(lines.readline().strip())
        lines.write("PRIVMSG you :still there\n")
        lines.flush()
        print(lines.readline().strip())


def call(addr):
    with socket.socket(family(addr), socket.SOCK_DGRAM) as probe:
        probe.connect((addr, 5060))
        own = probe.getsockname()[0]
    with datagrams(own, 5060) as sock, datagrams(own, 30000) as rtp:
        headers = [f"Via: SIP/2.0/UDP {host(own)}:5060;branch=z9hG4bK1", f"From: <sip:caller@{host(own)}>;tag=1",
                   f"To: <sip:callee@{host(addr)}>", "Call-ID: 1@caller", "CSeq: 1 INVITE",
                   f"Contact: <sip:caller@{host(own)}:5060>", "Max-Forwards: 70"]
        sock.sendto(sip(f"INVITE sip:callee@{host(addr)} SIP/2.0", headers, sdp(own, 30000)), (addr, 5060))
        text = sock.recv(4096).decode()
        print(text.split("\r\n")[0], "media at", *media(text))
        print("heard:", rtp.recv(1500).decode())
        rtp.sendto(b"hello", media(text))
        print("heard:", rtp.recv(1500).decode())


def refused(addr, port):
    with socket.socket(family(addr), socket.SOCK_DGRAM) as sock:
        sock.connect((addr, int(port)))
        sock.send(b"anybody?")
        try:
            sock.recv(100)
        except OSError as err:
            print(type(err).__name__)


def udp(addr, port, size, sport="0", source=None):
    with socket.socket(family(addr), socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((source or ("::" if ":" in addr else "0.0.0.0"), int(sport)))
        sock.connect((addr, int(port)))
        sock.send(b"x" * int(size))
        print("echo", len(sock.recv(65536)))


def tcp(addr, port, size, sport="0", source=None):
    source = source or ("::" if ":" in addr else "0.0.0.0")
    with socket.socket(family(addr), socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((source, int(sport)))
        sock.connect((addr, int(port)))
        left = int(size)
        got = 0
        while left:
            piece = min(left, 32768)
            sock.sendall(b"x" * piece)
            got += len(exactly(sock, piece))
            left -= piece
        print("echo", got)


def main():
    command = {"serve": serve, "ftp": ftp, "tftp": tftp, "irc": irc, "sip": call, "refused": refused,
               "udp": udp, "tcp": tcp}[sys.argv[1]]
    try:
        command(*sys.argv[2:])
    except Exception as err:  # the test decides what an error means
        print(type(err).__name__, getattr(err, "strerror", None) or err)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
