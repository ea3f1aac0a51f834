/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_COUNTER_H
#define SELFTESTS_DAX_COUNTER_H

/*
 * Hits of a tracepoint, on all CPUs and by whomever. They are added up where
 * they happen, so that unlike in a trace buffer none can be lost.
 */
#define COUNTER_CPUS_MAX 256

struct counter {
	int fd[COUNTER_CPUS_MAX];
	unsigned int cpus;
};

/*
 * Count those hits of @event ("system/name") from now on that match @filter.
 * 0, -ENOENT if the kernel has no such tracepoint, or another -errno.
 */
int counter_open(struct counter *c, const char *event, const char *filter);

long long counter_read(const struct counter *c);	/* or -errno */
void counter_close(struct counter *c);

#endif
