// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "../kselftest.h"
#include "counter.h"

static const char * const tracefs[] = {
	"/sys/kernel/tracing", "/sys/kernel/debug/tracing",
};

/* The number that perf knows a tracepoint by, or -ENOENT. */
static int tracepoint_id(const char *event)
{
	char path[PATH_MAX];
	int id = -ENOENT;
	FILE *f = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(tracefs) && !f; i++) {
		snprintf(path, sizeof(path), "%s/events/%s/id", tracefs[i],
			 event);
		f = fopen(path, "r");
	}
	if (!f)
		return -ENOENT;
	if (fscanf(f, "%d", &id) != 1)
		id = -ENOENT;
	fclose(f);
	return id;
}

static int counter_open_cpu(int id, const char *filter, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
		.config = id,
		.disabled = 1,
	};
	int error, fd;

	fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1,
		     PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter) &&
	    !ioctl(fd, PERF_EVENT_IOC_ENABLE, 0))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int counter_open(struct counter *c, const char *event, const char *filter)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int id = tracepoint_id(event), fd;

	c->cpus = 0;
	if (id < 0)
		return id;
	if (cpus > COUNTER_CPUS_MAX)
		return -E2BIG;
	for (int cpu = 0; cpu < cpus; cpu++) {
		fd = counter_open_cpu(id, filter, cpu);
		if (fd == -ENODEV)	/* offline */
			continue;
		if (fd < 0) {
			counter_close(c);
			return fd;
		}
		c->fd[c->cpus++] = fd;
	}
	return 0;
}

long long counter_read(const struct counter *c)
{
	long long sum = 0, hits;

	for (unsigned int i = 0; i < c->cpus; i++) {
		if (read(c->fd[i], &hits, sizeof(hits)) != sizeof(hits))
			return -EIO;
		sum += hits;
	}
	return sum;
}

void counter_close(struct counter *c)
{
	while (c->cpus)
		close(c->fd[--c->cpus]);
}
