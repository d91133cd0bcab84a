// SPDX-License-Identifier: GPL-2.0
/*
 * Module parameters. The kernel crate's macro has none that run code when they
 * are written, as `hashsize` does.
 */
#include <linux/moduleparam.h>
