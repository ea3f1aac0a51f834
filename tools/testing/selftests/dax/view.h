/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_VIEW_H
#define SELFTESTS_DAX_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/const.h>

/* What the kernel says about mappings of this process, in /proc. */

/* The word of /proc/self/pagemap for the page at @addr; 0 if it has none. */
uint64_t view_page(const void *addr);

#define VIEW_PFN (_BITULL(55) - 1)
#define VIEW_EXCLUSIVE _BITULL(56)
#define VIEW_FILE _BITULL(61)
#define VIEW_PRESENT _BITULL(63)

/* The word for page frame @pfn in /proc/@name, a kpage* file. 0 or -errno. */
int view_frame(const char *name, uint64_t pfn, uint64_t *word);

/* Bytes of the range that entries of a PMD map, or -errno. */
long view_huge(const void *from, size_t len);

/* Bytes of the range that are mapped at all, or -errno. */
long view_present(const void *from, size_t len);

/*
 * Bytes of the range that were written to, or not protected by a userfaultfd in
 * asynchronous mode, since they were looked at with @protect. Or -errno.
 */
long view_written(const void *from, size_t len, bool protect);

/*
 * The mapping that starts at @addr: a number of kB from its smaps, or -1; and
 * whether it has one of the flags that smaps abbreviates to two letters.
 */
long view_kb(const void *addr, const char *field);
bool view_flag(const void *addr, const char *flag);

/* Its line of /proc/self/numa_maps. 0 or -errno. */
int view_numa(const void *addr, char *line, size_t len);

/* A number of kB from /proc/self/status, or -1. */
long view_status_kb(const char *field);

/* A number in a file of its own, as in sysfs; set returns 0 or -errno. */
long view_number(const char *path);
int view_set_number(const char *path, long number);

/* What is not 0 once the kernel has warned of itself, or has had an oops. */
long view_taint(void);

#endif
