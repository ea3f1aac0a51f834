/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_STALL_H
#define SELFTESTS_DAX_STALL_H

#include <stddef.h>
#include <linux/aio_abi.h>

#include "provider.h"

/* Direct I/O under way that does not end, and has its pages pinned. */
struct stall {
	int fd;
	aio_context_t context;
};

#define STALL_NONE { .fd = -1 }

/* Read into @len bytes at @to, from a suspended device-mapper device. */
enum provision stall_up(struct stall *stall, char *to, size_t len, char *why);

/*
 * Let it end, which it does by failing: the memory does not change. What the read
 * returned, -EIO; 0 if there was none.
 */
int stall_down(struct stall *stall);

#endif
