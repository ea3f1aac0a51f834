/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_WORK_H
#define SELFTESTS_DAX_WORK_H

#include "crowd.h"

/*
 * What can be done to the entries of a DAX file. The jobs work on overlapping
 * ranges, by pages and by huge pages, and check whatever they read: a word of
 * the file is either 0 or tells its own place.
 */
extern const struct job job_read_small, job_read_huge;
extern const struct job job_write_small, job_write_huge;
extern const struct job job_copy, job_write_sync;
extern const struct job job_flush, job_pwrite, job_pin;
extern const struct job job_truncate;	/* or collapse, and extend again */
extern const struct job job_fallocate;	/* punch, zero, fill */

/* Lock entries as memory failures do; see poison_filter_set(). */
extern const struct job job_lock;

/* Before any of them is done in this process. */
void work_prepare(void);

/*
 * Have all injected memory failures ignored, once the entry of the page is
 * locked. 0 or -errno.
 */
struct poison_filter {
	unsigned long enable, major;
};

int poison_filter_set(struct poison_filter *before);
void poison_filter_restore(const struct poison_filter *before);

#endif
