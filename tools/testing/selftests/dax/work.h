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

/* No faults beyond this place are a mistake: nobody truncates below it. */
#define FLOOR ((off_t)(2UL << 20))

/* Before any of them is done in this process. */
void work_prepare(void);

/*
 * What other jobs are made of: a place of the crowd's file, aligned to @len, a
 * power of 2; a word of the file that @w works on, at @at of its mapping @map,
 * where SIGBUS is dealt with and makes for false; words that were read from @at
 * on; and what the crowd's file holds in each of its huge pages.
 */
off_t some_place(struct worker *w, size_t len);
bool word_read(struct worker *w, const char *map, off_t at);
bool word_write(struct worker *w, char *map, off_t at);
void words_check(struct worker *w, off_t at, const __u64 *words, size_t len);
const char *work_pattern(void);

/* madvise(2): 0 or -errno, -EHWPOISON if it raises SIGBUS. */
int advise_guarded(char *at, size_t len, int advice);

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
