/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_LEND_H
#define SELFTESTS_DAX_LEND_H

#include <stddef.h>

/*
 * Have the memory of $DAX_NAMESPACE made a block device again, with a memmap in
 * RAM ("mem"), in the memory itself ("dev"), or without ndctl's labels ("raw").
 * 0 or -errno.
 */
int device_make_block(const char *map);

/*
 * Make the memory of the device-dax device @node System RAM, have a process fill
 * @use bytes of memory, and make it a device again. 0 or -errno.
 */
int device_lend(const char *node, size_t use);

#endif
