#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Netlink messages with attributes missing, short, long, out of range: an errno
# for each (recorded, to be mainline's), never a crash, nothing left in the table.
# NOISE=N sends N messages with random changes (default 2000).

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need python3 conntrack

space "$R"
modprobe -q nfnetlink_cttimeout

for part in conntrack values headers dumps expectations timeouts "noise=${SEED:-1},${NOISE:-2000}"; do
	if in_ns "$R" timeout $((120 * ${SLOW:-1})) python3 "$here/netlink_garbage.py" "$part" >"$tmp/out" 2>"$tmp/err"; then
		pass "$part: each message is answered ($(wc -l <"$tmp/out") lines)"
	else
		fail "$part"
		tail -n5 "$tmp/err" | diag
	fi
	unlike "$part: no request goes without an answer" silence "$(cat "$tmp/out")"
	fact <"$tmp/out"
done
is "nothing is left in the table" 0 "$(size "$R")"
ok "the tool still works" in_ns "$R" conntrack -I -p udp -s 192.0.2.1 -d 192.0.2.2 --sport 1 --dport 2 --timeout 5
