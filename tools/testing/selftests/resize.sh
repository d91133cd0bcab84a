#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: changes the size of the one table of all namespaces.
# The table is resized, by sysctl and by module parameter, while it is full of
# entries, dumped and in use: nothing is lost or doubled. RESIZES=N: how often.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

buckets=/proc/sys/net/netfilter/nf_conntrack_buckets
param=/sys/module/nf_conntrack/parameters/hashsize
[ -w $buckets ] || {
	skip "resizing" "not in the initial namespace"
	exit
}
old=$(<$buckets)
restore() { echo "$old" >$buckets; }

router
agent_start
in_ns "$R" nft -f - <<'END'
table inet t {
	counter invalid {}
	chain forward {
		type filter hook forward priority filter
		ct state invalid counter name invalid drop
	}
	chain output {
		type filter hook output priority filter
		ct state new
	}
}
END
n=${FLOWS:-1000}
say tcp-listen l "$S" 10.0.2.2 80
say tcp-connect a "$C" 10.0.2.2 80 sport=40000
say accept b l
ok "$n entries are put in" in_ns "$R" python3 "$here/churn.py" insert 0 "$n"
is "they are counted" $((n + 1)) "$(size "$R")"
entries "$R" -f ipv4 >"$tmp/before"
is "and listed" $((n + 1)) "$(wc -l <"$tmp/before")"

# Sizes are rounded up to whole pages of buckets.
for size in 1 1000 4096 5000; do
	echo $size >$buckets
	fact "buckets $size: $(<$buckets) $(<$param)"
done
for size in 1 2000 8192; do
	echo $size >$param
	fact "hashsize $size: $(<$buckets) $(<$param)"
done
for size in 0 -1 abc ''; do
	echo "$size" 2>/dev/null >$param && fact "hashsize '$size' taken" || fact "hashsize '$size' refused"
done
is "a bad size changes nothing" 8192 "$(<$param)"

# A storm of resizes, while packets come, the table is dumped, entries come and go.
ip netns exec "$R" python3 "$here/churn.py" flood >/dev/null 2>&1 &
flood=$!
pids+=("$flood")
(while :; do in_ns "$R" conntrack -L >/dev/null 2>&1; done) &
dump=$!
pids+=("$dump")
(while :; do in_ns "$R" cat /proc/net/nf_conntrack >/dev/null; done) &
dump2=$!
pids+=("$dump2")
bad=0
for ((i = 0; i < ${RESIZES:-20}; i++)); do
	size=$((1024 << (i % 6)))
	if ((i % 2)); then echo $size >$buckets; else echo $size >$param; fi
	[ "$(<$buckets)" = $size ] || bad=$((bad + 1))
	agent exchange a b 5000 >/dev/null || bad=$((bad + 1))
done
is "${RESIZES:-20} resizes in use: each took, the connection went on" 0 $bad
kill $flood $dump $dump2
wait $flood $dump $dump2 2>/dev/null
entries "$R" -f ipv4 -s 192.0.2.1 >"$tmp/after"
entries "$R" -f ipv4 -p tcp -s 10.0.1.2 >>"$tmp/after"
is "every entry is there, once" "$(grep -v '127\.0\.0' "$tmp/before" | sort)" "$(sort "$tmp/after")"
is "no packet became invalid" 0 "$(packets "$R" invalid)"
for port in 1 500 "$n"; do
	like "entry $port is found by its key" "sport=$port " \
		"$(in_ns "$R" conntrack -G -p udp -s 192.0.2.1 -d 192.0.2.2 --sport $port --dport 2000 2>/dev/null)"
done
flush "$R"
ok "and all can be flushed" poll 10 empty "$R"
