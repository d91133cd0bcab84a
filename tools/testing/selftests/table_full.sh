#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: changes nf_conntrack_max.
# A full table: what is not assured makes room (early_drop), what is assured does
# not; then packets are dropped, counted and logged; with room again all goes on.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

keep_limits

router
agent_start
in_ns "$R" nft -f - <<'END'
table inet t {
	counter passed {}
	chain forward {
		type filter hook forward priority filter
		ct state { new, established } counter name passed
	}
}
END
small_table 200
is "the limit" 200 "$(<$max)"

# Entries without an answer give way.
zero "$R"
say inject-many "$C" c0 "$(mac 1 1)" 400
# All in a bucket that may go go together, so there can be room for a few more.
within "400 flows, the table holds 200" 185 200 "$(size "$R")"
early=$(stat_sum "$R" early_drop) drop=$(stat_sum "$R" drop)
is "each of the others was dropped early or refused" 400 $((early + drop + $(size "$R")))
within "most gave way" 150 250 "$early"
is "what was not refused passed" $((400 - drop)) "$(packets "$R" passed)"

# A table of assured entries: nothing gives way. (Of our module's, one of the source that has the most
# would, see reclaim.sh.)
[ ! -e /proc/sys/net/netfilter/nf_conntrack_fair ] || setctl "$R" net.netfilter.nf_conntrack_fair=0
flush "$R"
ok "200 assured entries" in_ns "$R" python3 "$here/churn.py" insert 0 200
is "are in" 200 "$(size "$R")"
zero "$R"
mark_log
drop=$(stat_sum "$R" drop) early=$(stat_sum "$R" early_drop)
say inject-many "$C" c0 "$(mac 1 1)" 20
is "new flows are dropped" "0 20 0" "$(packets "$R" passed) $(($(stat_sum "$R" drop) - drop)) $(($(stat_sum "$R" early_drop) - early))"
new_log | grep -a 'nf_conntrack' | sed -E 's/^[^]]*\] *//; s/netns [0-9]+/netns N/' | sort -u | fact
like "and the kernel says so" 'nf_conntrack: table full in netns [0-9]+, dropping packet' "$(new_log)"
refused "-I is refused as well" in_ns "$R" conntrack -I -p udp -s 192.0.2.5 -d 192.0.2.6 --sport 1 --dport 2 --timeout 100
is "no entry was lost" 200 "$(size "$R")"

# Packets of flows that are in the table pass.
left udp src=192.0.2.1 dst=10.0.2.9 sport=9 dport=9
in_ns "$R" conntrack -D -p udp -s 192.0.2.1 --sport 1 >/dev/null 2>&1
zero "$R"
left udp src=10.0.1.9 dst=10.0.2.9 sport=7 dport=7
is "one that goes makes room for one" "1 200" "$(packets "$R" passed) $(size "$R")"
zero "$R"
left udp src=10.0.1.9 dst=10.0.2.9 sport=7 dport=7
right udp src=10.0.2.9 dst=10.0.1.9 sport=7 dport=7
is "the flow that came in goes on" 2 "$(packets "$R" passed)"

# Another namespace has a count of its own.
in_ns "$C" nft 'add table ip t; add chain ip t o { type filter hook output priority 0 ; }; add rule ip t o ct state new counter'
before=$(size "$C")
in_ns "$C" conntrack -I -p udp -s 192.0.2.5 -d 192.0.2.6 --sport 1 --dport 2 --timeout 100 >/dev/null 2>&1
is "another namespace is not full" $((before + 1)) "$(size "$C")"

# More room: all is well.
echo 400 >$max
zero "$R"
say inject-many "$C" c0 "$(mac 1 1)" 20 1000
is "with a higher limit new flows pass" 20 "$(packets "$R" passed)"
flush "$R"
is "and a flush empties it" 0 "$(size "$R")"
