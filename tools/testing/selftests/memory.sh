#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: allocations fail everywhere, and the module is unloaded.
# Memory that runs out at the worst time: each allocation in turn of what one task does (requests,
# packets, files, a namespace, loading the module), one in ten of those that packets make, and one in
# four of all while the table is full. There is an error or a lost packet, nothing is left behind, and
# it works again afterwards. TRIES=N: the most tries of one thing (default 400).

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

faults=/sys/kernel/debug/failslab
[ -e /sys/kernel/debug/tracing ] || mount -t debugfs none /sys/kernel/debug 2>/dev/null
if [ ! -e $faults/probability ] || [ ! -e /proc/self/fail-nth ]; then
	skip_all "no fault injection in this kernel"
fi

fault() { # KEY=VALUE...
	local pair
	for pair; do echo "${pair#*=}" >"$faults/${pair%%=*}"; done
}
exec {probability}>$faults/probability
# chance PERCENT: of each allocation to fail. Takes no memory itself.
chance() { echo "$1" >&"$probability"; }
# What it would say of each failure looks like a report.
chance 0
fault verbose=0 times=-1 interval=1 space=0 task-filter=N ignore-gfp-wait=N
keep_limits
restore() { chance 0; }

# --- one task, one allocation after the other

router
modprobe -q nfnetlink_cttimeout
modprobe -q nf_conntrack_tftp
setctl "$R" net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_timestamp=1
in_ns "$R" nft -f - <<'END'
table inet t {
	ct helper tftp { type "tftp" protocol udp; l3proto ip; }
	ct timeout short {
		protocol udp
		l3proto ip
		policy = { unreplied : 50, replied : 60 }
	}
	chain out {
		type filter hook output priority 0
		udp dport 69 ct helper set "tftp"
		udp dport 9 ct timeout set "short"
		ct mark set 7
		ct label set 5
	}
	chain nat {
		type nat hook postrouting priority srcnat
		meta l4proto udp masquerade
	}
}
END
# Somebody listens, so that there are events.
ip netns exec "$R" conntrack -E >/dev/null 2>&1 &
pids+=($!)

# sweep NAME...: for each, before and after the failures it works.
sweep() {
	local line
	timeout $((300 * ${SLOW:-1})) ip netns exec "$R" python3 "$here/memory.py" "$@" >"$tmp/swept" 2>"$tmp/err"
	is "$*: all of it was tried" $# "$(grep -c . "$tmp/swept")"
	diag <"$tmp/err"
	while read -r line; do
		diag <<<"$line"
		like "${line%% *}: allocations fail, and then it works" 'allocations=[1-9].* answers=.*[A-Z].* before=0 after=0$|allocations=[1-9].* answers=0:[0-9]+ before=0 after=0$' "$line"
	done <"$tmp/swept"
}

sweep create create_with_helper update get delete dump
sweep expect expect_dump expect_delete
sweep timeout timeout_dump
sweep send send6 send_tftp
sweep read_table read_expectations
timeout $((300 * ${SLOW:-1})) python3 "$here/memory.py" resize namespace >"$tmp/swept" 2>"$tmp/err"
diag <"$tmp/swept"
is "resizing, namespaces: before and after the failures they work" 2 "$(grep -c 'before=0 after=0$' "$tmp/swept")"

flush "$R"
ok "nothing is left in the table" poll 20 empty "$R"
is "no expectation is left" "" "$(in_ns "$R" conntrack -L expect 2>/dev/null)"

# --- packets, one allocation in ten

agent_start
in_ns "$R" nft delete chain inet t out
in_ns "$R" nft -f - <<'END'
table inet t {
	chain forward {
		type filter hook forward priority 0
		udp dport 2000 ct helper set "tftp"
		ct state new ct label set 5
	}
}
END
ip -n "$R" route add 10.96.0.0/12 via 10.0.1.9
fault ignore-gfp-wait=Y
chance 10
for round in 0 1 2 3 4; do
	agent inject-many "$C" c0 "$(mac 1 1)" 200 $((200 * round + 1)) >/dev/null
	agent flows "$C" "$S" shaken 10.96.$round. 1 20 1000 5 >/dev/null
done
in_ns "$C" ping -q -c 50 -i 0.01 -W 1 10.0.2.2 >"$tmp/ping" 2>&1
diag < <(grep received "$tmp/ping")
chance 0
within "connections were made all the same" 1 100000 "$(size "$R")"
flush "$R"
ok "nothing of them is left" poll 20 empty "$R"
ok "all packets pass again" in_ns "$C" ping -q -c 5 -i 0.05 -W 2 10.0.2.2

# --- one in four, of those who look for what may go as well

small_table 400
newest() { in_ns "$R" conntrack -L -p udp --sport 3000 2>/dev/null | grep -q .; }
fault ignore-gfp-wait=N
from=$(mac 1 1)
exec 3>/dev/null
chance 25
for round in 0 1 2 3 4 5 6 7 8 9; do
	agent inject-many "$C" c0 "$from" 100 $((100 * round + 1)) >&3
done
chance 0
within "the table is not over its limit" 1 400 "$(size "$R")"
say inject-many "$C" c0 "$(mac 1 1)" 600 2001
left udp sport=3000 dport=2000
if [ -e /proc/sys/net/netfilter/nf_conntrack_fair ]; then
	ok "it is full, and a newcomer finds a place" newest
fi
echo "$kept_max" >"$max"
echo "$kept_buckets" >"$buckets"
flush "$R"
ok "nothing of all is left" poll 20 empty "$R"

# --- loading

module=$(modinfo -n nf_conntrack 2>/dev/null)
case $module in
*.ko)
	kill "${pids[@]}" 2>/dev/null
	for ns in "$C" "$R" "$S"; do ip netns del "$ns"; done
	spaces=()
	unload() {
		# shellcheck disable=SC2046 # a list of modules
		rmmod $(awk '$3 == 0 && ($4 == "-") && $1 ~ /^(nf_|nft_|xt_|ip6?t_|nfnetlink)/ { print $1 }' /proc/modules) >/dev/null 2>&1
		! grep -q '^nf_conntrack ' /proc/modules
	}
	ok "it unloads" poll 30 unload
	# What it needs stays, so that all that is allocated is its own.
	modinfo -F depends nf_conntrack | tr , '\n' | xargs modprobe -a
	fault ignore-gfp-wait=N
	TRIES=$((${TRIES:-400} / 2)) timeout $((300 * ${SLOW:-1})) python3 "$here/memory.py" "load=$module" >"$tmp/swept" 2>"$tmp/err"
	diag <"$tmp/err"
	diag <"$tmp/swept"
	like "loading: it fails, or works" 'allocations=[1-9].* answers=.*ENOMEM.* before=0 after=0$' "$(cat "$tmp/swept")"
	ok "and it loads as at first" modprobe nf_conntrack
	;;
*) skip "loading" "nf_conntrack is not an uncompressed module here" ;;
esac
