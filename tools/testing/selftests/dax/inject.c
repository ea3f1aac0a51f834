// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../kselftest.h"
#include "inject.h"

#define FAIL_NTH "/proc/thread-self/fail-nth"

static const struct {
	const char *path, *value;
} settings[INJECT_SETTINGS] = {
	{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
	{ "/sys/kernel/debug/failslab/cache-filter", "N" },
	{ "/sys/kernel/debug/failslab/verbose", "0" },
	{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
	{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
	{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
};

static int setting_read(int i, char *value, size_t len)
{
	FILE *f = fopen(settings[i].path, "r");
	char *got;

	if (!f)
		return -errno;
	got = fgets(value, len, f);
	fclose(f);
	return got ? 0 : -EIO;
}

static int setting_write(int i, const char *value)
{
	int fd = open(settings[i].path, O_WRONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, value, strlen(value)) < 0)
		error = -errno;
	close(fd);
	return error;
}

int inject_setup(struct inject_settings *before)
{
	int error = 0;

	if (access(FAIL_NTH, R_OK | W_OK))
		return -errno;
	for (int i = 0; i < INJECT_SETTINGS && !error; i++)
		error = setting_read(i, before->was[i], sizeof(before->was[i]));
	for (int i = 0; i < INJECT_SETTINGS && !error; i++)
		error = setting_write(i, settings[i].value);
	return error;
}

void inject_restore(const struct inject_settings *before)
{
	for (int i = 0; i < INJECT_SETTINGS; i++)
		setting_write(i, before->was[i]);
}

/* The thread's own; 0 stands for one that is not open. */
static __thread int fail_nth;

static void set(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	if (pwrite(fail_nth, text, len, 0) != len)
		perror(FAIL_NTH);
}

static unsigned int get(void)
{
	char text[16] = "";

	if (pread(fail_nth, text, sizeof(text) - 1, 0) <= 0)
		perror(FAIL_NTH);
	return strtoul(text, NULL, 10);
}

void inject_arm(unsigned int nth)
{
	if (!fail_nth)
		fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (fail_nth > 0)
		set(nth);
}

bool inject_disarm(void)
{
	return fail_nth > 0 && !inject_pause();
}

unsigned int inject_pause(void)
{
	unsigned int nth;

	if (fail_nth <= 0)
		return 0;
	nth = get();
	if (nth)
		set(0);
	return nth;
}

void inject_resume(unsigned int nth)
{
	if (nth)
		set(nth);
}
