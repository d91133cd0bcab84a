#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Two firewalls kept alike by conntrackd: a translated connection through the first
# goes on through the second after a fail-over, and only because it was synchronised.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack conntrackd

router
T=$name-t
space "$T"
link "$R" y0 "$T" y0 8
agent_start

rules() { # NS
	setctl "$1" net.ipv4.ip_forward=1 net.netfilter.nf_conntrack_tcp_loose=0
	in_ns "$1" nft -f - <<'END'
flush ruleset
table ip t {
	counter refused {}
	chain forward {
		type filter hook forward priority filter; policy drop
		ct state established accept
		iifname r1 ct state new tcp flags syn accept
		counter name refused
	}
	chain postrouting { type nat hook postrouting priority srcnat; oifname r2 snat to 10.0.2.50; }
}
END
}
daemon() { # NS OWN OTHER
	cat >"$tmp/$1.conf" <<END
Sync {
	Mode FTFW {
		DisableExternalCache Off
		PurgeTimeout 60
	}
	UDP {
		IPv4_address $2
		IPv4_Destination_Address $3
		Port 3780
		Interface y0
		Checksum on
	}
}
General {
	HashSize 1024
	HashLimit 8192
	LockFile $tmp/$1.lock
	UNIX {
		Path $tmp/$1.ctl
	}
	NetlinkBufferSize 262144
	NetlinkBufferSizeMaxGrowth 524288
	Filter From Userspace {
		Protocol Accept {
			TCP
		}
		Address Ignore {
			IPv4_address 127.0.0.1
		}
	}
}
END
	ip netns exec "$1" conntrackd -C "$tmp/$1.conf" >"$tmp/$1.out" 2>&1 &
	pids+=($!)
	poll 10 test -S "$tmp/$1.ctl" || { fail "conntrackd in $1"; diag <"$tmp/$1.out"; }
}
ask() { in_ns "$1" conntrackd -C "$tmp/$1.conf" "$2" 2>&1; }
# The addresses go with the links: the second firewall takes both over.
take_over() { # FROM TO
	local net
	for net in 1 2; do
		ip -n "$1" link set r$net netns "$2"
		ip -n "$2" addr add 10.0.$net.1/24 dev r$net
		ip -n "$2" link set r$net up
	done
	ip -n "$2" addr add 10.0.2.50/32 dev r2
}

rules "$R"
rules "$T"
ip -n "$R" addr add 10.0.2.50/32 dev r2
daemon "$R" 10.0.8.1 10.0.8.2
daemon "$T" 10.0.8.2 10.0.8.1
say tcp-listen l "$S" 10.0.2.2 80
say tcp-connect a "$C" 10.0.2.2 80 sport=20001
say accept b l
say exchange a b 20000
external() { ask "$T" -e | grep -q 'ESTABLISHED.*sport=20001'; }
ok "the other firewall hears of the connection" poll 15 external
ask "$T" -e | grep sport=20001 | sed -E 's/\[active since [0-9]+s\]//; s/ [0-9]+ ESTABLISHED/ ESTABLISHED/; s/ +$//' | fact
is "its table does not have it yet" 0 "$(entries "$T" -p tcp | wc -l)"
ask "$T" -c >"$tmp/out"
committed() { [ "$(entries "$T" -p tcp --dport 80 | wc -l)" = 1 ]; }
ok "committed on fail-over" poll 10 committed
entries "$T" -p tcp | fact
in_ns "$T" conntrack -L -p tcp --src-nat 2>/dev/null | plain | sed 's/^/src-nat: /' | fact
take_over "$R" "$T"
say exchange a b 20000
pass "the connection goes on"
fact "refused=$(packets "$T" refused)"
entries "$T" -p tcp | sed -E "$settled" | fact
say close a
say close b
gone() { entries "$T" -p tcp | grep -qE 'TIME_WAIT|CLOSE|LAST_ACK' || [ "$(entries "$T" -p tcp | wc -l)" = 0 ]; }
ok "and ends" poll 10 gone
for ns in "$R" "$T"; do ask "$ns" -k >/dev/null; done
