#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Every sysctl: name, mode, owner, default, range, in the initial and in another
# network namespace; bad values leave the old one; what each does to what the
# others hold.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

space "$C" "$R"
py() { in_ns "$1" python3 "$here/sysctl.py" "${@:2}"; }
init() { python3 "$here/sysctl.py" "$@"; }

# The names, and what a new namespace starts with (Documentation/networking/
# nf_conntrack-sysctl.rst). Kinds: b 0 or 1, e 0 to 2, c a byte, t seconds,
# n a positive number of the initial namespace, r read only.
table='
nf_conntrack_acct b 0
nf_conntrack_buckets n -
nf_conntrack_checksum b 1
nf_conntrack_count r 0
nf_conntrack_events e 2
nf_conntrack_expect_max n -
nf_conntrack_generic_timeout t 600
nf_conntrack_gre_timeout t 30
nf_conntrack_gre_timeout_stream t 180
nf_conntrack_icmp_timeout t 30
nf_conntrack_icmpv6_timeout t 30
nf_conntrack_log_invalid c 0
nf_conntrack_max n -
nf_conntrack_sctp_timeout_closed t 10
nf_conntrack_sctp_timeout_cookie_echoed t 3
nf_conntrack_sctp_timeout_cookie_wait t 3
nf_conntrack_sctp_timeout_established t 210
nf_conntrack_sctp_timeout_heartbeat_sent t 30
nf_conntrack_sctp_timeout_shutdown_ack_sent t 3
nf_conntrack_sctp_timeout_shutdown_recd t 3
nf_conntrack_sctp_timeout_shutdown_sent t 3
nf_conntrack_tcp_be_liberal b 0
nf_conntrack_tcp_ignore_invalid_rst b 0
nf_conntrack_tcp_loose b 1
nf_conntrack_tcp_max_retrans c 3
nf_conntrack_tcp_timeout_close t 10
nf_conntrack_tcp_timeout_close_wait t 60
nf_conntrack_tcp_timeout_established t 432000
nf_conntrack_tcp_timeout_fin_wait t 120
nf_conntrack_tcp_timeout_last_ack t 30
nf_conntrack_tcp_timeout_max_retrans t 300
nf_conntrack_tcp_timeout_syn_recv t 60
nf_conntrack_tcp_timeout_syn_sent t 120
nf_conntrack_tcp_timeout_time_wait t 120
nf_conntrack_tcp_timeout_unacknowledged t 300
nf_conntrack_timestamp b 0
nf_conntrack_udp_timeout t 30
nf_conntrack_udp_timeout_stream t 120
'

# What mainline does not have: Documentation/reclaim.rst, probing.rst.
own='_soft_timeout_|_adaptive_(start|end)( |$)|_full_policy( |$)|_occupancy_label( |$)|_tcp_probe_|_fair(_prefix6?)?( |$)|_reserved( |$)|_total_max( |$)'

py "$R" list | grep -vE "$own" >"$tmp/child"
init list | grep -vE "$own" >"$tmp/init"
py "$R" values | grep -vE "$own" >"$tmp/values"
fact <"$tmp/init"
fact <"$tmp/child"
fact <"$tmp/values"

while read -r key kind default; do
	[ -n "$key" ] || continue
	case $kind in
	r) here_mode=444 there_mode=444 ;;
	n) here_mode=644 there_mode=444 ;;
	*) here_mode=644 there_mode=644 ;;
	esac
	is "$key: mode here and in another namespace" "$key $here_mode 0:0 $key $there_mode 0:0" \
		"$(grep "^$key " "$tmp/init") $(grep "^$key " "$tmp/child")"
	[ "$default" = - ] || [ "$kind" = r ] ||
		is "$key: default" "$key $default" "$(grep "^$key " "$tmp/values")"
done <<<"$table"
like "net.nf_conntrack_max is there" '^net.nf_conntrack_max 644' "$(cat "$tmp/init")"
unlike "net.nf_conntrack_max is of the initial namespace only" '^net.nf_conntrack_max' "$(cat "$tmp/child")"
# nf_flowtable_{tcp,udp}_timeout belong to kernels with flow tables; some are ours alone.
is "no other names than these" "" \
	"$(cut -d' ' -f1 "$tmp/child" | grep -vxF "$(cut -d' ' -f1 <<<"$table" | grep .)" | grep -v '^nf_flowtable_' | paste -sd' ')"

# Values that are wrong in some way, on every key: the answer and what stays.
tries() { # NAME KIND
	case $2 in
	b) printf '%s\t0\t1\t2\t-1\t255\t256\t4294967296\tabc\t\t 1\t1x\t1 0\t0x1\t01\t\\n\n' "$1" ;;
	e) printf '%s\t0\t1\t2\t3\t-1\t256\tabc\n' "$1" ;;
	c) printf '%s\t0\t6\t17\t255\t256\t-1\t65536\t4294967297\tabc\n' "$1" ;;
	t) printf '%s\t0\t1\t-1\t77\t2147483647\t2147483648\t4294967295\t4294967296\t8589934\t8589935\tabc\t1.5\t10 20\t 5 \n' "$1" ;;
	r) printf '%s\t0\t5\n' "$1" ;;
	esac
}
while read -r key kind _; do
	[ -n "$key" ] || continue
	tries "$key" "$kind"
done <<<"$table" | py "$R" try >"$tmp/tried"
fact <"$tmp/tried"
unlike "bad values never stick, good ones can be put back" 'cannot put' "$(cat "$tmp/tried")"
for key in acct checksum tcp_loose tcp_be_liberal timestamp tcp_ignore_invalid_rst; do
	like "nf_conntrack_$key refuses 2" "nf_conntrack_$key <- '2': EINVAL; same" "$(cat "$tmp/tried")"
	like "nf_conntrack_$key refuses -1" "nf_conntrack_$key <- '-1': EINVAL; same" "$(cat "$tmp/tried")"
	like "nf_conntrack_$key refuses words" "nf_conntrack_$key <- 'abc': EINVAL; same" "$(cat "$tmp/tried")"
done
like "nf_conntrack_log_invalid takes 255" "log_invalid <- '255': 3 bytes; 255" "$(cat "$tmp/tried")"
like "nf_conntrack_log_invalid refuses 256" "log_invalid <- '256': EINVAL; same" "$(cat "$tmp/tried")"
like "nf_conntrack_tcp_max_retrans refuses 256" "tcp_max_retrans <- '256': EINVAL; same" "$(cat "$tmp/tried")"

# What belongs to the initial namespace is read only elsewhere.
for key in nf_conntrack_max nf_conntrack_buckets nf_conntrack_expect_max nf_conntrack_count; do
	printf '%s\t5000\n' "$key"
done | py "$R" try >"$tmp/tried"
fact <"$tmp/tried"
is "another namespace cannot set them" 4 "$(grep -c 'same$' "$tmp/tried")"
old_max=$(cat /proc/sys/net/netfilter/nf_conntrack_max)
old_expect=$(cat /proc/sys/net/netfilter/nf_conntrack_expect_max)
old_buckets=$(cat /proc/sys/net/netfilter/nf_conntrack_buckets)
if [ -w /proc/sys/net/netfilter/nf_conntrack_max ] && [ -e /proc/sys/net/nf_conntrack_max ]; then
	restore() {
		echo "$old_max" >/proc/sys/net/netfilter/nf_conntrack_max
		echo "$old_expect" >/proc/sys/net/netfilter/nf_conntrack_expect_max
		echo "$old_buckets" >/proc/sys/net/netfilter/nf_conntrack_buckets
	}
	for key in nf_conntrack_max nf_conntrack_expect_max net.nf_conntrack_max; do
		printf '%s\t0\t-1\t1\t65536\t2147483647\t2147483648\t4294967296\tabc\n' "$key"
	done | init try >"$tmp/tried"
	printf 'nf_conntrack_buckets\t0\t-1\t2147483647\t268435457\tabc\t1\t1000\t1024\t1025\t4096\n' | init try >>"$tmp/tried"
	fact <"$tmp/tried"
	like "nf_conntrack_max refuses 0" "^nf_conntrack_max <- '0': EINVAL; same" "$(cat "$tmp/tried")"
	like "nf_conntrack_max refuses -1" "^nf_conntrack_max <- '-1': EINVAL; same" "$(cat "$tmp/tried")"
	like "nf_conntrack_buckets refuses 0" "buckets <- '0': EINVAL; same" "$(cat "$tmp/tried")"
	echo 4321 >/proc/sys/net/nf_conntrack_max
	is "net.nf_conntrack_max is the same knob" 4321 "$(cat /proc/sys/net/netfilter/nf_conntrack_max)"
	is "other namespaces see the limit" 4321 "$(in_ns "$R" cat /proc/sys/net/netfilter/nf_conntrack_max)"
	echo 2048 >/proc/sys/net/netfilter/nf_conntrack_buckets
	is "other namespaces see the buckets" 2048 "$(in_ns "$R" cat /proc/sys/net/netfilter/nf_conntrack_buckets)"
	is "the module parameter shows them" 2048 "$(cat /sys/module/nf_conntrack/parameters/hashsize)"
	restore
	is "and all is as before" "$old_max $old_buckets" \
		"$(cat /proc/sys/net/netfilter/nf_conntrack_max) $(cat /proc/sys/net/netfilter/nf_conntrack_buckets)"
else
	skip "the initial namespace's limits" "not in the initial namespace"
fi

# One namespace's values are its own.
setctl "$C" net.netfilter.nf_conntrack_udp_timeout=5 net.netfilter.nf_conntrack_tcp_loose=0
is "a namespace's values are its own" "30 1" \
	"$(in_ns "$R" cat /proc/sys/net/netfilter/nf_conntrack_udp_timeout) $(in_ns "$R" cat /proc/sys/net/netfilter/nf_conntrack_tcp_loose)"
# Nobody but root reads less or writes more.
refused "an ordinary user cannot write" in_ns "$R" setpriv --reuid 65534 --regid 65534 --clear-groups \
	sh -c 'echo 1 >/proc/sys/net/netfilter/nf_conntrack_acct'
ok "an ordinary user can read" in_ns "$R" setpriv --reuid 65534 --regid 65534 --clear-groups \
	cat /proc/sys/net/netfilter/nf_conntrack_max
