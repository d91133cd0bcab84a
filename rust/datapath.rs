// SPDX-License-Identifier: GPL-2.0

//! A packet's way through the module, top to bottom.
