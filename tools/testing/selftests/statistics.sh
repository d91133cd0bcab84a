#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: changes nf_conntrack_max.
# What can be seen of a full table: /proc/net/nf_conntrack_reclaim, DESTROY events
# for all that is evicted, tracepoints, the log, cttop; and that what is dead does
# not keep the count up.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3
[ "${TESTBED_MODULE:-ours}" = ours ] || skip_all "mainline has no such statistics"

keep_limits
tracing=/sys/kernel/tracing
restore() { [ ! -w $tracing/events/nf_conntrack/enable ] || echo 0 >$tracing/events/nf_conntrack/enable; }

reclaim() { in_ns "$1" cat /proc/net/nf_conntrack_reclaim; }
# key NS KEY: its number. sum NS PREFIX: of all keys that begin so.
key() { reclaim "$1" | awk -v key="$2" '$1 == key { print $2 }'; }
sum() { reclaim "$1" | awk -v key="$2" 'index($1, key) == 1 { n += $2 } END { print n + 0 }'; }

router
agent_start
in_ns "$R" nft -f - <<'END'
table inet t {
	chain forward {
		type filter hook forward priority filter
		ct state { new, established } accept
	}
}
END
echo 512 >$buckets

# --- the file

text=$(reclaim "$R")
is "it begins with its version" "version 1" "$(head -n 1 <<<"$text")"
is "each line is a key and a number" "" "$(grep -Ev '^[^ ]+ [0-9]+$' <<<"$text")"
is "no key comes twice" "" "$(cut -d' ' -f1 <<<"$text" | sort | uniq -d)"
is "it is for root" 440 "$(in_ns "$R" stat -c %a /proc/net/nf_conntrack_reclaim)"
is "it says which namespace it is" "$(in_ns "$R" readlink /proc/self/ns/net | tr -dc 0-9)" "$(key "$R" netns)"
is "an unused namespace has counted nothing" "0 0 0" "$(key "$S" refused) $(sum "$S" evicted.) $(sum "$S" class.)"
undocumented=$(cut -d' ' -f1 <<<"$text" | sed 's/\..*//' | sort -u | while read -r name; do
	grep -q "\`\`${name}[.\`]" "$here/../../../Documentation/statistics.rst" || echo "$name"
done)
is "every key is documented" "" "$undocumented"

# --- occupancy

echo 1000 >$max
in_ns "$R" conntrack -I -p tcp -s 192.0.2.1 -d 192.0.2.2 --sport 1 --dport 2 --state TIME_WAIT --timeout 119 -u SEEN_REPLY,ASSURED >/dev/null 2>&1
in_ns "$R" conntrack -I -p tcp -s 192.0.2.1 -d 192.0.2.2 --sport 2 --dport 2 --state CLOSE_WAIT --timeout 59 -u SEEN_REPLY,ASSURED >/dev/null 2>&1
in_ns "$R" conntrack -I -p tcp -s 192.0.2.1 -d 192.0.2.2 --sport 3 --dport 2 --state ESTABLISHED --timeout 999 -u SEEN_REPLY,ASSURED >/dev/null 2>&1
in_ns "$R" conntrack -I -p udp -s 192.0.2.3 -d 192.0.2.2 --sport 4 --dport 2 --timeout 29 -u SEEN_REPLY >/dev/null 2>&1
left udp src=2001:db8:7::1 dst=2001:db8:2::9 sport=5 dport=2
is "entries by class" "0 1 1 1 1 0 1" "$(for class in expired closed closing unreplied answered idle active; do key "$R" class.$class; done | xargs)"
is "all of them" "$(size "$R")" "$(sum "$R" class.)"
is "they were opened" 5 "$(key "$R" opened)"
is "sources" "source.192.0.2.1/32 3" "$(reclaim "$R" | grep ^source | head -n 1)"
like "an IPv6 source is a /64" '^source\.2001:0db8:0007:0000:0000:0000:0000:0000/64 1$' "$(reclaim "$R")"
flush "$R"

# --- evictions: counters, events and traces tell the same

traced=
if mount -t tracefs none $tracing 2>/dev/null || [ -d $tracing/events ]; then
	ok "there are tracepoints" test -d $tracing/events/nf_conntrack/nf_ct_evict -a -d $tracing/events/nf_conntrack/nf_ct_probe
	traced=1
	echo 8192 >$tracing/buffer_size_kb
	echo 1 >$tracing/events/nf_conntrack/enable
	echo >$tracing/trace
else
	skip "tracepoints" "no tracefs here"
fi
echo 200 >$max
events_start "$R" -e DESTROY
before=$(sum "$R" evicted.) early=$(stat_sum "$R" early_drop) opened=$(key "$R" opened) refused=$(key "$R" refused)
say inject-many "$C" c0 "$(mac 1 1)" 600
evicted=$(($(sum "$R" evicted.) - before)) early=$(($(stat_sum "$R" early_drop) - early))
within "a flood of three tables evicts two" 390 400 "$evicted"
is "early_drop says the same, as packets did it" "$evicted" "$early"
is "each was opened or refused" 600 $(($(key "$R" opened) - opened + $(key "$R" refused) - refused))
is "the others are there" "$(size "$R")" $((600 - evicted - $(key "$R" refused) + refused))
told() { [ "$(grep -c DESTROY "$tmp/events")" -ge "$evicted" ]; }
ok "listeners hear of each" poll 10 told
events_stop
is "and of no other" "$evicted" "$(grep -c DESTROY "$tmp/events")"
if [ -n "$traced" ]; then
	is "so do tracers" "$evicted" "$(grep -c 'nf_ct_evict: .*proto=17 src=10.0.1.9:.* class=unreplied reason=[a-z]* idle_ms=[0-9]*$' $tracing/trace)"
	is "with the number of the namespace" "$(key "$R" netns)" "$(sed -n 's/.*nf_ct_evict: netns=\([0-9]*\) .*/\1/p' $tracing/trace | sort -u)"
fi
is "another namespace counted none of it" 0 "$(sum "$S" evicted.)"

# --- refusals, and what the log says of them

# All entries are of one source: without fair shares nothing gives way.
setctl "$R" net.netfilter.nf_conntrack_fair=0
flush "$R"
ok "200 assured entries" in_ns "$R" python3 "$here/churn.py" insert 0 200
[ -z "$traced" ] || echo >$tracing/trace
drop=$(stat_sum "$R" drop) refused=$(key "$R" refused) evicted=$(sum "$R" evicted.)
mark_log
say inject-many "$C" c0 "$(mac 1 1)" 20
is "20 are refused and dropped" "20 20 0" "$(($(key "$R" refused) - refused)) $(($(stat_sum "$R" drop) - drop)) $(($(sum "$R" evicted.) - evicted))"
like "the log says so" 'table full in netns [0-9]+, dropping packet' "$(new_log)"
[ -z "$traced" ] || is "traces too" 20 "$(grep -c 'nf_ct_full: .* count=20[1-9] max=200 fate=drop$' $tracing/trace)"
setctl "$R" net.netfilter.nf_conntrack_full_policy=2
drop=$(stat_sum "$R" drop)
mark_log
say inject-many "$C" c0 "$(mac 1 1)" 20
is "20 go on untracked" "40 20 0" "$(($(key "$R" refused) - refused)) $(key "$R" refused_passed) $(($(stat_sum "$R" drop) - drop))"
unlike "the log is silent, as nothing is dropped" 'table full' "$(new_log)"
[ -z "$traced" ] || is "traces are not" 20 "$(grep -c 'nf_ct_full: .* fate=untracked$' $tracing/trace)"
setctl "$R" net.netfilter.nf_conntrack_full_policy=0
flush "$R"

# --- what is dead does not keep the count up

# fill COUNT FIRST ARG...: entries that were idle for as long as their timeout is over.
fill() {
	local count=$1 port=$2
	shift 2
	for ((i = 0; i < count; i++)); do
		echo "-I $1 $2 -s 192.0.2.9 -d 192.0.2.10 --sport $((port + i)) --dport 80 ${*:3}"
	done >"$tmp/fill"
	in_ns "$R" conntrack -R "$tmp/fill" >"$tmp/filled" 2>&1 || { fail "conntrack -R" && diag <"$tmp/filled"; }
}
echo 100 >$max
at_most() { [ "$(size "$R")" -le "$1" ]; }

fill 90 1000 -p tcp --state TIME_WAIT --timeout 100 -u SEEN_REPLY,ASSURED
ok "90 of 100 in TIME_WAIT for 20 seconds are cut down" poll 15 at_most 72
within "to the mark" 69 72 "$(size "$R")"
is "by the worker" $((90 - $(size "$R"))) "$(key "$R" evicted.background.closed)"
flush "$R"

fill 90 1000 -p udp --timeout 6
ok "90 of 100 unreplied for 24 seconds are cut down" poll 15 at_most 75
[ "$(key "$R" evicted.background.unreplied)" -ge 15 ] && pass "by the worker" || fail "by the worker"
flush "$R"

before=$(sum "$R" evicted.)
fill 90 1000 -p udp --timeout 29
fill 5 2000 -p tcp --state ESTABLISHED --timeout 400 -u SEEN_REPLY,ASSURED
walks=$(key "$R" reapings)
walked() { [ "$(key "$R" reapings)" -gt $((walks + 1)) ]; }
ok "the worker looks at 90 that may be answered yet" poll 20 walked
is "and at idle established ones, and lets all be" "95 0" "$(size "$R") $(($(sum "$R" evicted.) - before))"
flush "$R"

# --- cttop

cttop=$here/../../../build/cttop/release/cttop
if [ -x "$cttop" ]; then
	fill 10 1000 -p udp --timeout 29
	once=$(in_ns "$R" "$cttop" --once -i 0.2)
	like "cttop --once: entries by class" '^class\.unreplied +10$' "$once"
	like "cttop --once: how full" '^full_percent +10\.0$' "$once"
	like "cttop --once: rates" '^opened/s +[0-9.]+$' "$once"
	ok "cttop --json is JSON" python3 -c 'import json, sys
report = json.loads(sys.argv[1])
assert report["values"]["class.unreplied"] == 10, report
assert report["rates"]["refused"] == 0, report
assert report["sources"] == {"192.0.2.9": 10}, report' "$(in_ns "$R" "$cttop" --once --json -i 0.2)"
	is "from outside by the name of the namespace" 10 "$("$cttop" --once -i 0.2 -N "$R" | sed -n 's/^class\.unreplied *//p')"
	refused "a namespace that is not there" "$cttop" --once -N no-such-namespace
	like "without a terminal it prints" '^count +10$' "$(in_ns "$R" "$cttop" -i 0.2)"
else
	skip "cttop" "not built: tools/cttop/build"
fi
