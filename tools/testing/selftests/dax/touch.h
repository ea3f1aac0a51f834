/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_TOUCH_H
#define SELFTESTS_DAX_TOUCH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Load and store bytes of mappings whose pages may be gone. False if that
 * raised SIGBUS, as an access beyond the end of a file does; any other SIGBUS
 * that it raises ends the process.
 */
bool touch_read(const char *at, char *byte);
bool touch_write(char *at, char byte);

/* Pages of a mapping, one every @step bytes, by what their first byte is. */
struct census {
	size_t pages;
	size_t gone;	/* SIGBUS */
	size_t kept;	/* what was asked for */
	size_t other;
};

struct census touch_all(const char *map, size_t size, size_t step, char kept);

/* How many of them take a store, which makes @byte their first one. */
size_t touch_writable(char *map, size_t size, size_t step, char byte);

#endif
