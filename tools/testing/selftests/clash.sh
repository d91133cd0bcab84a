#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Two packets of one flow race to be confirmed. A queue holds the first until the
# second is through, so the outcome does not depend on luck: UDP, ICMP and GRE join
# the entry that came first, TCP is dropped; the counters say so.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start
modprobe -q nfnetlink_queue
in_ns "$R" nft -f - <<'END' || fail "the rule set loads"
table inet t {
	counter passed {}
	chain forward {
		type filter hook forward priority filter
		ct state invalid drop
	}
	chain hold {
		type filter hook forward priority 5
		iifname r1 queue num 5
	}
	# Before confirmation, which is the last.
	chain post {
		type filter hook postrouting priority 100
		iifname r1 oifname r2 counter name passed
	}
}
END
say queue q "$R" 5

there() { [ "$(entries "$R" | wc -l)" = 1 ]; }

# race WHAT PACKET...: the same first packet twice, the first held back; then sets
# $entries, $clash, $drop, $failed, $passed.
race() {
	flush "$R"
	zero "$R"
	local c d f
	c=$(stat_sum "$R" clashres) d=$(stat_sum "$R" drop) f=$(stat_sum "$R" insert_failed)
	left "$@"
	agent queue-get q >/dev/null || fail "the first packet is held"
	left "$@"
	agent queue-get q >/dev/null || fail "the second packet is held"
	# -C counts those that are not confirmed yet, -L does not list them.
	is "$what: both are counted, none is in the table" "2 0" "$(size "$R") $(entries "$R" | wc -l)"
	say queue-let q
	poll 5 there || fail "$what: the first is confirmed"
	say queue-let q
	poll 5 eval '[ $(($(stat_sum "$R" clashres) - '$c' + $(stat_sum "$R" drop) - '$d' + $(stat_sum "$R" insert_failed) - '$f')) != 0 ]'
	entries=$(entries "$R" | wc -l)
	clash=$(($(stat_sum "$R" clashres) - c)) drop=$(($(stat_sum "$R" drop) - d))
	failed_inserts=$(($(stat_sum "$R" insert_failed) - f)) passed=$(packets "$R" passed)
	fact "$what: entries $entries, clashres $clash, drop $drop, insert_failed $failed_inserts, passed $passed"
	fact "$(entries "$R")"
}

for family in 4 6; do
	[ $family = 4 ] && { l=10.0.1.9 h=10.0.2.9 f=ipv4; echo=8; } || { l=2001:db8:1::9 h=2001:db8:2::9 f=ipv6; echo=128; }
	what="IPv$family UDP"
	race udp src=$l dst=$h sport=1111 dport=5
	is "$what: one entry, both packets pass" "1 2" "$entries $passed"
	is "$what: resolved, not dropped" "1 0" "$clash $drop"
	what="IPv$family TCP"
	race tcp src=$l dst=$h sport=1111 dport=5 flags=S seq=1 win=1000
	is "$what: one entry" 1 "$entries"
	what="IPv$family ICMP"
	race icmp src=$l dst=$h type=$echo id=5
	is "$what: one entry" 1 "$entries"
	what="IPv$family GRE"
	race gre src=$l dst=$h key=5
	is "$what: one entry" 1 "$entries"
	what="IPv$family protocol 253"
	race ip src=$l dst=$h proto=253 len=8
	is "$what: one entry" 1 "$entries"

	# The reply comes while the second packet is still held.
	flush "$R"
	what="IPv$family UDP answered in between"
	c=$(stat_sum "$R" clashres)
	left udp src=$l dst=$h sport=1111 dport=6
	agent queue-get q >/dev/null
	left udp src=$l dst=$h sport=1111 dport=6
	agent queue-get q >/dev/null
	say queue-let q
	poll 5 there
	right udp src=$h dst=$l sport=6 dport=1111
	unlike "$what: replied" UNREPLIED "$(entry "$R" -f $f -p udp)"
	say queue-let q
	poll 5 eval '[ "$(stat_sum "$R" clashres)" -gt '"$c"' ]'
	is "$what: one entry, resolved" "1 $((c + 1))" "$(entries "$R" | wc -l) $(stat_sum "$R" clashres)"
done

# Held packets whose entry is deleted or whose table is flushed meanwhile.
flush "$R"
left udp src=10.0.1.9 dst=10.0.2.9 sport=1111 dport=7
agent queue-get q >/dev/null
flush "$R"
say queue-let q
poll 3 there || :
fact "entries after a flush while the first packet was held: $(entries "$R" | wc -l)"
left udp src=10.0.1.9 dst=10.0.2.9 sport=1111 dport=8
agent queue-get q >/dev/null
say queue-let q drop
is "a held packet that is dropped leaves nothing" 0 "$(entries "$R" -p udp --dport 8 | wc -l)"

# A queue that ends while it holds packets, and a namespace that ends with them.
left udp src=10.0.1.9 dst=10.0.2.9 sport=1111 dport=9
agent queue-get q >/dev/null
say queue-close q
is "a queue that ends drops what it held" 0 "$(entries "$R" -p udp --dport 9 | wc -l)"
say queue q "$R" 5
left udp src=10.0.1.9 dst=10.0.2.9 sport=1111 dport=10
agent queue-get q >/dev/null
ok "a namespace that ends with a packet held" ip netns del "$R"
