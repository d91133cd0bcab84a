// SPDX-License-Identifier: GPL-2.0

//! What an administrator touches: sysctls, procfs, module parameters; and where the module is
//! wired up: hooks, socket options, the life of a namespace.
