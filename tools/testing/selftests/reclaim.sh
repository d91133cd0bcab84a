#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: changes nf_conntrack_max.
# Who goes when the table is full: what has ended, what is not proven, then of what is proven
# something of the source that has the most; and the machine's own part. Of ours only: mainline has
# none of it.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

knobs=/proc/sys/net/netfilter
[ -e $knobs/nf_conntrack_fair ] || skip_all "mainline does not reclaim"
keep_limits
restore() { echo 0 >$knobs/nf_conntrack_total_max; }

# --- knobs

# range NAME FIRST BAD...: begins as FIRST; BAD values are refused and change nothing.
range() {
	local knob=$1 first=$2 bad
	shift 2
	is "$knob begins as $first" "$first" "$(in_ns "$R" cat $knobs/"$knob")"
	for bad; do
		like "$knob: $bad is refused" 'Invalid argument' \
			"$(in_ns "$R" bash -c "echo $bad >$knobs/$knob" 2>&1)"
	done
	is "$knob is still $first" "$first" "$(in_ns "$R" cat $knobs/"$knob")"
}

router
agent_start
range nf_conntrack_fair 1 -1 2 x
range nf_conntrack_fair_prefix 32 -1 33 x
range nf_conntrack_fair_prefix6 64 -1 129 x
range nf_conntrack_reserved 1 -1 101 x

# --- scenes

in_ns "$R" nft 'add table ip t; add chain ip t f { type filter hook forward priority 0; }; add rule ip t f ct state new,established counter'
ip -n "$R" route add 10.96.0.0/12 via 10.0.1.9
echo 512 >$knobs/nf_conntrack_buckets
ours() { echo "net.netfilter.nf_conntrack_$1"; }

# scene LIMIT: an empty table for so many.
scene() {
	flush "$R"
	echo "$1" >$knobs/nf_conntrack_max
}

# flows KIND NET FIRST HOSTS [PORT [PORTS]]
flows() { say flows "$C" "$S" "$@"; }

# alive NET: how many entries come from hosts of it.
alive() { in_ns "$R" conntrack -L 2>/dev/null | grep -c "src=$1[0-9]* dst=10.0.2.9 "; }

all_alive() { [ "$(alive "$1")" -ge "$2" ]; }

# come NET FIRST HOSTS WANTED: hosts try, as hosts do, until WANTED of the net are in.
try() {
	local host
	for ((host = $2; host < $2 + $3; host++)); do
		all=$(in_ns "$R" conntrack -L -s "$1$host" 2>/dev/null)
		[ -n "$all" ] || flows shaken "$1" "$host" 1
	done
	all_alive "$1" "$4"
}
come() { poll 20 try "$@" && pass "$5" || { fail "$5" && alive "$1" | diag; }; }

# Not proven goes before proven: who comes takes the places of flows that were picked up.
scene 100
flows loose 10.98.0. 1 50
flows shaken 10.97.0. 1 50
is "50 picked up, 50 with a handshake" "50 50" "$(alive 10.98.0.) $(alive 10.97.0.)"
is "all of them are assured" 100 "$(in_ns "$R" conntrack -L 2>/dev/null | grep -c ASSURED)"
come 10.96.0. 1 30 30 "30 more find a place"
is "at the cost of those that were picked up" "50 20" "$(alive 10.97.0.) $(alive 10.98.0.)"

# What has ended goes first, however often it says so.
scene 100
flows ending 10.98.0. 1 15
flows shaken 10.97.0. 1 45
flows loose 10.99.0. 1 40
flows again 10.98.0. 1 15
come 10.96.0. 1 12 12 "12 take the places of what has ended"
is "the others stay" "45 40" "$(alive 10.97.0.) $(alive 10.99.0.)"
# What has ended and is idle for long goes without need, too.
within "no more of what has ended is left than had to be" 0 3 "$(alive 10.98.0.)"

# A flood of handshakes from few sources takes nothing from those that have little.
scene 256
flows shaken 10.97.0. 1 40
flows shaken 10.99.0. 1 4 1000 54
is "40 sources with one flow, 4 with many" 40 "$(alive 10.97.0.)"
flows shaken 10.99.0. 1 4 2000 30
is "when the many go on, the 40 keep theirs" 40 "$(alive 10.97.0.)"
come 10.96.0. 1 30 30 "30 sources come"
flows shaken 10.99.0. 1 4 3000 30
is "and all stay" "40 30" "$(alive 10.97.0.) $(alive 10.96.0.)"
within "the table is full, and no fuller" 240 256 "$(size "$R")"
like "who took them is told" '^evicted.fairness.active [1-9]' "$(in_ns "$R" cat /proc/net/nf_conntrack_reclaim)"
# The four pay, and not one of them alone.
for bot in 1 2 3 4; do
	within "source $bot has its share" 25 75 "$(alive 10.99.0.$bot)"
done

# slowly PREFIX LAST: as many sources with one flow each, some of them later, when it is known who has
# what: before that nobody gets a privilege in a table that is full.
slowly() {
	flows shaken "$1" 1 $(($2 * 7 / 8))
	sleep 0.5
	flows shaken "$1" $(($2 * 7 / 8 + 1)) "$2"
}

# Networks count as one source, if so wanted.
setctl "$R" "$(ours fair_prefix)=24"
scene 256
flows shaken 10.97.0. 1 20
flows shaken 10.99.0. 1 230
flows shaken 10.99.0. 1 40 2000
is "a whole network pays for itself" 20 "$(alive 10.97.0.)"
come 10.96.0. 1 10 10 "and for others"
is "who have little" "20 10" "$(alive 10.97.0.) $(alive 10.96.0.)"
setctl "$R" "$(ours fair_prefix)=32"

# Switched off, what is proven stays.
setctl "$R" "$(ours fair)=0"
scene 64
flows shaken 10.99.0. 1 1 1000 64
before=$(stat_sum "$R" drop)
flows shaken 10.96.0. 1 1
within "without sharing a full table refuses" 1 3 $(($(stat_sum "$R" drop) - before))
is "and nobody lost anything" "64 0" "$(alive 10.99.0.) $(alive 10.96.0.)"
setctl "$R" "$(ours fair)=1"

# What has gone is not counted on: who is idle is known before somebody needs his place.
scene 128
flows ending 10.98.0. 1 120
setctl "$R" "$(ours tcp_soft_timeout_established)=1"
scene 128
slowly 10.97.0. 128
is "128 sources with one flow" 128 "$(alive 10.97.0.)"
sleep 2.5
before=$(stat_sum "$R" drop)
flows shaken 10.96.0. 1 20
is "20 more find a place, and nobody is refused" "20 0" "$(alive 10.96.0.) $(($(stat_sum "$R" drop) - before))"
setctl "$R" "$(ours tcp_soft_timeout_established)=0"

# The machine itself goes on when nobody can pay.
scene 64
slowly 10.99.0. 64
is "64 sources with one flow" 64 "$(alive 10.99.0.)"
say udp self "$R" 10.0.1.1 4000
for port in 1 2 3; do
	ok "the machine itself sends, $port" agent udp-to self 10.0.1.9 $port
done
left udp src=10.0.1.9 dst=10.0.1.1 sport=700 dport=4000
is "somebody reaches it" 1 "$(in_ns "$R" conntrack -L -p udp -s 10.0.1.9 -d 10.0.1.1 2>/dev/null | grep -c .)"
is "beyond the limit" "64 68" "$(alive 10.99.0.) $(size "$R")"
for ((port = 10; port < 40; port++)); do agent udp-to self 10.0.1.9 $port >/dev/null; done
within "but not much" 69 80 "$(size "$R")"
is "the others keep what they have" 64 "$(alive 10.99.0.)"
setctl "$R" "$(ours reserved)=0"
scene 64
slowly 10.99.0. 64
refused "without reserve the machine is refused" agent udp-to self 10.0.1.9 1
say close self
setctl "$R" "$(ours reserved)=1"

# All namespaces together: the largest makes room.
total=$knobs/nf_conntrack_total_max
is "nf_conntrack_total_max begins as 0" 0 "$(<$total)"
like "nf_conntrack_total_max: -1 is refused" 'Invalid argument' "$(bash -c "echo -1 >$total" 2>&1)"
is "nf_conntrack_total_max is still 0" 0 "$(<$total)"
refused "and can be set in the first namespace only" in_ns "$R" sh -c "echo 5 >$total"
in_ns "$C" nft 'add table ip t; add chain ip t o { type filter hook output priority 0 ; }; add rule ip t o ct state new counter'
flush "$C"
scene 1000
say inject-many "$C" c0 "$(mac 1 1)" 90
is "90 entries in one" 90 "$(size "$R")"
say udp local "$C" 127.0.0.1 5000
# talk FIRST LAST: flows of another namespace, over its loopback.
talk() { for ((port = $1; port <= $2; port++)); do agent udp-to local 127.0.0.1 "$port" >/dev/null; done; }
echo 100 >$total
talk 6000 6039
is "40 in another find a place" 40 "$(size "$C")"
within "at the cost of the first" 55 62 "$(size "$R")"
talk 6040 6099
within "until both have the same" 46 54 "$(size "$R")"
within "and not more" 46 54 "$(size "$C")"
within "which is told as that" 1 60 "$(in_ns "$R" awk 'index($1, "evicted.cap.") == 1 { n += $2 } END { print n + 0 }' /proc/net/nf_conntrack_reclaim)"
echo 0 >$total
before=$(size "$R")
talk 7000 7029
within "without a limit each has its own" 76 84 "$(size "$C")"
is "and nobody takes from another" "$before" "$(size "$R")"
say close local

# An answer that the other side does not see proves nothing.
scene 40
flow() { "$1" udp "src=$2" "dst=$3" "sport=$4" "dport=$5"; }
for ((host = 1; host <= 10; host++)); do
	flow left 10.98.0.$host 10.0.2.9 7 7
	flow right 10.0.2.9 10.98.0.$host 7 7
	flow left 10.97.0.$host 10.0.2.9 7 7
	flow right 10.0.2.9 10.97.0.$host 7 7
	flow left 10.97.0.$host 10.0.2.9 7 7
	flow right 10.0.2.9 10.97.0.$host 7 7
done
streams() {
	for ((host = 1; host <= 10; host++)); do
		flow right 10.0.2.9 10.98.0.$host 7 7
		flow left 10.97.0.$host 10.0.2.9 7 7
	done
	[ "$(in_ns "$R" conntrack -L -p udp 2>/dev/null | grep -c ASSURED)" = 20 ]
}
ok "20 streams" poll 60 streams
flows shaken 10.99.0. 1 20
come 10.96.0. 1 6 6 "6 take the places of those in which one side only was heard twice"
is "who talks stays" "10 4 20" "$(alive 10.97.0.) $(alive 10.98.0.) $(alive 10.99.0.)"
