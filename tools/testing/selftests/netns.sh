#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Namespaces come and go under traffic; entries, events and statistics of one are
# its own; the end of one takes its entries along. SPACES=N: how many.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

cat >"$tmp/rules" <<'END'
table inet t {
	chain o {
		type filter hook output priority 0
		ct state new ct mark set 1
	}
	chain i {
		type filter hook input priority 0
		ct state invalid drop
	}
}
END
n=${SPACES:-20}
is "$n namespaces end amid their traffic" "$n namespaces, 0 failed" \
	"$(python3 "$here/churn.py" spaces "$n" 4 "$tmp/rules" 2>&1 | tail -n1)"

# One keeps what it has while its neighbours end; on a slow kernel that takes long.
router
agent_start
in_ns "$R" nft -f "$tmp/rules"
in_ns "$C" nft -f "$tmp/rules"
in_ns "$R" nft 'add chain inet t f { type filter hook forward priority 0 ; }'
setctl "$R" net.netfilter.nf_conntrack_udp_timeout=600
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=2
is "an entry here" 1 "$(entries "$R" -f ipv4 | wc -l)"
python3 "$here/churn.py" spaces 5 2 "$tmp/rules" >/dev/null 2>&1
is "stays when others end" 1 "$(entries "$R" -f ipv4 | wc -l)"
in_ns "$C" conntrack -I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport 1 --dport 2 --timeout 100 >/dev/null 2>&1
is "and is not the neighbour's" "" "$(entries "$C" -p udp -s 10.0.1.9)"
is "nor the other way round" "" "$(entries "$R" -s 192.0.2.1)"
in_ns "$C" conntrack -F >/dev/null 2>&1
is "a flush there flushes there" 1 "$(entries "$R" -f ipv4 | wc -l)"

# A listener here hears nothing of others.
events_start "$R"
in_ns "$C" conntrack -I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport 1 --dport 2 --timeout 100 >/dev/null 2>&1
left udp src=10.0.1.9 dst=10.0.2.9 sport=3 dport=4
poll 5 events_have 'dport=4'
events_stop
is "events are of this namespace only" 0 "$(grep -c 192.0.2.1 "$tmp/events")"

# The end of a namespace with a live connection through it.
say tcp-listen l "$S" 10.0.2.2 80
say tcp-connect a "$C" 10.0.2.2 80 sport=40000
say accept b l
say send a hello
ip netns del "$R"
pass "the router ended with a connection through it"
# The name is free for a new one at once.
space "$R"
in_ns "$R" nft -f "$tmp/rules"
is "a new namespace of that name is empty" 0 "$(size "$R")"
