#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Helpers and what they expect: FTP both ways and translated, TFTP, PPTP with its
# GRE, expectations of nft rules and of the conntrack tool, limits, events, ends.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start
modprobe -qa nf_conntrack_ftp nf_conntrack_tftp nf_conntrack_pptp nf_nat_ftp 2>/dev/null
rules() {
	in_ns "$R" nft -f - <<'END'
flush ruleset
table inet t {
	counter related {}
	counter born {}
	ct helper ftp { type "ftp" protocol tcp; }
	ct helper tftp { type "tftp" protocol udp; }
	ct helper pptp { type "pptp" protocol tcp; }
	ct expectation data { protocol tcp; dport 9876; timeout 1m; size 2; l3proto ip; }
	ct expectation brief { protocol tcp; dport 9877; timeout 4s; size 2; l3proto ip; }
	chain prerouting {
		type filter hook prerouting priority filter
		tcp dport 21 ct helper set "ftp"
		udp dport 69 ct helper set "tftp"
		tcp dport 1723 ct helper set "pptp"
		tcp dport 8888 ct state new ct expectation set "data"
		tcp dport 8889 ct state new ct expectation set "brief"
	}
	chain forward {
		type filter hook forward priority filter
		ct state related counter name related
		ct state new counter name born
		ct helper "ftp" ct state new ct mark set 21
	}
}
END
}
rules
ct() { in_ns "$R" conntrack "$@" 2>"$tmp/err"; }

# What is expected, less what time changes: /proc and netlink.
expected() { in_ns "$R" sed -E 's/^[0-9]+ //' /proc/net/nf_conntrack_expect | sort; }
listed() { ct -L expect "$@" | sed -E 's/^[0-9]+ //; s/ use=[0-9]+//; s/ id=[0-9]+//' | sort; }
expects() { [ "$(expected | wc -l)" = "$1" ]; }
stats() { for column in expect_new expect_create expect_delete; do printf '%s=%s ' $column "$(stat_sum "$R" $column)"; done; }
line() { say send-quoted "$1" "${2// /%20}%0d%0a"; }

# Ports are ours: facts must not depend on chance.
port=20000
connect() { # NAME NS ADDRESS PORT
	port=$((port + 1))
	say tcp-connect "$1" "$2" "$3" "$4" sport=$port
}

# control NAME ADDRESS [PORT]: a connection with a greeting, as NAME and NAME-server.
control() {
	local name=$1 addr=$2 to=${3:-21}
	say tcp-listen listener "$S" "$addr" "$to"
	connect "$name" "$C" "$addr" "$to"
	say accept "$name-server" listener
	say close listener
	line "$name-server" "220 hello"
	say recv-quoted "$name"
	line "$name" "USER me"
	say recv-quoted "$name-server"
}
end() { say close "$1"; say close "$1-server"; }

# --- FTP

for family in 4 6; do
	if [ $family = 4 ]; then
		c=10.0.1.2 s=10.0.2.2
		passive='227 Entering Passive Mode (10,0,2,2,156,64)' active='PORT 10,0,1,2,156,65' next='227 Entering Passive Mode (10,0,2,2,156,66)'
	else
		c=2001:db8:1::2 s=2001:db8:2::2
		passive='229 Extended Passive Mode OK (|||40000|)' active="EPRT |2|$c|40001|" next='229 Extended Passive Mode OK (|||40002|)'
	fi
	flush "$R"
	control a $s
	is "IPv$family nothing expected" "" "$(expected)"
	line a-server "$passive"
	say recv-quoted a
	like "IPv$family passive: /proc lists it" "dst=.* sport=0 dport=40000 ftp\$" "$(expected)"
	like "IPv$family passive: conntrack -L expect lists it" "dport=40000 .*mask-src=.*helper=ftp" "$(listed -f ipv$family)"
	fact <<<"$(expected)"
	fact <<<"$(listed -f ipv$family)"
	zero "$R"
	say tcp-listen d "$S" $s 40000
	connect e "$C" $s 40000
	say accept f d
	is "IPv$family passive: the data connection is related, and not new" "related=1 born=0" "$(counts "$R" | tr ' ' '\n' | sort -r | xargs)"
	is "IPv$family passive: expected once" "" "$(expected)"
	like "IPv$family passive: the rule sees the master's helper only" "dport=40000 .*mark=0" "$(entry "$R" -f ipv$family -p tcp --dport 40000)"
	fact "$(entries "$R" -f ipv$family -p tcp --dport 40000)"
	say exchange e f 100000
	for x in d e f; do say close $x; done
	say tcp-listen d "$S" $s 40000
	flush "$R" # the control connection, too

	control b $s
	line b "$active"
	say recv-quoted b-server
	like "IPv$family active: expected from anywhere on the server" "src=.* sport=0 dport=40001 ftp" "$(expected)"
	fact <<<"$(expected)"
	line b-server "$next"
	say recv-quoted b
	is "IPv$family one at a time: the newer one stays" 1 "$(expected | wc -l)"
	like "IPv$family one at a time: it is the newer one" "dport=40002 ftp" "$(expected)"
	line b-server "$next"
	say recv-quoted b
	is "IPv$family the same once more" 1 "$(expected | wc -l)"
	ct -D -f ipv$family -p tcp --dport 21 >"$tmp/out"
	is "IPv$family the end of the master is the end of it" "" "$(expected)"
	fact "$(stats)"
	end a; end b; say close d
done

# --- events

flush "$R"
ip netns exec "$R" conntrack -E expect >"$tmp/events" 2>"$tmp/events.err" &
events_pid=$!
pids+=("$events_pid")
poll 10 listening "$R" || fail "conntrack -E expect does not listen"
control a 10.0.2.2
line a-server '227 Entering Passive Mode (10,0,2,2,156,64)'
say recv-quoted a
line a-server '227 Entering Passive Mode (10,0,2,2,156,66)'
say recv-quoted a
ct -D -p tcp --dport 21 >"$tmp/out"
poll 5 events_have 'DESTROY.*dport=40002'
events_stop
is "events: in order" "NEW 40000 DESTROY 40000 NEW 40002 DESTROY 40002" \
	"$(sed -nE 's/.*\[(NEW|DESTROY)\].* dport=(4000[0-9]) mask.*/\1 \2/p' "$tmp/events" | xargs)"
end a

# --- by hand: conntrack -I/-G/-D/-F expect

flush "$R"
control a 10.0.2.2
sport=$(entry "$R" -p tcp --dport 21 | sed -nE '1s/.* sport=([0-9]+) dport=21 .*/\1/p')
by_hand() { # COMMAND ARG...: an expectation of that connection
	local how=$1
	shift
	ct "$how" expect -p tcp --orig-src 10.0.1.2 --orig-dst 10.0.2.2 --orig-port-src "$sport" --orig-port-dst 21 "$@"
}
mask="--mask-src 255.255.255.255 --mask-dst 255.255.255.255 --mask-port-src 0 --mask-port-dst 65535"
# shellcheck disable=SC2086 # words
hand() { by_hand -I --tuple-src 10.0.1.2 --tuple-dst 10.0.2.2 --tuple-port-src 0 --tuple-port-dst "$1" $mask --timeout 100; }
ok "by hand: -I expect" hand 5000
fact <<<"$(expected)"
fact <<<"$(listed)"
refused "by hand: not twice" hand 5000
is "by hand: one" 1 "$(expected | wc -l)"
in_ns "$R" sysctl -qw net.netfilter.nf_conntrack_expect_max=1 2>/dev/null
fact "expect_max in a namespace: $(in_ns "$R" sysctl -n net.netfilter.nf_conntrack_expect_max 2>&1 | head -1)"
ok "by hand: -F expect" ct -F expect
is "by hand: none left" "" "$(expected)"
end a

# --- expectations of rules

flush "$R"
control a 10.0.2.2 8888
like "rule: expected, the other way round" "src=10.0.2.2 dst=10.0.1.2 sport=0 dport=9876" "$(expected)"
fact <<<"$(expected)"
zero "$R"
say tcp-listen d "$C" 10.0.1.2 9876
connect e "$S" 10.0.1.2 9876
say accept f d
is "rule: related" 1 "$(packets "$R" related)"
is "rule: used up" "" "$(expected)"
for x in d e f; do say close $x; done
end a
flush "$R"
control a 10.0.2.2 8889
is "rule: brief one is there" 1 "$(expected | wc -l)"
ok "rule: and ends by itself" poll 15 expects 0
end a

# --- TFTP: the answer comes from another port

flush "$R"
zero "$R"
say udp a "$C" 10.0.1.2 5556
say udp b "$S" 10.0.2.2 69
say udp d "$S" 10.0.2.2 6969
printf -v request '%s' '%00%01file%00octet%00'
python3 - "$C" "$request" <<'END'
import os, socket, sys, urllib.parse
fd = os.open(f"/run/netns/{sys.argv[1]}", os.O_RDONLY)
os.setns(fd, 0)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("10.0.1.2", 5556))
sock.sendto(urllib.parse.unquote_to_bytes(sys.argv[2]), ("10.0.2.2", 69))
END
like "TFTP: the answer is expected" "l3proto = 2 proto=17 .*dport=5556.*tftp" "$(expected)"
fact <<<"$(expected)"
say udp-to d 10.0.1.2 5556
is "TFTP: the answer is related" 1 "$(packets "$R" related)"
is "TFTP: used up" "" "$(expected)"
fact "$(entries "$R" -p udp)"
for x in a b d; do say close $x; done

# --- FTP translated: the router is who the server sees

in_ns "$R" nft -f - <<'END'
table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname r2 masquerade
	}
}
END
flush "$R"
control a 10.0.2.2
line a 'PORT 10,0,1,2,156,65'
got=$(agent recv-quoted a-server)
like "NAT: the server is told the router's address" 'PORT 10,0,2,1,' "$got"
fact "$got"
fact <<<"$(expected)"
say tcp-listen d "$C" 10.0.1.2 40001
connect e "$S" 10.0.2.1 40001
say accept f d
say exchange e f 5000
pass "NAT: the server connects to the client through the router"
# The lengths differ, so numbers do from here on.
for x in 1 2 3; do line a "NOOP $x"; say recv-quoted a-server; line a-server "200 $x"; say recv-quoted a; done
pass "NAT: and the control connection goes on"
fact "$(entries "$R" -p tcp)"
for x in d e f; do say close $x; done
end a
in_ns "$R" nft delete table ip nat
flush "$R"

# --- PPTP: keys of calls

control a 10.0.2.2 1723
pptp() { # SOCKET HEX: a control message with its header
	local size=$((${#2} / 2 + 8))
	say send-quoted "$1" "$(printf '%04x00011a2b3c4d%s' $size "$2" | sed 's/../%&/g')"
}
zeros() { printf '00%.0s' $(seq "$1"); }
pptp a "000100000100000000000003000000030000$(zeros 2)$(zeros 128)"
say recv-quoted a-server
pptp a-server "0002000001000100000000030000000300000001$(zeros 128)"
say recv-quoted a
# The client's call 0x1111, the server's 0x2222.
pptp a "0007000011110001$(zeros 152)"
say recv-quoted a-server
pptp a-server "000800002222111101000000$(zeros 12)"
say recv-quoted a
fact <<<"$(expected)"
is "PPTP: both directions are expected" 2 "$(expected | grep -c proto=47)"
zero "$R"
# The client's packets carry the server's key, and the other way round.
gre() { printf '2001880b0000%04x' "$1"; }
ip4() { python3 -c '
import struct, socket, sys
src, dst, payload = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, 47, 0, socket.inet_aton(src), socket.inet_aton(dst))
total = sum(struct.unpack("!10H", head)); total = (total & 0xffff) + (total >> 16); total = ~((total & 0xffff) + (total >> 16)) & 0xffff
print((head[:10] + struct.pack("!H", total) + head[12:] + payload).hex())' "$@"; }
left hex "hex=$(ip4 10.0.1.2 10.0.2.2 "$(gre 0x2222)")"
right hex "hex=$(ip4 10.0.2.2 10.0.1.2 "$(gre 0x1111)")"
related_seen() { [ "$(packets "$R" related)" -ge 1 ]; }
poll 3 related_seen
is "PPTP: one connection of both directions" 1 "$(entries "$R" -p gre | wc -l)"
like "PPTP: with both keys" "srckey=0x1111 dstkey=0x2222 .*srckey=0x2222 dstkey=0x1111" "$(entries "$R" -p gre)"
unlike "PPTP: answered" UNREPLIED "$(entries "$R" -p gre)"
fact "$(entries "$R" -p gre)"
fact <<<"$(expected)"
ct -D -p tcp --dport 1723 >"$tmp/out"
is "PPTP: the call ends with the control connection" "" "$(entries "$R" -p gre)"
is "PPTP: nothing is expected" "" "$(expected)"
end a

# --- the end of a helper

flush "$R"
control a 10.0.2.2
line a-server '227 Entering Passive Mode (10,0,2,2,156,64)'
say recv-quoted a
is "helper's end: it expects something" 1 "$(expected | wc -l)"
in_ns "$R" nft flush ruleset
# A worker frees the rules, which hold the helper until then.
unload_helper() {
	local module
	for module in nf_nat_ftp nf_conntrack_ftp; do
		[ ! -e /sys/module/$module ] || rmmod $module 2>"$tmp/err" || return 1
	done
}
if poll 10 unload_helper; then
	is "helper's end: nothing expected" "" "$(expected)"
	line a-server '227 Entering Passive Mode (10,0,2,2,156,66)'
	say recv-quoted a
	is "helper's end: nothing more" "" "$(expected)"
	is "helper's end: the connection stays" 1 "$(entries "$R" -p tcp --dport 21 | wc -l)"
	modprobe nf_conntrack_ftp
	rules
	control b 10.0.2.2
	line b-server '227 Entering Passive Mode (10,0,2,2,156,64)'
	say recv-quoted b
	is "helper's end: and it comes back" 1 "$(expected | wc -l)"
	end b
else
	skip "helper's end" "built in, or in use: $(cat "$tmp/err")"
fi
end a
fact "$(stats)"
