#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Accounting by events, as ulogd does it: each flow that ends is a line with its packets
# and bytes, translated addresses included; with and without its own table of flows.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack ulogd

router
agent_start
setctl "$R" net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_timestamp=1
in_ns "$R" nft -f - <<'END'
table inet t {
	chain forward { type filter hook forward priority filter; ct state established accept; udp dport 7000 ct mark set 7; }
	chain postrouting { type nat hook postrouting priority srcnat; ip daddr 10.0.2.9 udp dport 90 snat ip to 10.0.2.1:2000; }
}
END
plugins=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo x86_64-linux-gnu)
for hash in 0 1; do
	cat >"$tmp/conf" <<END
[global]
logfile="$tmp/ulogd.log"
loglevel=3
$(for p in inpflow_NFCT filter_IP2STR filter_PRINTFLOW output_LOGEMU; do echo "plugin=\"/usr/lib/$plugins/ulogd/ulogd_$p.so\""; done)
stack=ct1:NFCT,ip2str1:IP2STR,print1:PRINTFLOW,emu1:LOGEMU
[ct1]
hash_enable=$hash
event_mask=0x00000005
[emu1]
file="$tmp/flows.$hash"
sync=1
END
	: >"$tmp/flows.$hash"
	ip netns exec "$R" ulogd -c "$tmp/conf" >"$tmp/out" 2>&1 &
	daemon=$!
	pids+=("$daemon")
	ok "hash $hash: ulogd listens" poll 10 listening "$R"
	for l in 10.0.1.9 2001:db8:1::9; do
		case $l in *:*) h=2001:db8:2::9 ;; *) h=10.0.2.9 ;; esac
		left udp src=$l dst=$h sport=1 dport=53 len=20
		right udp src=$h dst=$l sport=53 dport=1 len=100 times=3
		left udp src=$l dst=$h sport=2 dport=7000
		left udp src=$l dst=$h sport=3 dport=90
		left tcp src=$l dst=$h sport=4 dport=80 flags=S seq=1 win=1000
		right tcp src=$h dst=$l sport=80 dport=4 flags=SA seq=1 ack=2 win=1000
		left tcp src=$l dst=$h sport=4 dport=80 flags=A seq=2 ack=2 len=50 win=1000
		left sctp src=$l dst=$h sport=5 dport=6 chunk=1
		left gre src=$l dst=$h
	done
	left icmp src=10.0.1.9 dst=10.0.2.9 id=9
	flush "$R"
	ended() { [ "$(grep -c DESTROY "$tmp/flows.$hash")" -ge 13 ]; }
	ok "hash $hash: each flow's end is a line" poll 10 ended
	kill "$daemon"
	wait "$daemon" 2>/dev/null
	sed -E 's/^.*\[(NEW|DESTROY|UPDATE)\]/[\1]/; s/ +$//' "$tmp/flows.$hash" | sort | sed "s/^/hash $hash: /" | fact
done
is "bytes of both directions" 2 "$(grep -cE 'DESTROY.*SPT=1 DPT=53 PKTS=1 BYTES=(48|68).*SPT=53 DPT=1 PKTS=3 BYTES=(384|444)' "$tmp/flows.0")"
