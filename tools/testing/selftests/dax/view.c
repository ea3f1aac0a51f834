// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/const.h>
#include <linux/types.h>
#include <sys/ioctl.h>

#include "../kselftest.h"
#include "view.h"

static int word_read(const char *path, uint64_t index, uint64_t *word)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pread(fd, word, sizeof(*word), index * sizeof(*word));
	if (n != sizeof(*word))
		error = n < 0 ? -errno : -ENODATA;
	close(fd);
	return error;
}

uint64_t view_page(const void *addr)
{
	uint64_t word;

	if (word_read("/proc/self/pagemap",
		      (uintptr_t)addr / sysconf(_SC_PAGESIZE), &word))
		return 0;
	return word;
}

int view_frame(const char *name, uint64_t pfn, uint64_t *word)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s", name);
	return word_read(path, pfn, word);
}

/* As in linux/fs.h, which distributions have in older versions. */
struct scan_region {
	__u64 start, end, categories;
};

struct scan_arg {
	__u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
	__u64 category_inverted, category_mask, category_anyof_mask;
	__u64 return_mask;
};

#define SCAN_PROTECT _BITULL(0)
#define SCAN_NEEDS_ASYNC _BITULL(1)

#define SCAN_WRITTEN _BITULL(1)
#define SCAN_PRESENT _BITULL(3)
#define SCAN_HUGE _BITULL(6)
#define SCAN _IOWR('f', 16, struct scan_arg)

/* The most regions that there can be in what tests map. */
#define REGIONS 4096

/* Bytes of a range that are in all of @categories. */
static long scan(const void *from, size_t len, __u64 categories, __u64 flags)
{
	static struct scan_region region[REGIONS];
	struct scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)from,
		.end = (uintptr_t)from + len,
		.vec = (uintptr_t)region,
		.vec_len = REGIONS,
		.category_mask = categories,
		.return_mask = categories,
	};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), n;
	long sum = 0;

	if (fd < 0)
		return -errno;
	n = ioctl(fd, SCAN, &arg);
	sum = n < 0 ? -errno : 0;
	close(fd);
	for (int i = 0; i < n; i++)
		sum += region[i].end - region[i].start;
	return sum;
}

long view_huge(const void *from, size_t len)
{
	return scan(from, len, SCAN_PRESENT | SCAN_HUGE, 0);
}

long view_present(const void *from, size_t len)
{
	return scan(from, len, SCAN_PRESENT, 0);
}

long view_written(const void *from, size_t len, bool protect)
{
	return scan(from, len, SCAN_WRITTEN,
		    SCAN_NEEDS_ASYNC | (protect ? SCAN_PROTECT : 0));
}

/* The next line of /proc/self/smaps or numa_maps that starts a mapping. */
static bool starts_mapping(const char *line, const void *addr)
{
	char *end;

	return strtoull(line, &end, 16) == (uintptr_t)addr && end != line &&
		(*end == '-' || *end == ' ');
}

static bool starts_with(const char *line, const char *field)
{
	size_t len = strlen(field);

	return !strncmp(line, field, len) && line[len] == ':';
}

/* The line of smaps that starts with @field, for the mapping at @addr. */
static bool smaps_line(const void *addr, const char *field, char *line,
		       size_t len)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	bool here = false, found = false;

	if (!smaps)
		return false;
	while (!found && fgets(line, len, smaps)) {
		if (!here)
			here = starts_mapping(line, addr);
		else if (starts_with(line, field))
			found = true;
		else if (starts_with(line, "VmFlags"))	/* the last one */
			break;
	}
	fclose(smaps);
	return found;
}

long view_kb(const void *addr, const char *field)
{
	char line[512];

	if (!smaps_line(addr, field, line, sizeof(line)))
		return -1;
	return strtol(line + strlen(field) + 1, NULL, 10);
}

bool view_flag(const void *addr, const char *flag)
{
	char line[512], padded[8];

	if (!smaps_line(addr, "VmFlags", line, sizeof(line)))
		return false;
	snprintf(padded, sizeof(padded), " %s ", flag);
	return strstr(line, padded);
}

int view_numa(const void *addr, char *line, size_t len)
{
	FILE *maps = fopen("/proc/self/numa_maps", "r");
	bool found = false;

	if (!maps)
		return -errno;
	while (!found && fgets(line, len, maps))
		found = starts_mapping(line, addr);
	fclose(maps);
	return found ? 0 : -ENODATA;
}

long view_status_kb(const char *field)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[512];
	long kb = -1;

	if (!status)
		return -1;
	while (kb < 0 && fgets(line, sizeof(line), status))
		if (starts_with(line, field))
			kb = strtol(line + strlen(field) + 1, NULL, 10);
	fclose(status);
	return kb;
}

long view_number(const char *path)
{
	FILE *f = fopen(path, "r");
	long number = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%li", &number) != 1)
		number = -1;
	fclose(f);
	return number;
}

int view_set_number(const char *path, long number)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error = 0;

	if (fd < 0)
		return -errno;
	if (dprintf(fd, "%ld\n", number) < 0)
		error = -errno;
	close(fd);
	return error;
}

/* Bits of /proc/sys/kernel/tainted: an oops, and a warning. */
#define TAINT (_BITUL(7) | _BITUL(9))

long view_taint(void)
{
	return view_number("/proc/sys/kernel/tainted") & TAINT;
}
