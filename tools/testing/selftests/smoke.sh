#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A little of everything in few processes, for the stock kernel in slow emulation:
# modules on top, states, the tool, rules, sysctls, /proc, IPv4 and IPv6.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack iptables python3

router
agent_start
in_ns "$R" nft -f - <<'END' || fail "the rule set loads"
table inet t {
	counter new {}
	counter established {}
	counter related {}
	counter invalid {}
	counter untracked {}
	counter ctmark {}
	counter ctzone {}
	counter ctlabel {}
	counter assured {}
	counter expiration {}
	ct timeout long {
		protocol udp; l3proto ip
		policy = { unreplied : 500, replied : 600 }
	}
	chain raw {
		type filter hook prerouting priority raw
		udp dport 7777 notrack
		udp dport 7778 ct zone set 9
	}
	chain pre {
		type filter hook prerouting priority filter
		ip6 daddr ff00::/8 return
		icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } return
		ct state new counter name new
		ct state established counter name established
		ct state related counter name related
		ct state invalid counter name invalid
		ct state untracked counter name untracked
		ct mark 5 counter name ctmark
		ct zone 9 counter name ctzone
		ct label 3 counter name ctlabel
		ct status assured counter name assured
		ct state established ct expiration < 40s counter name expiration
		udp dport 601 ct mark set 5
		udp dport 602 ct label set 3
		udp dport 603 ct timeout set "long"
	}
	chain forward {
		type filter hook forward priority filter
		ct state invalid drop
	}
}
END
for ipt in iptables ip6tables; do
	in_ns "$R" $ipt -A FORWARD -m conntrack --ctstate ESTABLISHED --ctdir REPLY
	in_ns "$R" $ipt -A FORWARD -m state --state NEW
	in_ns "$R" $ipt -A FORWARD -p udp -m connmark --mark 5
	in_ns "$R" $ipt -A FORWARD -p udp --dport 3000 -m connlimit --connlimit-above 1 --connlimit-mask 0 -j DROP
done
setctl "$R" net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_udp_timeout=200 net.netfilter.nf_conntrack_icmp_timeout=200

for family in 4 6; do
	[ $family = 4 ] && { c=10.0.1.2 s=10.0.2.2 l=10.0.1.9 h=10.0.2.9 f=ipv4 ipt=iptables echo=8; } ||
		{ c=2001:db8:1::2 s=2001:db8:2::2 l=2001:db8:1::9 h=2001:db8:2::9 f=ipv6 ipt=ip6tables echo=128; }
	un=$([ $family = 4 ] && echo 'type=3 code=1' || echo 'type=1 code=3')
	in_ns "$R" conntrack -F >/dev/null 2>&1
	zero "$R"
	say tcp-listen l$family "$S" $s 80
	say tcp-connect a$family "$C" $s 80 sport=40000
	say accept b$family l$family
	ok "IPv$family TCP: a transfer" agent exchange a$family b$family 100000
	left udp src=$l dst=$h sport=1 dport=601
	right udp src=$h dst=$l sport=601 dport=1
	left udp src=$l dst=$h sport=1 dport=602
	right udp src=$h dst=$l sport=602 dport=1
	left udp src=$l dst=$h sport=1 dport=603
	left udp src=$l dst=$h sport=1 dport=7777
	left udp src=$l dst=$h sport=1 dport=7778
	left udp src=$l dst=$h sport=1 dport=3000
	left udp src=$l dst=$h sport=2 dport=3000
	left icmp src=$l dst=$h type=$echo id=9
	# shellcheck disable=SC2086
	right icmp src=$h dst=$l $un inner=udp/src=$l/dst=$h/sport=1/dport=601
	left tcp src=$l dst=$h flags=SF
	left tcp src=$l dst=$h flags=S csum=bad
	declare -A n=()
	for word in $(counts "$R"); do n[${word%=*}]=${word#*=}; done
	is "IPv$family related, invalid, untracked" "1 2 1" "${n[related]} ${n[invalid]} ${n[untracked]}"
	# A late acknowledgement of the other family's connection may start it anew.
	within "IPv$family new flows" 8 9 "${n[new]}"
	is "IPv$family mark, zone, label" "2 1 1" "${n[ctmark]} ${n[ctzone]} ${n[ctlabel]}"
	ok "IPv$family assured" test "${n[assured]}" -gt 3
	in_ns "$R" conntrack -L -f $f 2>/dev/null >"$tmp/list"
	plain <"$tmp/list" | sed -E 's/(packets|bytes)=[0-9]+/\1/g' | fact
	like "IPv$family TCP entry" "ESTABLISHED src=$c dst=$s sport=40000 .*ASSURED" "$(cat "$tmp/list")"
	is "IPv$family connlimit: one of two" 1 "$(grep -c 'dport=3000 ' "$tmp/list")"
	[ $family = 6 ] || within "IPv$family timeout policy" 300 500 "$(sed -nE 's/^udp +17 ([0-9]+) .*dport=603 .*/\1/p' "$tmp/list")"
	is "IPv$family iptables saw them" "ok ok ok" "$(in_ns "$R" $ipt -nvxL FORWARD | awk 'NR > 2 && NR < 6 { printf("%s%s", s, ($1 > 0 ? "ok" : "no")); s = " " }')"
	like "IPv$family -I" created "$(in_ns "$R" conntrack -I -p tcp -s $l -d $h --sport 9 --dport 10 --state ESTABLISHED --timeout 100 2>&1)"
	like "IPv$family -U" updated "$(in_ns "$R" conntrack -U -f $f -p tcp --sport 9 --mark 7 2>&1)"
	like "IPv$family -D" 'mark=7' "$(in_ns "$R" conntrack -D -f $f -p tcp --sport 9 2>/dev/null)"
	like "IPv$family /proc/net/nf_conntrack" "^$f .* dport=601 .*mark=5" "$(in_ns "$R" cat /proc/net/nf_conntrack)"
	ok "IPv$family the connection goes on" agent exchange a$family b$family 1000
done
is "conntrack -F empties the table" "0" "$(in_ns "$R" conntrack -F 2>/dev/null; size "$R")"
is "statistics: a line for each CPU" "$(nproc --all)" "$(in_ns "$R" awk 'NR > 1 && NF == 17' /proc/net/stat/nf_conntrack | wc -l)"
in_ns "$R" python3 "$here/sysctl.py" list | fact
in_ns "$R" python3 "$here/sysctl.py" values | fact
unlike "the kernel's log has no complaint" 'BUG|WARNING|Oops|Call Trace' "$(dmesg | sed '1,/testbed: begin/d')"
