#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# In a guest: provokes a real warning where the kernel can, else writes one.
modprobe -q lkdtm 2>/dev/null
trigger=/sys/kernel/debug/provoke-crash/DIRECT
if [ -e "$trigger" ]; then
	echo WARNING >"$trigger"
else
	echo "WARNING: written by the testbed's own test" >/dev/kmsg
fi
