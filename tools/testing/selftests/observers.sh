#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: writes the machine's limits
#
# What programs around connection tracking read and write: node_exporter and lnstat,
# kube-proxy's settings and deletions, Docker's deletion by port.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need prometheus-node-exporter curl python3 conntrack nft

sys=/proc/sys/net/netfilter
hashsize=/sys/module/nf_conntrack/parameters/hashsize
machine=(nf_conntrack_max nf_conntrack_tcp_timeout_established nf_conntrack_tcp_timeout_close_wait
	nf_conntrack_tcp_be_liberal nf_conntrack_udp_timeout nf_conntrack_udp_timeout_stream)
declare -A before
for key in "${machine[@]}"; do before[$key]=$(<$sys/$key); done
buckets=$(<$hashsize)
restore() {
	local key
	echo "$buckets" >$hashsize
	for key in "${machine[@]}"; do echo "${before[$key]}" >$sys/$key; done
}

pair
ip -n "$C" route add 10.96.0.0/16 via 10.0.1.1
in_ns "$R" nft -f - <<'END'
table inet t {
	chain zones {
		type filter hook prerouting priority raw
		udp dport 7000 ct zone set 7
	}
	chain services {
		type nat hook prerouting priority dstnat
		ip daddr 10.96.0.10 udp dport 53 dnat ip to 10.0.1.1:5353
		udp dport 30053 dnat ip to 10.0.1.1:5353
	}
	chain input {
		type filter hook input priority filter
		ct state invalid drop
	}
}
END
agent_start
say udp dns "$R" 10.0.1.1 5353
# traffic: two flows to a service, one to its node port, one in a zone, three others.
traffic() {
	flush "$R"
	for port in 4001 4002; do left udp src=10.0.1.2 dst=10.96.0.10 sport=$port dport=53; done
	left udp src=10.0.1.2 dst=10.96.0.1 sport=4003 dport=30053
	left udp src=10.0.1.2 dst=10.0.1.1 sport=4004 dport=7000
	for port in 5000 5001; do left udp src=10.0.1.2 dst=10.0.1.1 sport=4005 dport=$port; done
	left tcp src=10.0.1.2 dst=10.0.1.1 sport=4006 dport=5000 flags=S
	poll 10 eval '[ "$(size "$R")" = 7 ]' || fail "not 7 entries but $(size "$R")"
}
# The router does not answer, neither with errors nor resets, and tracking sees none.
in_ns "$R" nft 'add chain inet t output { type filter hook output priority -400; policy drop; }'

# --- what is read
traffic
left tcp src=10.0.1.2 dst=10.0.1.1 sport=4007 dport=80 flags=SF
ip netns exec "$R" prometheus-node-exporter --collector.disable-defaults --collector.conntrack \
	--web.disable-exporter-metrics --web.listen-address=127.0.0.1:9100 >"$tmp/exporter" 2>&1 &
pids+=($!)
metrics() { in_ns "$R" curl -sf --max-time 20 http://127.0.0.1:9100/metrics >"$tmp/metrics"; }
# Its own connection goes through the router's tables too, but for these ports.
in_ns "$R" nft -f - <<'END'
table inet own {
	chain out { type filter hook output priority raw; oifname "lo" notrack; oifname "lo" accept; }
	chain in { type filter hook prerouting priority raw; iifname "lo" notrack; }
}
END
in_ns "$R" nft insert rule inet t output oifname lo accept
ok "node_exporter answers" poll 30 metrics
is "its collector succeeds" 'node_scrape_collector_success{collector="conntrack"} 1' \
	"$(grep '^node_scrape_collector_success' "$tmp/metrics")"
is "entries" "node_nf_conntrack_entries 7" "$(grep '^node_nf_conntrack_entries ' "$tmp/metrics")"
is "limit" "node_nf_conntrack_entries_limit ${before[nf_conntrack_max]}" \
	"$(grep '^node_nf_conntrack_entries_limit ' "$tmp/metrics" | awk '{ printf "%s %d\n", $1, $2 }')"
is "invalid" "node_nf_conntrack_stat_invalid 1" "$(grep '^node_nf_conntrack_stat_invalid ' "$tmp/metrics")"
grep 'nf_conntrack' "$tmp/metrics" | sed 's/^/node_exporter: /' | fact
if command -v lnstat >/dev/null; then
	in_ns "$R" lnstat -d -f nf_conntrack 2>&1 | sed 's/^/lnstat: /' | fact
fi
# Names of old kernels, which some programs try first.
for file in /proc/net/ip_conntrack /proc/sys/net/ipv4/netfilter /proc/sys/net/ipv4/ip_conntrack_max \
	/proc/net/stat/ip_conntrack /proc/sys/net/nf_conntrack_max; do
	fact "$file $([ -e $file ] && echo there || echo missing)"
done
fact "$(stat -c '%a %n' $hashsize $sys/nf_conntrack_max $sys/nf_conntrack_count $sys/nf_conntrack_buckets /proc/net/nf_conntrack /proc/net/stat/nf_conntrack | xargs)"

# --- what kube-proxy writes
# set FILE VALUE: written, and there.
set_to() {
	echo "$2" >"$1" && [ "$(<"$1")" = "$2" ]
}
ok "nf_conntrack_max is raised" set_to $sys/nf_conntrack_max 524288
is "also by its other name" 524288 "$(</proc/sys/net/nf_conntrack_max)"
ok "hashsize follows, a quarter of it" set_to $hashsize 131072
is "nf_conntrack_buckets says the same" 131072 "$(<$sys/nf_conntrack_buckets)"
is "entries outlive the new size" 7 "$(size "$R")"
for pair in tcp_timeout_established=86400 tcp_timeout_close_wait=3600 tcp_be_liberal=1 udp_timeout=45 udp_timeout_stream=240; do
	ok "nf_conntrack_$pair" set_to "$sys/nf_conntrack_${pair%=*}" "${pair#*=}"
done
refused "a namespace may not set the limit" in_ns "$R" sh -c "echo 1000 >$sys/nf_conntrack_max"

# --- what is deleted
# deletes WHAT COUNT COMMAND...: so many entries go, the others stay.
deletes() {
	local what=$1 count=$2 said
	shift 2
	traffic
	said=$(in_ns "$R" "$@" 2>&1 | grep -oE '[0-9]+ (flow entries|deleted).*')
	fact "$what: $said"
	is "$what: $count go" $((7 - count)) "$(size "$R")"
	entries "$R" | sed "s/^/$what leaves: /" | fact
}
deletes "kube-proxy, a service's address" 2 conntrack -D --orig-dst 10.96.0.10 -p udp
deletes "kube-proxy, an endpoint of a service" 2 conntrack -D --orig-dst 10.96.0.10 --dst-nat 10.0.1.1 -p udp
deletes "kube-proxy, a node port" 1 conntrack -D -p udp --dport 30053 --dst-nat 10.0.1.1
deletes "kube-proxy, by port" 1 conntrack -D -p udp --dport 5001
deletes "a zone" 1 conntrack -D -w 7
deletes "not in another zone" 0 conntrack -D -w 8
deletes "by source" 7 conntrack -D -s 10.0.1.2
deletes "by state" 1 conntrack -D -p tcp --state SYN_SENT
deletes "of another family" 0 conntrack -D -f ipv6
# Programs in Go dump the table, choose, and delete by tuple.
deletes "Docker, by port" 1 python3 -IS "$here/ct_delete.py" proto=udp dport=5000
deletes "kube-proxy's reconciler, translated to an endpoint" 3 python3 -IS "$here/ct_delete.py" proto=udp reply-src=10.0.1.1 reply-sport=5353
deletes "in a zone" 1 python3 -IS "$here/ct_delete.py" proto=udp dport=7000
