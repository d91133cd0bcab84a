#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The sysctls that change a verdict: tcp_be_liberal, tcp_loose, tcp_ignore_invalid_rst,
# checksum, log_invalid with its lines; window scaling, SACK and time stamps.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

router
agent_start
in_ns "$R" nft -f - <<'END'
table inet t {
	counter valid {}
	counter invalid {}
	chain pre {
		type filter hook prerouting priority filter
		ip6 daddr ff00::/8 return
		ct state invalid counter name invalid
		ct state { new, established, related } counter name valid
	}
}
END
sys() { setctl "$R" "net.netfilter.nf_conntrack_$1=$2"; }
verdict() { # of what was sent since zero
	case "$(packets "$R" valid) $(packets "$R" invalid)" in
	"1 0") echo valid ;;
	"0 1") echo invalid ;;
	*) counts "$R" ;;
	esac
}
try() { # SIDE FLAGS KEY=VALUE...: the verdict on one packet and the state after it
	local side=$1 flags=$2 before after entry
	shift 2
	before=$(agent look "$R")
	if [ "$side" = left ]; then
		left tcp src=$l dst=$h sport=1 dport=2 win=1000 "flags=$flags" "$@"
	else
		right tcp src=$h dst=$l sport=2 dport=1 win=1000 "flags=$flags" "$@"
	fi
	read -r after entry <<<"$(agent look "$R")"
	case $((after - ${before% *})) in
	0) echo "valid $entry" ;;
	1) echo "invalid $entry" ;;
	*) echo "counted $((after - ${before% *})) times $entry" ;;
	esac
}
connect() { # [OPTIONS]: a connection, window 1000 both ways
	flush "$R"
	left tcp src=$l dst=$h sport=1 dport=2 flags=S seq=1000 win=1000 "$@"
	right tcp src=$h dst=$l sport=2 dport=1 flags=SA seq=5000 ack=1001 win=1000 "$@"
	left tcp src=$l dst=$h sport=1 dport=2 flags=A seq=1001 ack=5001 win=1000
}

for family in 4 6; do
	[ $family = 4 ] && { l=10.0.1.9 h=10.0.2.9 f=ipv4; } || { l=2001:db8:1::9 h=2001:db8:2::9 f=ipv6; }
	connect
	is "IPv$family in the window" "valid ESTABLISHED" "$(try left A seq=1001 ack=5001 len=500)"
	is "IPv$family the window full" "valid ESTABLISHED" "$(try left A seq=1501 ack=5001 len=500)"
	is "IPv$family a little beyond the window" "valid ESTABLISHED" "$(try left A seq=2002 ack=5001 len=500)"
	is "IPv$family far beyond the window" "invalid ESTABLISHED" "$(try left A seq=9002 ack=5001 len=500)"
	is "IPv$family an ack of what was never sent" "invalid ESTABLISHED" "$(try right A seq=5001 ack=3000)"
	is "IPv$family sent and acknowledged long ago" "valid ESTABLISHED" "$(try left A seq=4294900000 ack=5001 len=10)"
	is "IPv$family RST beyond the window" "invalid ESTABLISHED" "$(try right R seq=9000)"
	fact "IPv$family RST inside the window: $(try right R seq=5101)"
	connect
	for flags in S SA F 0 SF FPU RA; do
		fact "IPv$family flags $flags in the middle: $(try left $flags seq=1501 ack=5001)"
		connect
	done

	sys tcp_be_liberal 1
	connect
	is "IPv$family be_liberal: beyond the window" "valid ESTABLISHED" "$(try left A seq=9002 ack=5001 len=500)"
	is "IPv$family be_liberal: an ack of what was never sent" "valid ESTABLISHED" "$(try right A seq=5001 ack=30000)"
	fact "IPv$family be_liberal: RST beyond the window: $(try right R seq=90000)"
	sys tcp_be_liberal 0

	connect
	sys tcp_ignore_invalid_rst 1
	fact "IPv$family ignore_invalid_rst: RST beyond the window: $(try right R seq=9000)"
	sys tcp_ignore_invalid_rst 0

	flush "$R"
	sys tcp_loose 1
	is "IPv$family loose: picked up in the middle" "valid ESTABLISHED" "$(try left A seq=70000 ack=80000 len=5)"
	fact "IPv$family loose: any window of the other side: $(try right A seq=80000 ack=70005 win=500)"
	flush "$R"
	fact "IPv$family loose: FIN first: $(try left FA seq=70000 ack=80000)"
	flush "$R"
	fact "IPv$family loose: RST first: $(try left R seq=70000)"
	flush "$R"
	sys tcp_loose 0
	is "IPv$family not loose: not picked up" "invalid none" "$(try left A seq=70000 ack=80000 len=5)"
	is "IPv$family not loose: SYN is" "valid SYN_SENT" "$(try left S seq=1)"
	sys tcp_loose 1

	# Window scaling by 2^7 both ways: 1000 means 128000.
	connect opt=01030307
	left tcp src=$l dst=$h sport=1 dport=2 flags=A seq=1001 ack=5001 win=1000
	right tcp src=$h dst=$l sport=2 dport=1 flags=A seq=5001 ack=1001 win=1000
	is "IPv$family window scaling: far, but in the window" "valid ESTABLISHED" "$(try left A seq=100000 ack=5001 len=500)"
	is "IPv$family window scaling: too far" "invalid ESTABLISHED" "$(try left A seq=400000 ack=5001 len=500)"
	# SACK: the last ack counts, not the first gap.
	connect opt=01010402
	left tcp src=$l dst=$h sport=1 dport=2 flags=A seq=1501 ack=5001 len=400 win=1000
	fact "IPv$family SACK: $(try right A seq=5001 ack=1001 opt=0101050a000005dd0000076d win=1000)"
	fact "IPv$family SACK, cut: $(try right A seq=5001 ack=1001 opt=0101051200000599 win=1000)"
	# Simultaneous open, and the other ways a handshake can go.
	flush "$R"
	fact "IPv$family simultaneous open: $(try left S seq=100 win=500); $(try right S seq=900 win=500); $(try left SA seq=100 ack=901 win=500); $(try right SA seq=900 ack=101 win=500); $(try left A seq=101 ack=901)"
	flush "$R"
	fact "IPv$family SYN again, other number: $(try left S seq=100); $(try left S seq=5000); $(try right SA seq=1 ack=101); $(try right SA seq=1 ack=5001)"
	flush "$R"
	fact "IPv$family reset of the attempt: $(try left S seq=100); $(try right RA seq=0 ack=101)"
	flush "$R"
	fact "IPv$family max_retrans: $(for n in 1 2 3 4 5 6; do try left S seq=100; done | paste -sd,)"

	# Checksums: a bad one is invalid, unless nobody looks.
	for proto in tcp udp icmp; do
		kind=$([ $family = 4 ] && echo 8 || echo 128)
		case $proto in
		tcp) words="sport=50 dport=60 flags=S" ;;
		udp) words="sport=50 dport=60" ;;
		icmp) words="type=$kind id=7" ;;
		esac
		sys checksum 1
		flush "$R"
		zero "$R"
		# shellcheck disable=SC2086
		left $proto src=$l dst=$h $words csum=bad
		is "IPv$family $proto with a bad checksum" "invalid 0" "$(verdict) $(size "$R")"
		sys checksum 0
		zero "$R"
		# shellcheck disable=SC2086
		left $proto src=$l dst=$h $words csum=bad
		is "IPv$family $proto with a bad checksum, nobody looks" "valid 1" "$(verdict) $(size "$R")"
		sys checksum 1
	done
done

# log_invalid: one line for each invalid packet of the protocol that is chosen.
log_all=/proc/sys/net/netfilter/nf_log_all_netns
modprobe -q nf_log_syslog
if [ -w $log_all ] && dmesg >/dev/null 2>&1 && echo test >/dev/kmsg 2>/dev/null; then
	old=$(<$log_all)
	restore() { echo "$old" >$log_all; }
	echo 1 >$log_all
	# Addresses of memory, devices' and packets' numbers do not matter here.
	lines() {
		new_log | grep -aE 'nf_ct_|IN=.*PROTO' |
			sed -E 's/^[^]]*\] *//; s/MAC=[0-9a-f:]* //; s/ ID=[0-9]+//; s/0x[0-9a-f]{8,}/PTR/g; s/ +$//'
	}
	for proto in 0 6 17 1 58 132 47 255; do
		sys log_invalid $proto
		flush "$R"
		mark_log
		left tcp flags=SF
		left tcp flags=0
		left tcp flags=S csum=bad
		left tcp flags=A seq=5 doff=4
		left tcp cut=10
		left tcp flags=SA ack=1
		l=10.0.1.9 h=10.0.2.9 f=ipv4
		connect
		left tcp sport=1 dport=2 flags=A seq=900000 ack=5001 len=5
		left tcp sport=1 dport=2 flags=R seq=900000
		left tcp sport=1 dport=2 flags=S seq=900000
		right tcp src=$h dst=$l sport=2 dport=1 flags=A seq=5001 ack=900000
		left udp csum=bad
		left udp cut=6
		left udp ulen=3
		left udp ulen=300
		left icmp csum=bad
		left icmp type=0 id=99
		left icmp type=200
		left icmp cut=5
		right icmp src=$h dst=$l type=3 code=1 inner=udp/src=$l/dst=$h/sport=80/dport=81
		left sctp chunk=1 vtag=5
		left sctp chunk=0 vtag=0
		left sctp csum=bad chunk=1
		left sctp chunk=
		left gre cut=3
		left icmp src=2001:db8:1::9 dst=2001:db8:2::9 type=129 id=99
		left icmp src=2001:db8:1::9 dst=2001:db8:2::9 type=128 csum=bad
		left udp src=2001:db8:1::9 dst=2001:db8:2::9 csum=0
		lines >"$tmp/lines"
		sed "s/^/log_invalid=$proto: /" "$tmp/lines" | fact
		case $proto in
		0) is "log_invalid=0: silence" "" "$(cat "$tmp/lines")" ;;
		6) ok "log_invalid=6: TCP only" eval '[ -s "$tmp/lines" ] && ! grep -v PROTO=TCP "$tmp/lines"' ;;
		17) ok "log_invalid=17: UDP only" eval '[ -s "$tmp/lines" ] && ! grep -v PROTO=UDP "$tmp/lines"' ;;
		255) ok "log_invalid=255: all" eval 'grep -q PROTO=TCP "$tmp/lines" && grep -q PROTO=UDP "$tmp/lines" && grep -q PROTO=ICMP "$tmp/lines"' ;;
		esac
	done
	sys log_invalid 0
else
	skip "log_invalid" "the kernel's log is not ours here"
fi
