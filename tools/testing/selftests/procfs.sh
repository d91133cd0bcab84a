#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# /proc/net/nf_conntrack, /proc/net/nf_conntrack_expect, /proc/net/stat/nf_conntrack:
# modes, owners, formats, what they show of other namespaces, reading in pieces.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start
in_ns "$R" nft -f - <<'END'
table inet t {
	chain forward {
		type filter hook forward priority filter
		ct state invalid drop
		udp dport 4040 ct mark set 77
	}
}
END
proc() { in_ns "$R" cat /proc/net/nf_conntrack; }
mode() { in_ns "$R" stat -L -c '%a %u:%g' "$1"; }

is "/proc/net/nf_conntrack: mode" "440 0:0" "$(mode /proc/net/nf_conntrack)"
is "/proc/net/stat/nf_conntrack: mode" "444 0:0" "$(mode /proc/net/stat/nf_conntrack)"
is "/proc/net/nf_conntrack_expect: mode" "440 0:0" "$(mode /proc/net/nf_conntrack_expect)"
refused "/proc/net/nf_conntrack: not for everybody" in_ns "$R" setpriv --reuid 65534 --regid 65534 --clear-groups cat /proc/net/nf_conntrack
is "an empty table is an empty file" "" "$(proc)"
is "no expectations: an empty file" "" "$(in_ns "$R" cat /proc/net/nf_conntrack_expect)"

for family in 4 6; do
	[ $family = 4 ] && { l=10.0.1.9 h=10.0.2.9 f=ipv4 n=2 il=$l ih=$h; } ||
		{ l=2001:db8:1::9 h=2001:db8:2::9 f=ipv6 n=10 il=2001:0db8:0001:0000:0000:0000:0000:0009 ih=2001:0db8:0002:0000:0000:0000:0000:0009; }
	flush "$R"
	left udp src=$l dst=$h sport=1 dport=2
	like "IPv$family UDP line" "^$f {5}$n udp {6}17 (2[0-9]|30) src=$il dst=$ih sport=1 dport=2 \[UNREPLIED\] src=$ih dst=$il sport=2 dport=1 mark=0 (secctx=[^ ]+ )?zone=0 use=2\$" "$(proc)"
	fact "$(proc | plain)"
	flush "$R"
	left tcp src=$l dst=$h sport=1 dport=2 flags=S seq=1 win=1000
	right tcp src=$h dst=$l sport=2 dport=1 flags=SA seq=1 ack=2 win=1000
	like "IPv$family TCP line" "^$f {5}$n tcp {6}6 ([45][0-9]|60) SYN_RECV src=$il dst=$ih sport=1 dport=2 src=$ih dst=$il sport=2 dport=1 mark=0 (secctx=[^ ]+ )?zone=0 use=2\$" "$(proc)"
	left tcp src=$l dst=$h sport=1 dport=2 flags=A seq=2 ack=2 win=1000
	like "IPv$family TCP line, assured" " 6 43[12][0-9]{3} ESTABLISHED .* \[ASSURED\] mark=0" "$(proc)"
	fact "$(proc | plain)"
	flush "$R"
	left icmp src=$l dst=$h id=9 type="$([ $family = 4 ] && echo 8 || echo 128)"
	left ip src=$l dst=$h proto=253 len=8
	left sctp src=$l dst=$h sport=5 dport=6 chunk=1 vtag=0
	left gre src=$l dst=$h key=7
	left udp src=$l dst=$h sport=1 dport=4040
	fact "$(proc | plain)"
	like "IPv$family unknown protocol is called that" "^$f +$n unknown  253 (5[89][0-9]|600) src" "$(proc)"
	like "IPv$family mark" 'dport=4040 .* mark=77 ' "$(proc)"
	is "IPv$family ICMP line" 1 "$(proc | grep -c "^$f.*icmp.* code=0 id=9 \[UNREPLIED\]")"
done

# Accounting and time stamps, when they are on.
setctl "$R" net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_timestamp=1
flush "$R"
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=2 len=10
right udp src=10.0.2.9 dst=10.0.1.9 sport=2 dport=1 len=20
like "accounting and time" 'dport=2 packets=1 bytes=38 src=.*dport=1 packets=1 bytes=48 mark=0 (secctx=[^ ]+ )?zone=0 delta-time=[0-9]+ use=2' "$(proc)"
setctl "$R" net.netfilter.nf_conntrack_acct=0 net.netfilter.nf_conntrack_timestamp=0
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=2 len=10
like "a flow keeps the accounting it was born with" 'packets=2 bytes=76' "$(proc)"
left udp src=10.0.1.9 dst=10.0.2.9 sport=9 dport=2
unlike "a new one has none" 'sport=9.*packets' "$(proc)"

# Each namespace sees its own.
is "another namespace sees nothing of it" "" "$(in_ns "$C" cat /proc/net/nf_conntrack)"

# Read in small pieces while there are many: each entry exactly once.
flush "$R"
say inject-many "$C" c0 "$(mac 1 1)" 3000
is "3000 flows" 3000 "$(size "$R")"
for bytes in 100 1000 65536; do
	is "read in pieces of $bytes bytes: each once" "3000 3000" \
		"$(in_ns "$R" dd if=/proc/net/nf_conntrack bs=$bytes 2>/dev/null | awk '{ n++; if (!s[$0]++) d++ } END { print n, d }')"
done
flush "$R"

# The statistics: 17 columns by position, a line for each CPU.
stat=/proc/net/stat/nf_conntrack
is "statistics: the header" \
	"entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  expect_new expect_create expect_delete search_restart" \
	"$(in_ns "$R" head -n1 $stat)"
is "statistics: lines of 17 columns of 8 digits" "$(nproc --all)" \
	"$(in_ns "$R" grep -Ec '^[0-9a-f]{8}  ([0-9a-f]{8} ){11}[0-9a-f]{8}  ([0-9a-f]{8} ){3}[0-9a-f]{8}$' $stat)"
left udp src=10.0.1.9 dst=10.0.2.9 sport=1 dport=2
is "statistics: entries, the same on each line" "00000001" "$(in_ns "$R" awk 'NR > 1 { print $1 }' $stat | sort -u)"
before=$(stat_sum "$R" invalid)
left tcp src=10.0.1.9 dst=10.0.2.9 flags=SF
is "statistics: invalid" $((before + 1)) "$(stat_sum "$R" invalid)"
before=$(stat_sum "$R" icmp_error)
right icmp src=10.0.2.9 dst=10.0.1.9 type=3 code=1 inner=udp/src=10.0.1.9/dst=10.0.2.9/sport=8/dport=10
is "statistics: icmp_error" $((before + 1)) "$(stat_sum "$R" icmp_error)"
is "statistics: columns that are always zero" "0 0 0" "$(stat_sum "$R" new) $(stat_sum "$R" ignore) $(stat_sum "$R" delete)"
for col in clashres found insert insert_failed drop early_drop expect_new expect_create expect_delete; do
	fact "statistics: $col $(stat_sum "$R" $col)"
done
is "statistics: another namespace has its own" 0 "$(stat_sum "$C" invalid)"
