#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Probing of connections whose packets take unusual ways: a SYN proxy, a VRF, a flow
# table, a bridge. Where a probe can take the same way it does, else nobody is asked.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

[ -e /proc/sys/net/netfilter/nf_conntrack_tcp_probe_time ] || skip_all "this module does not probe"

router
agent_start
on() { setctl "$R" net.netfilter.nf_conntrack_tcp_probe_{probes=3,interval=1,rate=1000,time=1}; }
off() { setctl "$R" net.netfilter.nf_conntrack_tcp_probe_time=0; }
watch() { # NS
	in_ns "$1" nft -f - <<'END'
table inet watch {
	counter asked {}
	chain input {
		type filter hook input priority 0
		tcp sport 7000-7999 counter name asked
		tcp dport 7000-7999 counter name asked
	}
}
END
}
watch "$C"
watch "$S"
connect() { # PORT SERVER
	say tcp-listen l "$S" "$2" "$1"
	say tcp-connect c "$C" "$2" "$1"
	say accept s l
	# A second time, so that both have spoken in whatever state this leads to.
	say exact c s 3000
	say exact c s 3000
	# What is acknowledged late is no probe.
	sleep 0.3
	zero "$C"
	zero "$S"
}
over() {
	say close c
	say close s
	say close l
}
flow() { in_ns "$R" conntrack -L -p tcp --dport "$1" 2>/dev/null; }
got() { [ "$(packets "$C" asked)" -ge "$1" ] && [ "$(packets "$S" asked)" -ge "$1" ]; }

lives() { # PORT WHAT: is probed, and goes on
	ok "$2: both ends are probed" poll 20 got 12
	like "$2: is still there" 'ESTABLISHED .*\[ASSURED\]' "$(flow "$1")"
	ok "$2: every byte arrives" agent exact c s 100000
	over
}
alone() { # PORT WHAT REGEX: is left alone
	sleep 4
	is "$2: nobody is asked" "0 0" "$(packets "$C" asked) $(packets "$S" asked)"
	like "$2: is still there" "$3" "$(flow "$1")"
	ok "$2: every byte arrives" agent exact c s 100000
	over
}

on
# --- a SYN proxy, whose numbers and timestamps are its own towards either end

in_ns "$R" nft -f - <<'END'
table inet t {
	chain raw { type filter hook prerouting priority raw; tcp dport 7010 tcp flags syn notrack; }
	chain forward {
		type filter hook forward priority filter; policy drop
		tcp dport 7010 ct state { invalid, untracked } synproxy mss 1460 wscale 7 timestamp sack-perm
		ct state established,related accept
	}
}
END
setctl "$R" net.netfilter.nf_conntrack_tcp_loose=0 net.ipv4.tcp_syncookies=1
for server in 10.0.2.2 2001:db8:2::2; do
	connect 7010 $server
	lives 7010 "SYN proxy, $server"
	flush "$R"
done
setctl "$R" net.netfilter.nf_conntrack_tcp_loose=1

# --- a flow table carries it

in_ns "$R" nft -f - <<'END'
flush ruleset
table inet t {
	flowtable fast { hook ingress priority 0; devices = { r1, r2 }; }
	chain forward {
		type filter hook forward priority filter
		ct state established meta l4proto tcp flow add @fast
	}
}
END
connect 7020 10.0.2.2
alone 7020 "flow table" OFFLOAD
in_ns "$R" nft flush ruleset
flush "$R"

# --- a VRF

in_ns "$R" nft 'table inet t { chain forward { type filter hook forward priority filter; ct state new,established accept; drop; }; }'
if ip -n "$R" link add vrf1 type vrf table 10 2>/dev/null; then
	ip -n "$R" link set vrf1 up
	ip -n "$R" link set r1 master vrf1
	ip -n "$R" link set r2 master vrf1
	connect 7030 10.0.2.2
	lives 7030 "VRF"
	ip -n "$R" link del vrf1
else
	skip "VRF" "this kernel has none"
fi
flush "$R"

# --- a bridge

bridge() {
	modprobe -q br_netfilter
	ip -n "$R" link add br0 type bridge || return
	ip -n "$R" addr flush dev r1
	ip -n "$R" addr flush dev r2
	ip -n "$R" link set r1 master br0
	ip -n "$R" link set r2 master br0
	ip -n "$R" link set br0 up
	# Could be taken for a router by who does not look.
	ip -n "$R" addr add 10.0.2.1/24 dev br0
	setctl "$R" net.bridge.bridge-nf-call-iptables=1 || return
	ip -n "$C" addr add 10.0.2.3/24 dev c0
	poll 20 in_ns "$C" ping -c 1 -W 1 -I 10.0.2.3 10.0.2.2
}
if bridge 2>"$tmp/err"; then
	connect 7040 10.0.2.2
	alone 7040 "bridge" 'ESTABLISHED .*\[ASSURED\]'
else
	skip "bridge" "$(paste -sd' ' "$tmp/err")"
fi
off
