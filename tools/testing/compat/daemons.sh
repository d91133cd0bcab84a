#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Servers and clients that people use, through masquerading and helpers: vsftpd with
# lftp, tftpd-hpa with tftp, ngircd with DCC, SIPp; IPv4 and IPv6. Nothing but what is
# related may come in from the server's side.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack vsftpd lftp in.tftpd tftp ngircd sipp

helper_router

# daemon NS t|u ADDRESS PORT COMMAND...: in the foreground of a background of ours.
daemon() {
	local ns=$1 kind=$2 address=$3 port=$4
	shift 4
	ip netns exec "$ns" "$@" >>"$tmp/daemons" 2>&1 </dev/null &
	pids+=($!)
	poll 10 listens "$ns" "$kind" "$address" "$port" || { fail "$1 listens at $address"; tail -n 5 "$tmp/daemons" | diag; }
}
# After each client: what the table, the expectations and the rules saw.
seen() {
	# A transfer of more than two seconds is a stream, and that is assured: chance.
	table "$w $1" "$R" -f ipv$family | sed '/: udp /s/ \[ASSURED\]//'
	fact "$w $1 related: $([ "$(packets "$R" related)" -gt 0 ] && echo yes || echo no), refused: $(packets "$R" refused)"
	zero "$R"
	flush "$R"
}

mkdir -p "$tmp/files" "$tmp/got" /run/vsftpd/empty /run/ircd
chmod 755 "$tmp" "$tmp/files"
head -c 300000 /dev/zero | tr '\0' x >"$tmp/files/large"
chmod 644 "$tmp/files/large"
for family in 4 6; do
	if [ $family = 4 ]; then s=10.0.2.2 c=10.0.1.2 at=$s listen=listen; else s=2001:db8:2::2 c=2001:db8:1::2 at="[$s]" listen=listen_ipv6; fi
	cat >"$tmp/vsftpd.$family" <<END
$listen=YES
listen$([ $family = 6 ] && echo 6)_address$([ $family = 6 ] || echo)=$s
anonymous_enable=YES
anon_root=$tmp/files
no_anon_password=YES
background=NO
seccomp_sandbox=NO
connect_from_port_20=YES
pasv_min_port=30000
pasv_max_port=30010
END
	[ $family = 4 ] || sed -i 's/^listen6_address=/listen_address6=/' "$tmp/vsftpd.6"
	daemon "$S" t "$at" 21 vsftpd "$tmp/vsftpd.$family"
	daemon "$S" u "$at" 69 in.tftpd -L --secure --address "$at:69" "$tmp/files"
	daemon "$S" u "$at" 5060 env TERM=xterm sipp -sn uas -i "$s" -p 5060 -nostdin -bind_local
done
cat >"$tmp/ngircd.conf" <<'END'
[Global]
Name = irc.test.example
Info = test
Listen = 10.0.2.2,2001:db8:2::2
ServerUID = root
ServerGID = root
MotdPhrase = hello
[Limits]
PingTimeout = 120
[Options]
DNS = no
Ident = no
PAM = no
END
daemon "$S" t 10.0.2.2 6667 ngircd -n -f "$tmp/ngircd.conf"

# Two people on the server: the one inside offers a file to the one outside.
cat >"$tmp/dcc.py" <<'END'
import os, re, socket, sys
inside, outside, server, own, space = sys.argv[1:6]

def enter(name):
    fd = os.open(f"/run/netns/{name}", os.O_RDONLY)
    os.setns(fd, os.CLONE_NEWNET)
    os.close(fd)

class Person:
    def __init__(self, space, name):
        enter(space)
        self.sock = socket.create_connection((server, 6667), 20)
        self.file = self.sock.makefile("r", errors="replace", newline="\n")
        self.say(f"NICK {name}")
        self.say(f"USER {name} 0 * :{name}")
        self.wait(" 001 ")

    def say(self, text):
        self.sock.sendall((text + "\r\n").encode())

    def wait(self, what):
        for line in self.file:
            if line.startswith("PING"):
                self.say("PONG" + line.rstrip()[4:])
            if what in line:
                return line
        raise EOFError(what)

bob, alice = Person(outside, "bob"), Person(inside, "alice")
enter(inside)
listener = socket.create_server((own, 5000), family=socket.AF_INET)
listener.settimeout(20)
number = int.from_bytes(socket.inet_aton(own), "big")
alice.say(f"PRIVMSG bob :\x01DCC SEND file {number} 5000 7\x01")
offer = re.search(r"DCC SEND file (\d+) (\d+)", bob.wait("DCC SEND"))
address = socket.inet_ntoa(int(offer[1]).to_bytes(4, "big"))
enter(outside)
taker = socket.create_connection((address, int(offer[2])), 20)
giver, _ = listener.accept()
giver.sendall(b"a file\n")
giver.close()
print(f"offer of {address}: {taker.makefile().read().strip()}")
END

for family in 4 6; do
	if [ $family = 4 ]; then s=10.0.2.2 c=10.0.1.2 at=$s; else s=2001:db8:2::2 c=2001:db8:1::2 at="[$s]"; fi
	w="IPv$family"
	flush "$R"
	zero "$R"
	for passive in on off; do
		in_ns "$C" timeout 60 lftp -c "set net:timeout 10; set net:max-retries 1; set ftp:passive-mode $passive; set ftp:prefer-epsv yes
			open -u anonymous,x ftp://$at; get -O $tmp/got large -o large.$family.$passive" >"$tmp/out" 2>&1
		ok "$w vsftpd and lftp, passive mode $passive: the file comes" cmp "$tmp/files/large" "$tmp/got/large.$family.$passive"
		seen "FTP passive $passive"
	done
	in_ns "$C" timeout 60 tftp -$family -m octet "$s" -c get large "$tmp/got/tftp.$family" >"$tmp/out" 2>&1
	ok "$w tftpd-hpa and tftp: the file comes" cmp "$tmp/files/large" "$tmp/got/tftp.$family"
	seen TFTP
	# The helper does not understand what SIPp makes of IPv6 addresses.
	calls=failed
	in_ns "$C" timeout 60 env TERM=xterm sipp -sn uac -i "$c" -p 5060 -m 3 -r 3 -nostdin -timeout 15 "$at:5060" >"$tmp/out" 2>&1 && calls=through
	fact "$w SIPp: calls $calls"
	[ $family = 6 ] || is "$w SIPp: calls through the router" through $calls
	seen SIP
done
family=4 w=IPv4
said=$(timeout 60 python3 "$tmp/dcc.py" "$C" "$S" 10.0.2.2 10.0.1.2 x 2>&1)
is "IPv4 ngircd: the offer names the router, and the file comes" "offer of 10.0.2.1: a file" "$said"
seen IRC
fact "$(for x in expect_new expect_create expect_delete; do printf '%s=%s ' $x "$(stat_sum "$R" $x)"; done)"
