#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Helpers through NAT with real clients and servers: FTP active and passive, TFTP,
# IRC's DCC and SIP, assigned by rules of nft and of iptables, IPv4 and IPv6; nothing
# but what is related may come in from the server's side.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need nft iptables conntrack python3

helper_router
ipt_rules() {
	local ipt
	in_ns "$R" nft flush ruleset
	in_ns "$R" nft 'table inet t { counter related {}; chain forward { type filter hook forward priority -1; ct state related counter name related; }; }'
	for ipt in iptables ip6tables; do
		in_ns "$R" $ipt-restore <<'END' || return 1
*raw
-A PREROUTING -p tcp --dport 21 -j CT --helper ftp
-A PREROUTING -p udp --dport 69 -j CT --helper tftp
-A PREROUTING -p udp --dport 5060 -j CT --helper sip
COMMIT
*nat
-A POSTROUTING -o r2 -j MASQUERADE
COMMIT
*filter
:FORWARD DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -m helper --helper ftp -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -m helper --helper tftp -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -m helper --helper irc -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED -m helper --helper sip -j ACCEPT
-A FORWARD -i r1 -p tcp -m multiport --dports 21,6667 -j ACCEPT
-A FORWARD -i r1 -p udp -m multiport --dports 69,5060 -j ACCEPT
COMMIT
END
	done
	in_ns "$R" iptables -t raw -A PREROUTING -p tcp --dport 6667 -j CT --helper irc
}
expected() { in_ns "$R" sed -E 's/^[0-9]+ //; s/port=[3-6][0-9]{4}/port=p/g' /proc/net/nf_conntrack_expect | sort; }
# What a connection looks like, any port of chance left out.
seen() {
	table "$w $1" "$R" -f ipv$family
	expected | sed "s/^/$w $1 expects: /" | fact
	fact "$w $1 related: $([ "$(packets "$R" related)" -gt 0 ] && echo yes || echo no)"
	zero "$R"
	flush "$R"
}

for s in 10.0.2.2 2001:db8:2::2; do
	serve "$S" ftp $s 21
	serve "$S" tftp $s 69
	serve "$S" sip $s 5060
done
serve "$S" irc 10.0.2.2 6667

for tool in nft iptables; do
	if [ $tool = nft ]; then ok "$tool rules" helper_rules; else ok "$tool rules" ipt_rules; fi
	for family in 4 6; do
		if [ $family = 4 ]; then s=10.0.2.2 r2=10.0.2.1; else s=2001:db8:2::2 r2=2001:db8:2::1; fi
		w="$tool IPv$family"
		flush "$R"
		for mode in passive active; do
			client "$w FTP $mode" 'stored 226 same' "$C" ftp $s $mode
			seen "FTP $mode"
		done
		client "$w TFTP" 'fetched True' "$C" tftp $s
		seen TFTP
		client "$w SIP" 'heard you' "$C" sip $s
		seen SIP
		[ $family = 6 ] || {
			client "$w IRC" "offer of $r2: same" "$C" irc $s
			seen IRC
		}
	done
done
# Without a helper nothing is related, and the data connection does not come through.
helper_rules
in_ns "$R" nft flush chain inet t prerouting
client "no helper: active FTP fails" 'Error|Timeout|425|PORT' "$C" ftp 10.0.2.2 active
is "no helper: nothing is related" 0 "$(packets "$R" related)"
fact "$(for x in expect_new expect_create expect_delete; do printf '%s=%s ' $x "$(stat_sum "$R" $x)"; done)"
