#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Dumps by netlink and /proc while entries come and go: those that stay are listed
# exactly once each time. DUMPS=N: how many.

# shellcheck source=tools/testing/selftests/lib.sh
. "$(dirname "$0")/lib.sh"
need nft conntrack python3

space "$R"
in_ns "$R" nft 'add table inet t; add chain inet t o { type filter hook output priority 0 ; }; add rule inet t o ct state new'
ok "600 entries that stay" in_ns "$R" python3 "$here/churn.py" insert 0 600
ip netns exec "$R" python3 "$here/churn.py" flood >/dev/null 2>&1 &
flood=$!
pids+=("$flood")
poll 10 eval '[ "$(size "$R")" -gt 620 ]' || fail "others come"
for ((i = 0; i < ${DUMPS:-15}; i++)); do
	in_ns "$R" conntrack -L 2>/dev/null | awk '/src=192.0.2.1 / { n++; if (!s[$5 $6 $7 $8]++) d++ } END { print n, d }'
done | sort -u >"$tmp/netlink"
is "netlink: each once" "600 600" "$(cat "$tmp/netlink")"
for ((i = 0; i < ${DUMPS:-15}; i++)); do
	in_ns "$R" awk '/src=192.0.2.1 / { for (k = 1; k <= NF; k++) if ($k ~ /^sport=/) { n++; if (!s[$k]++) d++; break } } END { print n, d }' /proc/net/nf_conntrack
done | sort -u >"$tmp/proc"
is "/proc: each once" "600 600" "$(cat "$tmp/proc")"
# Deleting what is being listed.
for ((i = 0; i < 5; i++)); do
	in_ns "$R" conntrack -D -p tcp >/dev/null 2>&1 &
	in_ns "$R" conntrack -L >/dev/null 2>&1
	wait $!
done
is "deletions amid listings take nothing else" 600 "$(in_ns "$R" conntrack -L -s 192.0.2.1 2>/dev/null | wc -l)"
kill $flood
wait $flood 2>/dev/null
flush "$R"
ok "in the end nothing is left" poll 10 empty "$R"
