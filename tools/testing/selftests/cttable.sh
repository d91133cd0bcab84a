#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: changes nf_conntrack_max, unloads a module.
# -m cttable: rules that ask how full the table is, of both kinds of iptables, over
# IPv4 and IPv6: above, below, ranges, inverted, exactly at the edges; what is
# refused and with which words; a timeout policy under pressure; loading and
# unloading under traffic. It works with mainline's nf_conntrack as well.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/testing/selftests/xtables.sh
. "$here/xtables.sh"
need iptables conntrack python3
need_cttable

keep_limits

like "modprobe finds it by what iptables asks for" 'xt_cttable' \
	"$(modprobe -n -v ipt_cttable ip6t_cttable 2>&1; modprobe -R ipt_cttable ip6t_cttable 2>&1)"
is "it depends on x_tables and nf_conntrack" "nf_conntrack x_tables" \
	"$(modinfo -F depends xt_cttable | tr ',' '\n' | sort | paste -sd' ')"

router
agent_start
echo 200 >$max

# fill NUMBER: so many connections are in the router's table, all assured.
fill() {
	flush "$R"
	[ "$1" = 0 ] || in_ns "$R" python3 "$here/churn.py" insert 0 "$1"
}

# Questions, and the answers at 0, 48, 50, 98, 100, 102, 150, 152, 200 of 200.
levels="0 48 50 98 100 102 150 152 200"
questions='
--table-above 75      |0 0 0 0 0 0 0 1 1
! --table-above 75    |1 1 1 1 1 1 1 0 0
--table-below 25      |1 1 0 0 0 0 0 0 0
! --table-below 25    |0 0 1 1 1 1 1 1 1
--table-range 50:75   |0 0 0 0 1 1 1 0 0
! --table-range 50:75 |1 1 1 1 0 0 0 1 1
--table-range 50      |0 0 0 0 1 0 0 0 0
--table-range 50:     |0 0 0 0 1 1 1 1 1
--table-range :50     |1 1 1 1 1 0 0 0 0
--table-range 0:100   |1 1 1 1 1 1 1 1 1
--table-above 0       |0 1 1 1 1 1 1 1 1
--table-above 100     |0 0 0 0 0 0 0 0 0
! --table-below 100   |0 0 0 0 0 0 0 0 1
'

for kind in legacy nft; do
	for family in 4 6; do
		# Each once is enough where everything takes long.
		[ "${SLOW:-1}" -lt 6 ] || [[ $kind$family == @(legacy6|nft4) ]] || continue
		[ $family = 4 ] && { ipt=iptables-$kind l=10.0.1.9 h=10.0.2.9; } ||
			{ ipt=ip6tables-$kind l=2001:db8:1::9 h=2001:db8:2::9; }
		has "$ipt" raw || {
			skip "$ipt" "this kernel has no such tables"
			continue
		}
		rules() { in_ns "$R" "$ipt" -t raw "$@"; }
		while IFS='|' read -r question _; do
			[ -n "$question" ] || continue
			# shellcheck disable=SC2086 # words
			rules -A PREROUTING -p udp --dport 1 -m cttable $question 2>"$tmp/err" || {
				fail "$ipt takes $question"
				diag <"$tmp/err"
			}
		done <<<"$questions"
		# The packet that asks begins no connection.
		rules -A PREROUTING -j CT --notrack
		is "$ipt-save writes what was asked" "$(sed -nE 's/ *\|.*//; s/^(.+)$/\1/p' <<<"$questions" | sed 's/range 50$/range 50:50/; s/range 50:$/range 50:100/; s/range :50/range 0:50/')" \
			"$(rules -S PREROUTING 2>/dev/null | sed -nE 's/^-A PREROUTING -p udp -m udp --dport 1 -m cttable //p')"
		like "$ipt -L shows it" 'cttable ! table-range 50:75' "$(rules -nL PREROUTING)"
		ok "$ipt -C finds it" rules -C PREROUTING -p udp --dport 1 -m cttable ! --table-range 50:75
		n=0
		got=()
		for level in $levels; do
			fill "$level"
			is "$ipt: filled to $level of 200" "$level" "$(size "$R")"
			rules -Z
			left udp src=$l dst=$h sport=1 dport=1
			while read -r hit; do
				got[n]+=" $hit"
				n=$((n + 1))
			done < <(rules -nvxL PREROUTING | awk '/cttable/ { print $1 }')
			n=0
		done
		n=0
		while IFS='|' read -r question wanted; do
			[ -n "$question" ] || continue
			is "$ipt $question at $levels of 200" " $wanted" "${got[n]:-}"
			fact "$ipt $question: ${got[n]:-}"
			n=$((n + 1))
		done <<<"$questions"

		# Ordinary tables and chains, and as part of a rule.
		rules -F
		fill 160
		in_ns "$R" "$ipt" -A FORWARD -p udp --dport 7 -m cttable --table-above 75 -j DROP
		left udp src=$l dst=$h sport=2 dport=7
		left udp src=$l dst=$h sport=2 dport=8
		is "$ipt in FORWARD" "0 1" "$(entries "$R" -f "ipv$family" -p udp --sport 2 --dport 7 | wc -l) $(entries "$R" -f "ipv$family" -p udp --sport 2 --dport 8 | wc -l)"
		in_ns "$R" "$ipt" -F

		# More than there may be, after the limit was lowered.
		rules -A PREROUTING -p udp --dport 8 -m cttable --table-above 100
		fill 100
		echo 50 >$max
		rules -Z
		left udp src=$l dst=$h sport=2 dport=8
		is "$ipt: above 100 percent after the limit was lowered" 1 "$(rules -nvxL PREROUTING | awk '/cttable/ { print $1 }')"
		echo 200 >$max
		rules -F

		# refuses WORDS OPTION...: such a rule is refused, and the message says why.
		refuses() {
			local words=$1 said
			shift
			if said=$(rules -A PREROUTING -m cttable "$@" 2>&1); then
				fail "$ipt refuses $*"
			else
				like "$ipt refuses $*" "$words" "$said"
			fi
		}
		refuses 'one of --table-above, --table-below and --table-range is needed'
		refuses 'out of range' --table-above 101
		refuses 'out of range' --table-below 256
		refuses 'bad value|out of range' --table-above -1
		refuses 'bad value|out of range' --table-above many
		refuses 'bad value|out of range' --table-above 7.5
		refuses 'out of range' --table-range 50:101
		refuses 'out of range' --table-range 75:50
		refuses 'Too many components' --table-range 1:2:3
		refuses 'cannot be used together' --table-above 5 --table-below 7
		refuses 'can only be used once' --table-above 5 --table-above 7
		refuses 'requires an argument' --table-above
		is "$ipt: nothing of it was made" "" "$(rules -S PREROUTING 2>/dev/null | grep cttable)"
		rules -F
	done
done

# What no plugin would let through: the kernel checks for itself. A rule is mode, flags,
# from, to, and padding to eight bytes.
if has iptables-nft raw; then
	rule() { in_ns "$R" python3 "$here/xtmatch.py" cttable 0 "$@" | paste -sd' '; }
	is "rules as iptables writes them are taken" "taken taken taken taken" \
		"$(rule 00004b0000000000 0101001900000000 0200324b00000000 0201000000000000)"
	is "an unknown mode" "EINVAL EINVAL" "$(rule 0300000000000000 ff00000000000000)"
	is "an unknown flag" "EINVAL EINVAL" "$(rule 00024b0000000000 00ff4b0000000000)"
	is "more than 100 percent" "EINVAL EINVAL EINVAL" "$(rule 0000650000000000 0100006500000000 020032ff00000000)"
	is "an empty range" EINVAL "$(rule 02004b3200000000)"
	is "padding is nothing, but there must be a rule, and no more" "taken EINVAL EINVAL" \
		"$(rule 00004b00 "" 00004b000000000000000000)"
	is "a revision that there is not" ENOENT "$(in_ns "$R" python3 "$here/xtmatch.py" cttable 1 00004b0000000000)"
fi

# The paper's rule: the way of new connections depends on how full the table is.
if command -v nfct >/dev/null && in_ns "$R" nfct add timeout hurry inet udp unreplied 7 replied 9 2>"$tmp/err"; then
	for kind in legacy nft; do
		ipt=iptables-$kind
		has "$ipt" raw || continue
		ok "$ipt -m cttable --table-above 75 -j CT --timeout" in_ns "$R" "$ipt" -t raw -A PREROUTING -p udp \
			-m cttable --table-above 75 -j CT --timeout hurry
		fill 150
		left udp src=10.0.1.9 dst=10.0.2.9 sport=3 dport=1
		within "$ipt: with room it is the namespace's timeout" 8 30 "$(timeout_of "$R" -p udp --sport 3 --dport 1)"
		left udp src=10.0.1.9 dst=10.0.2.9 sport=4 dport=1
		within "$ipt: above 75 percent the policy's" 1 7 "$(timeout_of "$R" -p udp --sport 4 --dport 1)"
		in_ns "$R" "$ipt" -t raw -F
	done
	flush "$R"
	poll 10 in_ns "$R" nfct delete timeout hurry
else
	skip "a policy under pressure" "no nfct here"
fi

# Each namespace asks about itself.
ipt=iptables-nft
has $ipt raw || ipt=iptables-legacy
fill 160
in_ns "$C" $ipt -t raw -A OUTPUT -m cttable --table-above 50
in_ns "$C" python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("10.0.1.1", 9))'
is "a namespace asks about its own table" 0 "$(in_ns "$C" $ipt -t raw -nvxL OUTPUT | awk '/cttable/ { print $1 }')"
ok "a rule with it keeps tracking switched on" test "$(size "$C")" -gt 0
in_ns "$C" $ipt -t raw -F

# In use it stays; unused it goes, whatever passes meanwhile.
flush "$R"
space "$S-2"
in_ns "$S-2" $ipt -t raw -A OUTPUT -m cttable ! --table-above 100
refused "in use it cannot be unloaded" rmmod xt_cttable
background ip netns exec "$S-2" python3 "$here/churn.py" flood
rounds=8
[ "${SLOW:-1}" -lt 6 ] || rounds=3
for ((round = 1; round <= rounds; round++)); do
	in_ns "$S-2" $ipt -t raw -F
	# With nft a rule goes a little later.
	poll 20 rmmod xt_cttable || fail "round $round: it unloads under traffic"
	in_ns "$S-2" $ipt -t raw -A OUTPUT -m cttable ! --table-above 100 2>"$tmp/err" || {
		fail "round $round: it comes back"
		diag <"$tmp/err"
	}
done
hits() { in_ns "$S-2" $ipt -t raw -nvxL OUTPUT | awk '/cttable/ { print $1 }'; }
seen() { [ "$(hits)" -gt 20 ]; }
ok "after all rounds it matches" poll 20 seen
