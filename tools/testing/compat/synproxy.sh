#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# SYN proxy with rules of nft and of iptables, IPv4 and IPv6: a client reaches the
# server through cookies, options are kept, sequence numbers are translated both ways.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft iptables conntrack

router
setctl "$R" net.netfilter.nf_conntrack_tcp_loose=0 net.ipv4.tcp_syncookies=1 net.ipv4.tcp_timestamps=1
serve "$S" echo 10.0.2.2 80
serve "$S" echo 2001:db8:2::2 80

nft_rules() {
	in_ns "$R" nft -f - <<END
flush ruleset
table inet t {
	chain raw { type filter hook prerouting priority raw; tcp dport 80 tcp flags syn notrack; }
	chain forward {
		type filter hook forward priority filter
		tcp dport 80 ct state { invalid, untracked } synproxy mss 1460 wscale 7 timestamp sack-perm
		ct state invalid counter drop
	}
}
END
}
ipt_rules() {
	local ipt
	in_ns "$R" nft flush ruleset
	for ipt in iptables ip6tables; do
		in_ns "$R" $ipt-restore <<'END' || return
*raw
-A PREROUTING -p tcp --dport 80 --syn -j CT --notrack
COMMIT
*filter
-A FORWARD -p tcp --dport 80 -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --mss 1460 --wscale 7 --timestamp --sack-perm
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
END
	done
}
port=21000
for tool in nft iptables; do
	if [ $tool = nft ]; then ok "nft rules" nft_rules; else ok "iptables rules" ipt_rules; fi
	for s in 10.0.2.2 2001:db8:2::2; do
		flush "$R"
		port=$((port + 1))
		client "$tool $s through the proxy" 'echo 200000' "$C" tcp $s 80 200000 $port
		table "$tool $s" "$R" -f "ipv$([[ $s == *:* ]] && echo 6 || echo 4)" -p tcp
		client "$tool $s closed port" 'Error' "$C" tcp $s 81 10
	done
done
# Without the cookie's echo nothing reaches the table.
flush "$R"
agent_start
left tcp flags=S sport=1 dport=80 opt=020405b4
left tcp flags=A sport=2 dport=80 seq=7 ack=9
is "no entry for a lone SYN or a forged ACK" 0 "$(entries "$R" -p tcp | wc -l)"
fact "columns: $(in_ns "$R" head -n 1 /proc/net/stat/synproxy)"
