/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * What a rule with `-m cttable` holds, as iptables hands it to the kernel:
 * shared by xt_cttable.ko and libxt_cttable.so.
 */
#ifndef XT_CTTABLE_H
#define XT_CTTABLE_H

#include <linux/types.h>

enum xt_cttable_mode {
	XT_CTTABLE_ABOVE,	/* more than `from` percent */
	XT_CTTABLE_BELOW,	/* less than `to` percent */
	XT_CTTABLE_RANGE,	/* at least `from`, at most `to` percent */
};

enum {
	XT_CTTABLE_INVERT = 1,
};

struct xt_cttable_mtinfo {
	__u8 mode;
	__u8 flags;
	/* 0 to 100; zero where the mode has no use for it. */
	__u8 from;
	__u8 to;
};

#endif
