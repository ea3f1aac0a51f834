// SPDX-License-Identifier: GPL-2.0
/*
 * What one kind of memory costs, in nanoseconds, as lines "KIND OPERATION COST".
 *
 *	bench gup KIND FILE ENTRY REPEATS
 *		get_user_pages_fast() and pin_user_pages_fast() with 1, 8 and
 *		512 pages a call, and their puts; per page
 *	bench fault KIND FILE ENTRY OPERATION
 *		a fault in a fresh mapping (OPERATION is read-* or write-*), or
 *		munmap(2) of what was faulted in for writing (munmap); per entry
 *	bench bind KIND FILE DEVICE UNITS
 *		a driver's bind, when DEVICE is written to its FILE; per unit
 *
 * FILE is "-" for anonymous memory. ENTRY is the size in bytes of the page table
 * entries that FILE has to be mapped with; the number of faults tells whether it
 * was.
 */
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <mm/gup_test.h>

#define GUP_TEST	"/sys/kernel/debug/gup_test"
#define FOLL_WRITE	0x01	/* as in linux/mm_types.h */

#define PAGE		4096UL
#define PMD		(2UL << 20)

/*
 * gup_test counts in microseconds, and the cheapest operation takes 10 ns a page:
 * with this many bytes it is measured to 0.2 %.
 */
#define SIZE		(256UL << 20)

/* More faults would take long and tell nothing new. */
#define MAX_FAULTS	8192

struct area {
	char *start;
	size_t size;
	size_t entry;
	unsigned long faults;	/* of the process, before it was touched */
};

static void report(const char *kind, const char *operation, double cost)
{
	printf("%s %s %.2f\n", kind, operation, cost);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static unsigned long count_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

static int open_memory(const char *file)
{
	int fd;

	if (!strcmp(file, "-"))
		return -1;
	fd = open(file, O_RDWR);
	if (fd < 0)
		err(1, "%s", file);
	return fd;
}

/*
 * Map @fd, or anonymous memory, at an address that allows for entries of this
 * size and no larger: file offset and address of what is to be mapped by pages
 * differ in their offset from a PMD's start.
 */
static struct area map(int fd, size_t size, size_t entry)
{
	struct area area = { .size = size, .entry = entry };
	size_t align = entry > PMD ? entry : PMD;
	int flags = MAP_FIXED_NOREPLACE;
	char *room;

	room = mmap(NULL, size + 2 * align, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		err(1, "mmap: no room for %zu bytes", size);
	munmap(room, size + 2 * align);
	area.start = room + align - (uintptr_t)room % align;
	if (entry < PMD)
		area.start += PAGE;

	flags |= fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	if (mmap(area.start, size, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED)
		err(1, "mmap of %zu bytes", size);
	if (fd < 0 && madvise(area.start, size, entry < PMD ? MADV_NOHUGEPAGE : MADV_HUGEPAGE))
		err(1, "madvise");
	area.faults = count_faults();
	return area;
}

static void touch(struct area *area, size_t step, bool write)
{
	for (volatile char *p = area->start; p < area->start + area->size; p += step) {
		if (write)
			*p = 1;
		else
			(void)*p;
	}
}

/* Every page of @area can be touched by now for one fault per entry. */
static void check_entries(struct area *area, bool write)
{
	unsigned long faults;

	touch(area, PAGE, write);
	faults = count_faults() - area->faults;
	if (faults != area->size / area->entry)
		errx(1, "%lu faults map %zu bytes, not by entries of %zu",
		     faults, area->size, area->entry);
}

static void gup_repeat(const char *kind, int test, struct area *area, bool pin,
		       unsigned int batch)
{
	struct gup_test gup = {
		.addr = (uintptr_t)area->start,
		.size = SIZE,
		.nr_pages_per_call = batch,
		.gup_flags = FOLL_WRITE,
	};
	char operation[16];

	if (ioctl(test, pin ? PIN_FAST_BENCHMARK : GUP_FAST_BENCHMARK, &gup))
		err(1, GUP_TEST);
	if (gup.size != SIZE)
		errx(1, GUP_TEST ": got %llu bytes of %lu", gup.size, SIZE);
	snprintf(operation, sizeof(operation), "%s-%u", pin ? "pin" : "get", batch);
	report(kind, operation, 1000.0 * gup.get_delta_usec / (SIZE / PAGE));

	/* Puts know nothing of the calls: gup_test drops all pages in the end. */
	if (batch == 512)
		report(kind, pin ? "unpin" : "put",
		       1000.0 * gup.put_delta_usec / (SIZE / PAGE));
}

static void gup(const char *kind, int fd, size_t entry, int repeats)
{
	static const unsigned int batches[] = { 1, 8, 512 };
	struct area area = map(fd, entry > SIZE ? entry : SIZE, entry);
	int test = open(GUP_TEST, O_RDWR);

	if (test < 0)
		err(1, GUP_TEST);
	check_entries(&area, true);
	for (int i = 0; i < repeats; i++) {
		for (size_t b = 0; b < sizeof(batches) / sizeof(*batches); b++) {
			gup_repeat(kind, test, &area, false, batches[b]);
			gup_repeat(kind, test, &area, true, batches[b]);
		}
	}
}

static void fault(const char *kind, int fd, size_t entry, const char *operation)
{
	bool unmap = !strcmp(operation, "munmap");
	bool write = unmap || !strncmp(operation, "write-", 6);
	size_t size = entry > SIZE ? entry : SIZE;
	struct area area;
	uint64_t start, end;

	if (size / entry > MAX_FAULTS)
		size = MAX_FAULTS * entry;
	area = map(fd, size, entry);
	start = now();
	touch(&area, entry, write);
	end = now();
	check_entries(&area, write);
	if (unmap) {
		start = now();
		munmap(area.start, area.size);
		end = now();
	}
	report(kind, operation, (double)(end - start) / (size / entry));
}

static void bind(const char *kind, const char *file, const char *device, double units)
{
	int fd = open(file, O_WRONLY);
	uint64_t start, end;

	if (fd < 0)
		err(1, "%s", file);
	start = now();
	if (write(fd, device, strlen(device)) < 0)
		err(1, "%s to %s", device, file);
	end = now();
	report(kind, "bind", (end - start) / units);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		errx(2, "want 5 arguments");

	/* Only what is measured is to fault. The clock's page cannot be locked. */
	if (mlockall(MCL_CURRENT))
		err(1, "mlockall");
	now();

	if (!strcmp(argv[1], "gup"))
		gup(argv[2], open_memory(argv[3]), strtoul(argv[4], NULL, 10), atoi(argv[5]));
	else if (!strcmp(argv[1], "fault"))
		fault(argv[2], open_memory(argv[3]), strtoul(argv[4], NULL, 10), argv[5]);
	else if (!strcmp(argv[1], "bind"))
		bind(argv[2], argv[3], argv[4], strtod(argv[5], NULL));
	else
		errx(2, "unknown command %s", argv[1]);
	return 0;
}
