#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Zones: the same addresses and ports in several of them, both directions or one;
# filters of the tool; deletion and flush of one zone. Marks and labels: set, masked,
# combined, matched.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start
in_ns "$R" nft -f - <<'END'
table inet t {
	chain raw {
		type filter hook prerouting priority raw
		ip dscp 1 ct zone set 1
		ip dscp 2 ct zone set 2
		ip6 dscp 1 ct zone set 1
		ip6 dscp 2 ct zone set 2
		udp dport 3000 ct zone set 3
		udp sport 3000 ct zone set 3
		udp dport 4000 ct original zone set 4
		udp dport 5000 ct reply zone set 5
		udp dport 6000 ct zone set meta mark map { 0 : 6 }
		udp dport 65000 ct zone set 65535
	}
	counter zone3 {}
	counter zone3new {}
	chain forward {
		type filter hook forward priority filter
		ct zone 3 counter name zone3
		ct zone 3 ct state new counter name zone3new
		ct original zone 4 counter
		udp dport 7000 ct mark set 0x10
		udp dport 7001 ct mark set ct mark | 0x1
		udp dport 7002 ct mark set ct mark & 0xf0
		udp dport 7003 ct mark set ct mark ^ 0xff
		udp dport 7004 meta mark set 0x77 ct mark set meta mark
		udp dport 7005 ct label set 5
		udp dport 7006 ct label set 127
	}
}
END

for family in 4 6; do
	[ $family = 4 ] && { l=10.0.1.9 h=10.0.2.9 f=ipv4; } || { l=2001:db8:1::9 h=2001:db8:2::9 f=ipv6; }
	flush "$R"
	zero "$R"
	left udp src=$l dst=$h sport=1 dport=3000
	right udp src=$h dst=$l sport=3000 dport=1
	is "IPv$family the reply finds the entry of its zone" "2 1 1" "$(packets "$R" zone3) $(packets "$R" zone3new) $(size "$R")"
	like "IPv$family zone is listed" 'zone=3' "$(entry "$R" -f $f -w 3)"
	left udp src=$l dst=$h sport=1 dport=4000
	left udp src=$l dst=$h sport=1 dport=5000
	left udp src=$l dst=$h sport=1 dport=6000
	left udp src=$l dst=$h sport=1 dport=65000
	like "IPv$family zone of the original direction" 'dport=4000 zone-orig=4' "$(entry "$R" -f $f -p udp --dport 4000)"
	like "IPv$family zone of the reply direction" 'dport=1 zone-reply=5' "$(entry "$R" -f $f -p udp --dport 5000)"
	like "IPv$family zone from a map" 'zone=6' "$(entry "$R" -f $f -p udp --dport 6000)"
	like "IPv$family the last zone" 'zone=65535' "$(entry "$R" -f $f -p udp --dport 65000)"
	is "IPv$family -L -w filters" "1 1 1 0" "$(for z in 3 6 65535 9; do entry "$R" -f $f -w $z | wc -l; done | paste -sd' ')"
	is "IPv$family -L --orig-zone, --reply-zone" "1 1" \
		"$(entry "$R" -f $f --orig-zone 4 | wc -l) $(entry "$R" -f $f --reply-zone 5 | wc -l)"
	fact "$(entries "$R" -f $f)"

	# The same tuple in five zones by hand.
	flush "$R"
	for z in 0 1 2 3 65535; do
		ok "IPv$family -I into zone $z" in_ns "$R" conntrack -I -p udp -s $l -d $h --sport 9 --dport 10 --timeout 100 -w $z --mark $z
	done
	refused "IPv$family the same tuple twice in a zone" in_ns "$R" conntrack -I -p udp -s $l -d $h --sport 9 --dport 10 --timeout 100 -w 2
	is "IPv$family five entries" 5 "$(size "$R")"
	for z in 0 2 65535; do
		like "IPv$family zone $z has its own" "mark=$z " "$(entry "$R" -f $f -w $z)"
	done
	ok "IPv$family -D of one zone" in_ns "$R" conntrack -D -f $f -w 2
	is "IPv$family leaves the others" "1 1 0 1 1" "$(for z in 0 1 2 3 65535; do entry "$R" -f $f -m $z | wc -l; done | paste -sd' ')"

	# Marks.
	flush "$R"
	left udp src=$l dst=$h sport=2 dport=7000
	like "IPv$family mark set" 'mark=16' "$(entry "$R" -f $f -p udp --sport 2)"
	in_ns "$R" conntrack -I -p udp -s $l -d $h --sport 3 --dport 7001 --timeout 100 --mark 0x6 >/dev/null 2>&1
	in_ns "$R" conntrack -I -p udp -s $l -d $h --sport 3 --dport 7002 --timeout 100 --mark 0x3f >/dev/null 2>&1
	in_ns "$R" conntrack -I -p udp -s $l -d $h --sport 3 --dport 7003 --timeout 100 --mark 0xf >/dev/null 2>&1
	for port in 7001 7002 7003 7004; do left udp src=$l dst=$h sport=3 dport=$port; done
	is "IPv$family or, and, xor, from the packet" "mark=7 mark=48 mark=240 mark=119" \
		"$(for port in 7001 7002 7003 7004; do entry "$R" -f $f -p udp --dport $port | grep -o 'mark=[0-9]*'; done | paste -sd' ')"
	is "IPv$family -L --mark with a mask" 3 "$(entry "$R" -f $f --mark 0x30/0x30 | wc -l)"

	# Labels: bits 0 to 127.
	left udp src=$l dst=$h sport=4 dport=7005
	left udp src=$l dst=$h sport=4 dport=7006
	mkdir -p /run/xtables-lock 2>/dev/null
	for port in 7005 7006; do entries "$R" -f $f -p udp --dport $port -o labels | fact; done
	like "IPv$family the tool takes labels" 'flow entries have been updated' \
		"$(in_ns "$R" conntrack -U -f $f -p udp --dport 7005 --mark 3 2>&1)"
done
flush "$R"
