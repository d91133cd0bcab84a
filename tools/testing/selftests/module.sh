#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: unloads the module.
# Parameters, aliases and what modinfo says; loading with parameters; unloading
# under traffic leaves nothing: no files, no entries, no memory. ROUNDS=N: how often.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need python3

[ -e /proc/modules ] && grep -q '^nf_conntrack ' /proc/modules || {
	skip "loading and unloading" "nf_conntrack is not a module here"
	exit
}
params=/sys/module/nf_conntrack/parameters
unload() {
	local round
	for round in 1 2 3 4 5 6 7 8 9; do
		grep -q '^nf_conntrack ' /proc/modules || return 0
		# shellcheck disable=SC2046 # a list of modules
		rmmod $(awk '$3 == 0 && ($4 == "-") && $1 ~ /^(nf_|nft_|xt_|ip6?t_|nfnetlink|act_ct|ip_vs|openvswitch)/ { print $1 }' /proc/modules) >/dev/null 2>&1
	done
	! grep -q '^nf_conntrack ' /proc/modules
}
restore() { unload && modprobe nf_conntrack; }

modinfo -F parm nf_conntrack | sed -E 's/:.*( \([a-z]+\))$/\1/' | sort | fact
modinfo -F alias nf_conntrack | sort | fact
like "a free licence" '^GPL' "$(modinfo -F license nf_conntrack)"
modinfo -F depends nf_conntrack | tr ',' '\n' | grep -v libcrc | sort | fact
for p in "$params"/*; do fact "$(basename "$p") $(stat -c %a "$p")"; done
is "hashsize shows the buckets" "$(cat /proc/sys/net/netfilter/nf_conntrack_buckets)" "$(cat $params/hashsize)"

ok "it unloads" poll 10 unload
for file in /proc/net/nf_conntrack /proc/net/stat/nf_conntrack /proc/sys/net/nf_conntrack_max /proc/sys/net/netfilter/nf_conntrack_max /proc/net/nf_conntrack_expect; do
	ok "$file is gone" test ! -e $file
done
unlike "its caches are gone" '^nf_conntrack' "$(cat /proc/slabinfo 2>/dev/null)"

# Loaded with parameters.
ok "it takes parameters" modprobe nf_conntrack hashsize=3000 expect_hashsize=77 acct=1 tstamp=1 enable_hooks=1
fact "hashsize=3000: $(cat $params/hashsize), buckets $(cat /proc/sys/net/netfilter/nf_conntrack_buckets), max $(cat /proc/sys/net/netfilter/nf_conntrack_max)"
fact "expect_hashsize=77: $(cat $params/expect_hashsize), expect_max $(cat /proc/sys/net/netfilter/nf_conntrack_expect_max)"
is "acct and tstamp are the default of namespaces" "1 1" \
	"$(cat /proc/sys/net/netfilter/nf_conntrack_acct) $(cat /proc/sys/net/netfilter/nf_conntrack_timestamp)"
space "$C"
is "of new ones too" "1 1" "$(in_ns "$C" cat /proc/sys/net/netfilter/nf_conntrack_acct /proc/sys/net/netfilter/nf_conntrack_timestamp | paste -sd' ')"
in_ns "$C" timeout 20 python3 "$here/churn.py" flood 1
within "enable_hooks: tracked without any rule" 5 100000 "$(in_ns "$C" cat /proc/sys/net/netfilter/nf_conntrack_count)"
echo 0 >$params/acct
echo N >$params/tstamp
fact "parameters now: $(cat $params/acct) $(cat $params/tstamp)"
space "$S"
is "a later namespace takes the new default" "0 0" "$(in_ns "$S" cat /proc/sys/net/netfilter/nf_conntrack_acct /proc/sys/net/netfilter/nf_conntrack_timestamp | paste -sd' ')"
for bad in hashsize=abc expect_hashsize=-1 enable_hooks=5; do
	poll 10 unload
	modprobe nf_conntrack $bad 2>/dev/null && fact "$bad: loaded" || fact "$bad: refused"
done

# Rounds of loading and unloading while two namespaces are full of traffic.
poll 10 unload || fail "it unloads again"
rounds=${ROUNDS:-5} bad=0
for ns in "$C" "$S"; do
	ip netns exec "$ns" python3 "$here/churn.py" flood >/dev/null 2>&1 &
	pids+=($!)
done
for ((i = 0; i < rounds; i++)); do
	modprobe nf_conntrack enable_hooks=1 || bad=$((bad + 1))
	poll 10 eval '[ "$(in_ns "$C" cat /proc/sys/net/netfilter/nf_conntrack_count)" -gt 5 ]' || bad=$((bad + 1))
	case $((i % 4)) in
	1) in_ns "$C" cat /proc/net/nf_conntrack >/dev/null ;;
	2) in_ns "$C" conntrack -L >/dev/null 2>&1 ;;
	3) echo $((1024 << (i % 5))) >$params/hashsize ;;
	esac
	poll 20 unload || bad=$((bad + 1))
done
is "$rounds rounds under traffic" 0 $bad
kill "${pids[@]}" 2>/dev/null
wait "${pids[@]}" 2>/dev/null
ok "and it loads as at first" modprobe nf_conntrack
