#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: changes nf_conntrack_max.
# Labels of new connections that tell nft how full the table is
# (nf_conntrack_occupancy_label), and the sample rule sets for a table that fills.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/testing/selftests/xtables.sh
. "$here/xtables.sh"
need nft conntrack python3

knob=/proc/sys/net/netfilter/nf_conntrack_occupancy_label
[ -e $knob ] || skip_all "mainline has no labels of occupancy"
keep_limits
router
agent_start
echo 200 >$max
samples=$here/../../../samples/rulesets

is "off at first" -1 "$(in_ns "$R" cat $knob)"
for good in 0 125 -1 7; do
	ok "takes $good" in_ns "$R" sh -c "echo $good >$knob"
done
for bad in -2 126 128 4294967296 abc ''; do
	refused "refuses '$bad'" in_ns "$R" sh -c "printf '%s\n' '$bad' >$knob && [ \$(cat $knob) != 7 ]"
done
is "bad values change nothing, other namespaces have their own" "7 -1" "$(in_ns "$R" cat $knob) $(in_ns "$C" cat $knob)"

fill() {
	flush "$R"
	[ "$1" = 0 ] || in_ns "$R" python3 "$here/churn.py" insert 0 "$1"
}
# ask BASE: three counters tell whether a new flow has the labels from BASE on.
ask() {
	in_ns "$R" nft -f - <<END
table inet t {
	counter l0 {}
	counter l1 {}
	counter l2 {}
	counter user {}
	counter reply {}
	chain prerouting {
		type filter hook prerouting priority mangle
		udp dport != 53 udp sport != 53 return
		ct state established ct label 60 ct label $(($1 + 1)) counter name reply return
		ct label $1 counter name l0
		ct label $(($1 + 1)) counter name l1
		ct label $(($1 + 2)) counter name l2
	}
	chain postrouting {
		type filter hook postrouting priority mangle
		udp dport 53 ct state new ct label set 60
		udp dport 53 ct label 60 counter name user
	}
}
END
}
base=0
setctl "$R" net.netfilter.nf_conntrack_occupancy_label=-1
for base in 0 30 62 125; do
	[ $base != 0 ] || { # labels are asked for, the sysctl is off
		ask 125
		fill 190
		left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=53
		is "off: no label" "l0=0 l1=0 l2=0" "$(counts "$R" | grep -o 'l[0-2]=[0-9]*' | sort | paste -sd' ')"
		in_ns "$R" nft delete table inet t
	}
	setctl "$R" net.netfilter.nf_conntrack_occupancy_label=$base
	ask $base
	for family in 4 6; do
		[ $family = 4 ] && { l=10.0.1.9 h=10.0.2.9; } || { l=2001:db8:1::9 h=2001:db8:2::9; }
		# What is there, without the new one; it counts itself.
		for at in "0 0 0 0" "98 0 0 0" "99 1 0 0" "148 1 0 0" "149 1 1 0" "178 1 1 0" "179 1 1 1" "199 1 1 1"; do
			read -r level l0 l1 l2 <<<"$at"
			fill "$level"
			zero "$R"
			left udp src=$l dst=$h sport=1 dport=53
			is "IPv$family, labels from $base on, $((level + 1)) of 200" "l0=$l0 l1=$l1 l2=$l2 user=1" \
				"$(counts "$R" | grep -oE '(l[0-2]|user)=[0-9]*' | sort | paste -sd' ')"
		done
		fill 160
		zero "$R"
		left udp src=$l dst=$h sport=2 dport=53
		right udp src=$h dst=$l sport=53 dport=2
		is "IPv$family: a rule's own label and ours stay side by side" 1 "$(packets "$R" reply)"
	done
	in_ns "$R" nft delete table inet t
done

# Without a rule that looks at labels, entries have none.
fill 160
in_ns "$R" nft 'add table inet u; add chain inet u f { type filter hook forward priority 0; }; add rule inet u f ct state new counter'
left udp src=10.0.1.9 dst=10.0.2.9 sport=3 dport=53
ask 125
right udp src=10.0.2.9 dst=10.0.1.9 sport=53 dport=3
is "nobody looks at labels: an entry has none" "l0=0 l1=0 l2=0" "$(counts "$R" | grep -o 'l[0-2]=[0-9]*' | sort | paste -sd' ')"
in_ns "$R" nft delete table inet t
in_ns "$R" nft delete table inet u
if in_ns "$R" iptables -A FORWARD -m connlabel --label 126 2>"$tmp/err"; then
	fill 160
	left udp src=10.0.1.9 dst=10.0.2.9 sport=4 dport=9
	is "iptables -m connlabel sees them, too" 1 "$(in_ns "$R" iptables -nvxL FORWARD | awk '/126/ { print $1 }')"
	in_ns "$R" iptables -F FORWARD
else
	skip "iptables -m connlabel" "$(head -n 1 "$tmp/err")"
fi

# --- the sample rule sets

# flows FAMILY: the timeouts that a new UDP flow, a new TCP one get; how many queries
# to a name server are tracked.
flows() {
	local l h f=ipv$1
	[ "$1" = 4 ] && { l=10.0.1.9 h=10.0.2.9; } || { l=2001:db8:1::9 h=2001:db8:2::9; }
	left udp src=$l dst=$h sport=5 dport=123
	left tcp src=$l dst=$h sport=5 dport=80 flags=S seq=1
	left udp src=$l dst=$h sport=5 dport=53
	echo "$(timeout_of "$R" -f $f -p udp --dport 123) $(timeout_of "$R" -f $f -p tcp --dport 80) $(entries "$R" -f $f -p udp --dport 53 | grep -c 'sport=5 ')"
}
# about WANTED GOT: the first two numbers are at most four less.
about() {
	local w g
	for g in $2; do
		w=${1%% *}
		set -- "${1#* }" "$2"
		[ "$g" -le "$w" ] && [ "$g" -ge $((w > 4 ? w - 4 : w)) ] || return 1
	done
}
judged() { # DESCRIPTION WANTED GOT
	if about "$2" "$3"; then pass "$1"; else is "$1" "$2" "$3"; fi
}
try_sample() { # NAME
	for family in $2; do
		fill 80
		judged "$1, IPv$family: with room, all is as ever" "30 120 1" "$(flows "$family")"
		fill 120
		judged "$1, IPv$family: above half, too" "30 120 1" "$(flows "$family")"
		fill 160
		judged "$1, IPv$family: above three quarters, less time" "5 10 1" "$(flows "$family")"
		fill 190
		judged "$1, IPv$family: above nine tenths, no queries of strangers" "5 10 0" "$(flows "$family")"
	done
}
ok "pressure.nft loads" in_ns "$R" nft -f "$samples/pressure.nft"
try_sample pressure.nft "4 6"
like "its counters tell what happened" 'hurried=[1-9]' "$(counts "$R")"
in_ns "$R" nft delete table inet pressure
flush "$R"

if (need_cttable) >/dev/null 2>&1; then
	need_cttable
	PATH=$here/../..:$PATH
	for family in 4 6; do
		[ $family = 4 ] && ipt=iptables-nft || ipt=ip6tables-nft
		has $ipt raw || continue
		ok "pressure.sh $ipt" in_ns "$R" "$samples/pressure.sh" $ipt
		ok "and once more" in_ns "$R" "$samples/pressure.sh" $ipt
		try_sample "pressure.sh" $family
		in_ns "$R" $ipt -t raw -F PREROUTING
		in_ns "$R" $ipt -t raw -F PRESSURE
	done
	like "it made policies that only ctpolicy can make" 'hurry-udp-inet inet udp .* soft replied 5 adaptive 75 110' "$(in_ns "$R" ctpolicy list)"
fi
flush "$R"
