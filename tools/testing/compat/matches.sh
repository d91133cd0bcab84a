#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Matches and targets that live on conntrack: limits of connections, bytes of a
# connection, labels, untracked packets, clusters, policies of nfct, events of accounting.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft iptables conntrack nfct

router
agent_start
setctl "$R" net.netfilter.nf_conntrack_acct=1
serve "$S" echo 10.0.2.2 80
serve "$S" echo 2001:db8:2::2 80

ipt() { in_ns "$R" $ipt "$@"; }
for family in 4 6; do
	if [ $family = 4 ]; then c=10.0.1.2 s=10.0.2.2 l=10.0.1.9 h=10.0.2.9 f=ip ipt=iptables; else c=2001:db8:1::2 s=2001:db8:2::2 l=2001:db8:1::9 h=2001:db8:2::9 f=ip6 ipt=ip6tables; fi
	w="IPv$family"
	in_ns "$R" nft -f - <<END
flush ruleset
table $f t {
	counter big {}
	counter over {}
	counter untracked {}
	counter labelled {}
	set limited { type $([ $family = 4 ] && echo ipv4_addr || echo ipv6_addr); flags dynamic; size 100; }
	chain raw {
		type filter hook prerouting priority raw
		udp dport 3000 notrack
	}
	chain forward {
		type filter hook forward priority filter
		ct bytes > 20000 counter name big
		ct state untracked counter name untracked
		udp dport 3001 add @limited { $f saddr ct count over 3 } counter name over drop
		udp dport 3002 ct label set 5
		ct label 5 counter name labelled
	}
}
END
	flush "$R"
	client "$w nft ct bytes" 'echo 60000' "$C" tcp $s 80 60000 20001 $c
	[ "$(packets "$R" big)" -gt 0 ] && pass "$w nft ct bytes counts" || fail "$w nft ct bytes counts"
	left udp src=$l dst=$h sport=1 dport=3000
	for port in 1 2 3 4 5; do left udp src=$l dst=$h sport=$port dport=3001; done
	left udp src=$l dst=$h sport=1 dport=3002
	right udp src=$h dst=$l sport=3002 dport=1
	fact "$w $(counts "$R" | tr ' ' '\n' | grep -v big | xargs)"
	is "$w nft notrack, ct count, ct label" "labelled=2 over=2 untracked=1" "$(counts "$R" | tr ' ' '\n' | grep -v big | sort | xargs)"
	entries "$R" -f ipv$family -p udp -o labels | sed "s/^/$w /" | fact
	in_ns "$R" nft flush ruleset

	flush "$R"
	ok "$w iptables rules" in_ns "$R" $ipt-restore <<END
*raw
-A PREROUTING -p udp --dport 3000 -j CT --notrack
COMMIT
*filter
-A FORWARD -m connbytes --connbytes 20000 --connbytes-dir both --connbytes-mode bytes
-A FORWARD -m conntrack --ctstate UNTRACKED
-A FORWARD -p udp --dport 3001 -m connlimit --connlimit-above 3 -j DROP
-A FORWARD -p udp --dport 3002 -m connlabel --label 5 --set
-A FORWARD -m connlabel --label 5
-A FORWARD -p udp -m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 0xdeadbeef
-A FORWARD -m state --state ESTABLISHED -p udp
COMMIT
END
	client "$w -m connbytes" 'echo 60000' "$C" tcp $s 80 60000 20002 $c
	left udp src=$l dst=$h sport=1 dport=3000
	for port in 1 2 3 4 5; do left udp src=$l dst=$h sport=$port dport=3001; done
	left udp src=$l dst=$h sport=1 dport=3002
	right udp src=$h dst=$l sport=3002 dport=1
	ipt -nvxL FORWARD | awk 'NR == 3 { $1 = $1 > 0 ? "some" : "none"; $2 = "" } NR > 2 { $2 = ""; print }' | sed "s/^/$w /" | fact
	entries "$R" -f ipv$family -p udp -o labels | sed -E "s/ bytes=[0-9]+//g; s/^/$w /" | fact
	ipt -F
	ipt -t raw -F
done

# Policies of nfct, by rules of iptables and nft.
ok "nfct add timeout" in_ns "$R" nfct add timeout brief inet udp unreplied 77 replied 88
fact <<<"$(in_ns "$R" nfct list timeout 2>&1)"
in_ns "$R" iptables -t raw -A PREROUTING -p udp --dport 4000 -j CT --timeout brief
left udp sport=1 dport=4000
within "-j CT --timeout" 60 77 "$(timeout_of "$R" -p udp --dport 4000)"
right udp src=10.0.2.9 dst=10.0.1.9 sport=4000 dport=1
within "-j CT --timeout, replied" 70 88 "$(timeout_of "$R" -p udp --dport 4000)"
ok "nfct delete timeout, in use" in_ns "$R" nfct delete timeout brief
left udp sport=2 dport=4000
fact "its rule goes on: $(timeout_of "$R" -p udp --dport 4000 --sport 2 | sed -E 's/7[0-7]|6./77/')"
in_ns "$R" iptables -t raw -F
flush "$R"
refused "nfct delete timeout, twice" in_ns "$R" nfct delete timeout brief
refused "nfct get timeout: gone" in_ns "$R" nfct get timeout brief
ok "nfct add helper" in_ns "$R" nfct add helper ftp inet tcp
fact <<<"$(in_ns "$R" nfct list helper 2>&1)"
ok "nfct delete helper" in_ns "$R" nfct delete helper ftp
for word in udp tcp icmp; do fact "nfct default $word: $(in_ns "$R" nfct default-get timeout inet $word 2>&1 | head -n 3)"; done

# What ulogd would log of a connection: counters with its end.
in_ns "$R" iptables -A FORWARD -m conntrack --ctstate NEW
flush "$R"
events_start "$R" -e DESTROY
client "accounting" 'echo 1000' "$C" tcp 10.0.2.2 80 1000 20003 10.0.1.2
ended() { in_ns "$R" conntrack -D -p tcp --orig-port-src 20003 >/dev/null 2>&1; }
ok "its end" ended
poll 5 events_have 'DESTROY.*sport=20003'
like "counters with the end" 'DESTROY.*packets=[0-9]+ bytes=[0-9]{4}.*packets=[0-9]+ bytes=[0-9]{4}' "$(cat "$tmp/events")"
events_stop
