#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# exclusive: changes nf_conntrack_max.
# Probing of idle TCP connections: live ends go on as if nothing was, dead ones are
# found out, with rules, translation, zones and marks between them.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3 ss

knobs=/proc/sys/net/netfilter
[ -e $knobs/nf_conntrack_tcp_probe_time ] || skip_all "this module does not probe"
keep_limits

router
agent_start
sys() { # NAME=VALUE...
	local word
	for word; do setctl "$R" "net.netfilter.nf_conntrack_tcp_probe_$word"; done
}
knob() { in_ns "$R" cat "$knobs/nf_conntrack_tcp_probe_$1"; }
setctl "$R" net.netfilter.nf_conntrack_acct=1
# Ends that wait long enough: what is sent again was not lost in a slow machine's time.
for ns in "$C" "$S"; do
	setctl "$ns" net.ipv4.tcp_rto_min_us=5000000 net.ipv4.tcp_early_retrans=0
done

# --- knobs

is "off, and bounded, at first" "0 75 9 0 100" "$(for n in time interval probes above rate; do knob $n; done | paste -sd' ')"
for bad in time=-1 time=2147484 time=x interval=0 interval=32768 probes=0 probes=128 above=-1 above=101 rate=0 rate=-5; do
	was=$(knob ${bad%=*})
	refused "$bad is refused" in_ns "$R" sh -c "echo ${bad#*=} >$knobs/nf_conntrack_tcp_probe_${bad%=*}"
	is "and changes nothing" "$was" "$(knob ${bad%=*})"
done
like "with EINVAL" 'Invalid argument' "$(in_ns "$R" bash -c "echo 128 >$knobs/nf_conntrack_tcp_probe_probes" 2>&1)"

# --- live ends

# Counts what comes in at either end, by port.
watch() { # NS
	in_ns "$1" nft -f - <<'END'
table inet watch {
	set ports { type inet_service; size 1000; flags dynamic; counter; }
	chain input {
		type filter hook input priority 0
		iif lo accept
		tcp sport 7000-7999 update @ports { tcp sport }
		tcp dport 7000-7999 update @ports { tcp dport }
	}
}
END
}
watch "$C"
watch "$S"
seen() { # NS PORT: segments that came in there
	in_ns "$1" nft list set inet watch ports | sed 's/[,{]/\n/g' | sed -nE "s/^[[:space:]]*$2 counter packets ([0-9]+) .*/\1/p" | grep . || echo 0
}
got() { # PORT NUMBER BASE_C BASE_S: each end got so many more
	[ $(($(seen "$C" "$1") - $3)) -ge "$2" ] && [ $(($(seen "$S" "$1") - $4)) -ge "$2" ]
}
connect() { # PORT SERVER [TARGET]
	say tcp-listen "l$1" "$S" "$2" "$1"
	say tcp-connect "c$1" "$C" "${3:-$2}" "$1"
	say accept "s$1" "l$1"
}
flow() { in_ns "$R" conntrack -L -p tcp --dport "$1" 2>/dev/null; }
numbers() { flow "$1" | grep -oE '(packets|bytes)=[0-9]+' | paste -sd' '; }
left_of() { flow "$1" | sed -nE '1s/^tcp +6 ([0-9]+) .*/\1/p'; }
tcp_stat() { # NS COLUMN
	in_ns "$1" awk -v col="$2" '$1 == "Tcp:" { if (!n) { for (i = 1; i <= NF; i++) if ($i == col) n = i } else print $n }' /proc/net/snmp
}
windows() { # PORT
	in_ns "$C" ss -tinH "dport = $1" | grep -oE 'snd_wnd:[0-9]+'
	in_ns "$S" ss -tinH "sport = $1" | grep -oE 'snd_wnd:[0-9]+'
}
tally() { in_ns "$R" awk -v name="probes_$1" '$1 == name { print $2 }' /proc/net/nf_conntrack_reclaim; }
gone() { ! flow "$1" | grep -q .; }

# Everything is on before the first connection: who is not known is not probed.
sys probes=3 interval=1 rate=1000 time=1
modprobe -qa nf_conntrack_ftp nf_nat_ftp nft_ct nft_synproxy 2>/dev/null
in_ns "$R" nft -f - <<'END'
table inet t {
	ct helper ftp { type "ftp" protocol tcp; }
	counter notnew {}
	chain raw {
		type filter hook prerouting priority raw
		tcp dport 7006 ct zone set 6
		tcp sport 7006 ct zone set 6
	}
	chain mangle {
		type filter hook prerouting priority mangle
		ct state new tcp dport 7007 ct mark set 7
		meta mark set ct mark
	}
	chain pre {
		type nat hook prerouting priority dstnat
		ip daddr 10.0.1.100 dnat ip to 10.0.2.2
		ip6 daddr 2001:db8:1::100 dnat ip6 to 2001:db8:2::2
	}
	chain post {
		type nat hook postrouting priority srcnat
		tcp dport { 7003, 7004 } masquerade
		tcp dport 7021 snat ip to 10.0.2.200
	}
	# What is not of a connection does not get through.
	chain forward {
		type filter hook forward priority filter; policy drop
		ct state established,related accept
		ct state new tcp dport 7021 ct helper set "ftp" accept
		ct state new tcp flags & (syn | ack) == syn accept
	}
	chain input { type filter hook input priority filter; policy drop; ct state established,related,new accept; icmpv6 type { 133-137 } accept; }
	chain output { type filter hook output priority filter; policy drop; ct state established,related,new accept; icmpv6 type { 133-137 } accept; }
}
END
ip -n "$R" addr add 10.0.1.100/32 dev r1
ip -n "$R" addr add 2001:db8:1::100/128 dev r1 nodad
ip -n "$R" addr add 10.0.2.200/32 dev r2
# To the client of 7007 by its mark only.
ip -n "$R" rule add fwmark 7 lookup 107
ip -n "$R" route add 10.0.1.0/24 dev r1 table 107
ip -n "$R" route add 10.0.2.0/24 dev r2 table 107
ip -n "$C" addr add 10.7.7.7/32 dev c0
ip -n "$R" route add 10.7.7.7/32 via 10.0.1.2 dev r1 table 107
ip -n "$S" route add 10.7.7.7/32 via 10.0.2.1

# Only connections that begin while somebody listens have events.
in_ns "$R" conntrack -E -e DESTROY -p tcp -o timestamp >"$tmp/destroyed" 2>"$tmp/destroyed.err" &
pids+=($!)
ok "somebody listens" poll 10 listening "$R"
destroyed() { grep -q "dport=$1 " "$tmp/destroyed"; }

connect 7001 10.0.2.2
connect 7002 2001:db8:2::2
connect 7003 10.0.2.2 10.0.1.100
connect 7004 2001:db8:2::2 2001:db8:1::100
setctl "$C" net.ipv4.tcp_timestamps=0 net.ipv4.tcp_sack=0 net.ipv4.tcp_window_scaling=0
connect 7005 10.0.2.2
setctl "$C" net.ipv4.tcp_timestamps=1 net.ipv4.tcp_sack=1 net.ipv4.tcp_window_scaling=1
connect 7006 10.0.2.2
say tcp-listen l7007 "$S" 10.0.2.2 7007
say tcp-connect c7007 "$C" 10.0.2.2 7007 sport=5007 src=10.7.7.7
say accept s7007 l7007
# One end takes nothing without a timestamp, as RFC 7323 has it.
in_ns "$C" nft 'add chain inet watch strict { type filter hook input priority -1; }; add rule inet watch strict tcp sport 7008 tcp option timestamp missing drop'
in_ns "$S" nft 'add chain inet watch strict { type filter hook input priority -1; }; add rule inet watch strict tcp dport 7008 tcp flags & rst != rst tcp option timestamp missing drop'
connect 7008 10.0.2.2
# A helper that changed the length of what was said.
connect 7021 10.0.2.2
say send-quoted s7021 220%20hello%0D%0A
say recv-quoted c7021
say send-quoted c7021 USER%20x%0D%0A
say recv-quoted s7021
say send-quoted c7021 PORT%2010,0,1,2,200,200%0D%0A
is "the helper translated" "PORT 10,0,2,200,200,200" "$(agent recv-quoted s7021 | sed 's/%0D%0A//; s/%20/ /')"

live="7001 7002 7003 7004 7005 7006 7007 7008 7021"
declare -A what=([7001]="IPv4" [7002]="IPv6" [7003]="IPv4, both ends translated" [7004]="IPv6, both ends translated"
	[7005]="without timestamps, SACK and scaling" [7006]="in a zone" [7007]="routed by mark"
	[7008]="strict about timestamps" [7021]="with adjusted numbers")
sleep 1
declare -A before wins base_c base_s
for p in $live; do
	say exact "c$p" "s$p" 3000
done
for p in $live; do
	before[$p]=$(numbers $p) wins[$p]=$(windows $p) base_c[$p]=$(seen "$C" $p) base_s[$p]=$(seen "$S" $p)
done
retrans="$(tcp_stat "$C" RetransSegs) $(tcp_stat "$S" RetransSegs)"
resets="$(tcp_stat "$C" OutRsts) $(tcp_stat "$S" OutRsts) $(tcp_stat "$C" EstabResets) $(tcp_stat "$S" EstabResets)"
for p in $live; do
	# Each end gets a probe and the other one's answer at a time: after twelve, six rounds
	# were answered, and three would have ended it.
	ok "${what[$p]}: both ends are probed" poll 15 got $p 12 "${base_c[$p]}" "${base_s[$p]}"
done
for p in $live; do
	like "${what[$p]}: is still there" 'ESTABLISHED .*\[ASSURED\]' "$(flow $p)"
	within "${what[$p]}: answers refresh it" 431990 432000 "$(left_of $p)"
	is "${what[$p]}: but do not count" "${before[$p]}" "$(numbers $p)"
	is "${what[$p]}: windows are what they were" "${wins[$p]}" "$(windows $p)"
	ok "${what[$p]}: every byte arrives" agent exact "c$p" "s$p" 200000
done
is "nothing was sent again" "$retrans" "$(tcp_stat "$C" RetransSegs) $(tcp_stat "$S" RetransSegs)"
is "nothing was reset" "$resets" "$(tcp_stat "$C" OutRsts) $(tcp_stat "$S" OutRsts) $(tcp_stat "$C" EstabResets) $(tcp_stat "$S" EstabResets)"

within "answers are counted" 100 9999 "$(tally answered)"
is "nobody was given up, nobody reset" "0 0" "$(tally given_up) $(tally reset)"

# --- half closed: not asked, and goes on

say shut c7001
closing() { flow 7001 | grep -qE 'FIN_WAIT|CLOSE_WAIT'; }
ok "half closed" poll 10 closing
base_c[7001]=$(seen "$C" 7001)
base_s[7001]=$(seen "$S" 7001)
sleep 3
is "half closed: nobody is asked" "${base_c[7001]} ${base_s[7001]}" "$(seen "$C" 7001) $(seen "$S" 7001)"
say send s7001 afterwards
is "half closed: the open half works" afterwards "$(agent recv c7001)"

# --- a client that lost the connection

# What it says when its socket goes does not get out.
in_ns "$C" nft 'add table inet mute; add chain inet mute o { type filter hook output priority 0; }; add rule inet mute o tcp dport 7005 drop'
say reset c7005
in_ns "$C" nft delete table inet mute
closed() { ! flow 7005 | grep -q ESTABLISHED; }
ok "rebooted: its reset closes the connection" poll 20 closed
# That other end may have been asked, too, and have reset what it knew no more.
within "rebooted: a reset was counted" 1 2 "$(tally reset)"
like "rebooted: the other end got it, too" 'Reset' "$(agent recv s7005)"

# --- ends that are gone

# One end does not answer any more.
before[7002]=$(numbers 7002)
in_ns "$S" nft 'add table inet dead; add chain inet dead i { type filter hook input priority -10; }; add rule inet dead i tcp dport 7002 drop'
ok "one end silent: the entry goes" poll 20 gone 7002
ok "one end silent: with an event" poll 5 destroyed 7002
is "one end silent: one was given up" 1 "$(tally given_up)"
is "one end silent: which has its counters" "${before[7002]}" "$(grep dport=7002 "$tmp/destroyed" | grep -oE '(packets|bytes)=[0-9]+' | paste -sd' ')"
like "the others are still there" ESTABLISHED "$(flow 7003)"

# A link that is down at its other end.
ip -n "$S" link set s0 down
ok "link down: the entries go" poll 20 gone 7003
ok "link down: all of them" poll 5 gone 7021
ok "link down: with an event" poll 5 destroyed 7003
ip -n "$S" link set s0 up
ip -n "$S" route replace default via 10.0.2.1

# Hosts of which nothing is heard: a handshake, then silence.
silent() { # PORT
	left tcp sport=1 dport="$1" flags=S seq=1000 win=1000
	right tcp src=10.0.2.9 dst=10.0.1.9 sport="$1" dport=1 flags=SA seq=5000 ack=1001 win=1000
	left tcp sport=1 dport="$1" flags=A seq=1001 ack=5001 win=1000
}
sys probes=2
silent 7100
begun=$(date +%s%N)
like "silent hosts: established" 'ESTABLISHED .*\[ASSURED\]' "$(flow 7100)"
ok "silent hosts: the entry goes" poll 20 gone 7100
# One second idle, two intervals; up to two more until walks come by.
within "silent hosts: not too early, nor too late" 2500 $((6000 * ${SLOW:-1})) $((($(date +%s%N) - begun) / 1000000))

# The device to one end vanishes with its namespace.
space "$name-x"
link "$R" r3 "$name-x" x0 3
ip -n "$name-x" route add default via 10.0.3.1
in_ns "$R" nft add rule inet t forward accept
say tcp-listen l7110 "$C" 10.0.1.2 7110
say tcp-connect c7110 "$name-x" 10.0.1.2 7110
say accept s7110 l7110
say exact c7110 s7110 1000
before[7110]=$(numbers 7110)
ip -n "$R" link del r3
ok "vanished device: the entry goes" poll 20 gone 7110
ok "vanished device: with an event" poll 5 destroyed 7110

# --- what does not leave proves nothing

connect 7120 10.0.2.2
say exact c7120 s7120 1000
in_ns "$R" nft insert rule inet t forward tcp dport 7120 counter name notnew drop
sleep 5
like "rules in the way: the entry stays" 'ESTABLISHED .*\[ASSURED\]' "$(flow 7120)"
[ "$(packets "$R" notnew)" -ge 2 ] && pass "rules in the way: they saw probes" || fail "rules in the way: $(counts "$R")"

within "rules in the way: which is counted" 1 999 "$(tally blocked)"

# --- only from a filling on

in_ns "$R" nft delete chain inet t forward
in_ns "$R" nft 'add chain inet t late { type filter hook postrouting priority 50; }; add counter inet t asked; add rule inet t late ip daddr { 10.0.1.9, 10.0.2.9 } tcp flags ack counter name asked'
flush "$R"
say close c7001; say close c7004; say close c7006; say close c7007; say close c7008
flush "$R"
echo 200 >$max
sys above=50 probes=100
silent 7130
zero "$R"
sleep 4
is "below the filling: nobody is asked" 0 "$(packets "$R" asked)"
for i in $(seq 1 110); do
	echo "-I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport $i --dport 1 -t 300"
done | in_ns "$R" xargs -L1 conntrack >/dev/null 2>&1
within "more than half full" 101 130 "$(size "$R")"
some() { [ "$(packets "$R" asked)" -ge 4 ]; }
ok "above it: both ends are" poll 20 some
echo "$kept_max" >$max

# --- not more than so many a second

sys above=0 time=0
flush "$R"
sleep 0.5
sys rate=5 time=1
for i in $(seq 7200 7240); do silent "$i"; done
sleep 2
zero "$R"
begun=$(date +%s%N)
sleep 4
asked=$(packets "$R" asked)
ms=$((($(date +%s%N) - begun) / 1000000))
# Two go out at a time.
within "so many a second" 5 $((ms * 5 / 1000 + 3)) "$asked"
sys rate=1000

# --- switched on late, off, and who is not asked

sys time=0
flush "$R"
connect 7301 10.0.2.2
say exact c7301 s7301 1000
sys time=1
base_c[7301]=$(seen "$C" 7301) base_s[7301]=$(seen "$S" 7301)
sleep 4
is "from before it was switched on: not asked" "${base_c[7301]} ${base_s[7301]}" "$(seen "$C" 7301) $(seen "$S" 7301)"
say exact c7301 s7301 1000
base_c[7301]=$(seen "$C" 7301) base_s[7301]=$(seen "$S" 7301)
ok "but once both were heard of" poll 20 got 7301 4 "${base_c[7301]}" "${base_s[7301]}"
sys time=0
sleep 0.5
base_c[7301]=$(seen "$C" 7301) base_s[7301]=$(seen "$S" 7301)
sleep 3
is "switched off: not any more" "${base_c[7301]} ${base_s[7301]}" "$(seen "$C" 7301) $(seen "$S" 7301)"
like "and nothing is lost" ESTABLISHED "$(flow 7301)"

sys time=1 probes=2
say tcp-listen l7302 "$R" 127.0.0.1 7302
say tcp-connect c7302 "$R" 127.0.0.1 7302
say accept s7302 l7302
say tcp-listen l7303 "$R" 10.0.1.1 7303
say tcp-connect c7303 "$C" 10.0.1.1 7303
say accept s7303 l7303
for p in 7302 7303; do
	say exact c$p s$p 1000
	before[$p]=$(numbers $p)
done
sleep 5
for p in 7302 7303; do
	like "of this machine: left alone ($p)" ESTABLISHED "$(flow $p)"
	is "of this machine: nothing passes ($p)" "${before[$p]}" "$(numbers $p)"
	ok "of this machine: goes on ($p)" agent exact c$p s$p 10000
done
