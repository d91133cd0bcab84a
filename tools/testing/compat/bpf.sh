#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The kfuncs for BPF programs: tc and XDP programs look entries up and make some, with
# valid wishes and others; the verifier refuses what they may not do.

# shellcheck source=tools/testing/compat/lib.sh
. "$(dirname "$0")/lib.sh"
need bpftool conntrack nft
programs=$compat/../../../build/bpf
[ -e /sys/kernel/btf/vmlinux ] && [ -e "$programs/ct.bpf.o" ] ||
	skip_all "no BTF here, or no $programs: tools/testing/compat/bpf/build"
ok "the module has BTF" test -e /sys/kernel/btf/nf_conntrack
unlike "the kernel has nothing to complain about that" 'cannot register|BTF' "$(dmesg | grep -E 'nf_conntrack|BPF:')"

pair
in_ns "$R" nft -f - <<'END'
table inet t {
	chain in { type filter hook input priority filter; ct state new accept; }
	chain out { type filter hook output priority filter; oifname "r1" drop; }
}
END
agent_start
left udp src=10.0.1.2 dst=10.0.1.1 sport=5000 dport=5001
poll 10 eval '[ "$(size "$R")" = 1 ]'
fs=/sys/fs/bpf/ct_test
restore() { rm -rf $fs; }
ok "programs are taken" bpftool prog loadall "$programs/ct.bpf.o" $fs pinmaps $fs/maps
head -c 64 /dev/zero >"$tmp/packet"

# seen KIND: what the program wrote down.
seen() {
	bpftool -j map dump pinned $fs/maps/*bss 2>/dev/null |
		python3 -IS -c 'import json, sys
for item in json.load(sys.stdin):
    print(*item.get("formatted", item)["value"][".bss"][0]["seen"])'
}
for kind in skb xdp; do
	# Without its mount namespace: the pinned programs are in this one.
	ok "$kind: runs" nsenter --net=/run/netns/"$R" bpftool prog run pinned $fs/ct_$kind data_in "$tmp/packet"
	said=$(seen)
	fact "$kind: $said"
	read -ra got <<<"$said"
	is "$kind: to its end" 0 "${got[31]:-}"
	is "$kind: finds both directions" "8 8 1" "${got[0]:-} ${got[3]:-} ${got[4]:-}"
	is "$kind: what there is not" -2 "${got[5]:-}"
	is "$kind: a zone without room, another zone, a reserved byte" "-22 -2 -22" "${got[6]:-} ${got[7]:-} ${got[8]:-}"
	is "$kind: namespace, protocol or both" "-22 -71 -22 -64" "${got[9]:-} ${got[10]:-} ${got[11]:-} ${got[12]:-}"
	is "$kind: sizes of tuples" "-97" "${got[13]:-}"
	is "$kind: an entry like that is there already" 0 "${got[21]:-}"
	entries "$R" -p tcp | sed "s/^/$kind: /" | fact
	fact "$kind: $(size "$R") entries"
done
is "both made an entry" 2 "$(entries "$R" -p tcp | grep -c 'dport=80 ')"
left_over=$(timeout_of "$R" -p tcp)
within "with the timeout that they gave it" 60 100 "$left_over"
# With Debian's own module the verifier refuses this program (Documentation/differences.rst).
if [ "$TESTBED_MODULE" = ours ]; then
	ok "the verifier: the mark may be written" bpftool prog load "$programs/mark.bpf.o" $fs/mark
	ok "and is" nsenter --net=/run/netns/"$R" bpftool prog run pinned $fs/mark data_in "$tmp/packet"
	like "once before it is inserted, once afterwards" 'mark=9( |$)' "$(entries "$R" -p udp --dport 81)"
fi
refused "the verifier: status may not be written" bpftool prog load "$programs/refused.bpf.o" $fs/refused
refused "the module is held by its programs" rmmod nf_conntrack
rm -rf $fs
flush "$R"
is "nothing is left" 0 "$(size "$R")"
