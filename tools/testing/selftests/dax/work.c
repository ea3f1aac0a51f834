// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include "inject.h"
#include "work.h"

#define PAGE_4K 4096UL
#define HUGE_2M (2UL << 20)
#define WORD sizeof(__u64)

#define PIN_US_MAX 1000

#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef BUS_MCEERR_AO
#define BUS_MCEERR_AO 5
#endif

/*
 * What a file holds at @at, if not 0. Collapsing a range moves data by whole
 * huge pages, and must not make it wrong.
 */
static __u64 word_at(__u64 whose, off_t at)
{
	return 0x6461787374726573ULL ^ whose << 32 ^ (at & (HUGE_2M - 1));
}

/* Aligned as for direct I/O. */
static alignas(PAGE_4K) __u64 pattern[HUGE_2M / WORD];

static __thread sigjmp_buf bus_error;

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	/* Somebody else's, of what this thread has mapped as well. */
	if (info->si_code == BUS_MCEERR_AO)
		return;
	/* Anything but what a fault beyond the end of the file is. */
	siglongjmp(bus_error, info->si_code == BUS_ADRERR ? 1 : 2);
}

void work_prepare(void)
{
	struct sigaction action = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO | SA_NODEFER,
	};

	sigaction(SIGBUS, &action, NULL);
	for (size_t i = 0; i < HUGE_2M / WORD; i++)
		pattern[i] = word_at(0, i * WORD);
}

const char *work_pattern(void)
{
	return (const char *)pattern;
}

/* Zeroes, and what is copied, come by the byte. */
static bool word_fits(__u64 whose, off_t at, __u64 word)
{
	for (__u64 byte = 0xff; byte; byte <<= 8)
		if (word & byte && (word ^ word_at(whose, at)) & byte)
			return false;
	return true;
}

static void check_word(struct worker *w, off_t at, __u64 word)
{
	char why[80];

	if (word_fits(w->whose, at, word))
		return;
	snprintf(why, sizeof(why), "read %#llx at %#lx, not %#llx",
		 word, (unsigned long)at, word_at(w->whose, at));
	worker_fails(w, why);
}

void words_check(struct worker *w, off_t at, const __u64 *words, size_t len)
{
	for (size_t i = 0; i < len / WORD; i++)
		check_word(w, at + i * WORD, words[i]);
}

/* Places */

static off_t some_huge_page(struct worker *w)
{
	return worker_random(w, w->crowd->size / HUGE_2M) * HUGE_2M;
}

/*
 * A small entry, or a small hole, keeps its whole range from being entered as a
 * huge page. Most small pages are in one such range, another one from time to
 * time, so that they are fought for there and huge ones get the others.
 */
static off_t some_page(struct worker *w)
{
	off_t huge = w->round / 4 * HUGE_2M % w->crowd->size;

	if (!worker_random(w, 64))
		huge = some_huge_page(w);
	return huge + worker_random(w, HUGE_2M / PAGE_4K) * PAGE_4K;
}

off_t some_place(struct worker *w, size_t len)
{
	if (len == HUGE_2M)
		return some_huge_page(w);
	return some_page(w) & ~(len - 1);
}

static off_t some_word(struct worker *w, off_t page, size_t len)
{
	return page + worker_random(w, len / WORD) * WORD;
}

/* Faults */

static void bus_error_counts(struct worker *w, off_t at, int kind)
{
	w->sigbus++;
	__atomic_store_n(&w->since, 0, __ATOMIC_RELEASE);
	if (worker_excused(w, kind == 1 ? EFAULT : EHWPOISON))
		return;
	if (kind != 1)
		worker_fails(w, "SIGBUS other than for want of a page");
	else if (w->whose || at < FLOOR)
		worker_fails(w, "SIGBUS within the file");
}

bool word_read(struct worker *w, const char *map, off_t at)
{
	int kind = sigsetjmp(bus_error, 0);

	if (kind) {
		bus_error_counts(w, at, kind);
		return false;
	}
	check_word(w, at, __atomic_load_n((const __u64 *)(map + at),
					  __ATOMIC_RELAXED));
	return true;
}

bool word_write(struct worker *w, char *map, off_t at)
{
	int kind = sigsetjmp(bus_error, 0);

	if (kind) {
		bus_error_counts(w, at, kind);
		return false;
	}
	__atomic_store_n((__u64 *)(map + at), word_at(w->whose, at),
			 __ATOMIC_RELAXED);
	return true;
}

int advise_guarded(char *at, size_t len, int advice)
{
	if (sigsetjmp(bus_error, 0))
		return -EHWPOISON;
	return madvise(at, len, advice) ? -errno : 0;
}

/*
 * Where mmap(2) fails, with MAP_FIXED, it may have removed what was there, and
 * others would access and map whatever. What is moved is there already.
 */
static bool map_over(const struct maps *m, char *map, off_t page, size_t len,
		     int flags)
{
	unsigned int injection;
	char *new;

	new = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, m->fd, page);
	if (new == MAP_FAILED)
		return false;
	injection = inject_pause();
	new = mremap(new, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, map + page);
	inject_resume(injection);
	return new != MAP_FAILED;
}

/*
 * Have the next access fault. A table of small pages stays where there has been
 * one, and keeps huge ones out, unless its whole range is mapped again.
 */
static void map_again(struct worker *w, char *map, off_t page, size_t len)
{
	int flags = MAP_SHARED;

	if (len < HUGE_2M) {
		madvise(map + page, len, MADV_DONTNEED);
		return;
	}
	if (map == w->maps->copied)
		flags = MAP_PRIVATE;
	else if (map == w->maps->synced)
		flags = MAP_SHARED_VALIDATE | MAP_SYNC;
	if (!map_over(w->maps, map, page, len, flags) &&
	    !worker_excused(w, errno))
		worker_fails(w, strerror(errno));
}

static void read_fault(struct worker *w, char *map, off_t page, size_t len)
{
	worker_begins(w, "read fault", page, len);
	map_again(w, map, page, len);
	if (word_read(w, map, some_word(w, page, len)))
		worker_ends(w, 0);
}

static void write_fault(struct worker *w, char *map, off_t page, size_t len)
{
	worker_begins(w, "write fault", page, len);
	map_again(w, map, page, len);
	if (word_write(w, map, some_word(w, page, len)))
		worker_ends(w, 0);
}

static void read_small(struct worker *w)
{
	read_fault(w, w->maps->skewed, some_page(w), PAGE_4K);
}

static void read_huge(struct worker *w)
{
	read_fault(w, w->maps->aligned, some_huge_page(w), HUGE_2M);
}

static void write_small(struct worker *w)
{
	write_fault(w, w->maps->skewed, some_page(w), PAGE_4K);
}

static void write_huge(struct worker *w)
{
	write_fault(w, w->maps->aligned, some_huge_page(w), HUGE_2M);
}

static void write_sync(struct worker *w)
{
	size_t len = worker_random(w, 4) ? HUGE_2M : PAGE_4K;

	write_fault(w, w->maps->synced, some_place(w, len), len);
}

/* Read what may be mapped by a huge page, then have one page of it copied. */
static void copy(struct worker *w)
{
	off_t page = some_page(w) & ~(HUGE_2M - 1);
	off_t at = some_word(w, page, HUGE_2M);
	char *map = w->maps->copied;

	worker_begins(w, "private fault", page, HUGE_2M);
	map_again(w, map, page, HUGE_2M);
	if (word_read(w, map, at) && word_write(w, map, at) &&
	    word_read(w, map, at))
		worker_ends(w, 0);
}

/* System calls */

static void flush(struct worker *w)
{
	off_t page = some_page(w), huge = page & ~(HUGE_2M - 1);
	int error;

	write_fault(w, w->maps->aligned, page, PAGE_4K);
	switch (worker_random(w, 3)) {
	case 0:
		worker_begins(w, "msync of a page", page, PAGE_4K);
		error = msync(w->maps->aligned + page, PAGE_4K, MS_SYNC);
		break;
	case 1:
		worker_begins(w, "msync of a huge page", huge, HUGE_2M);
		error = msync(w->maps->aligned + huge, HUGE_2M, MS_SYNC);
		break;
	default:
		worker_begins(w, "fdatasync", 0, w->crowd->size);
		error = fdatasync(w->maps->fd);
	}
	worker_ends(w, error ? errno : 0);
}

/* Where there was a hole, the entry of what was read there becomes invalid. */
static void pwrite_some(struct worker *w)
{
	static const size_t lens[] = { PAGE_4K, 16 * PAGE_4K, HUGE_2M };
	size_t len = lens[worker_random(w, 3)];
	off_t page = some_place(w, len);

	worker_begins(w, "pwrite", page, len);
	worker_ends(w, pwrite(w->maps->fd,
			      (char *)pattern + (page & (HUGE_2M - 1)), len,
			      page) < 0 ? errno : 0);
}

static void fallocate_some(struct worker *w)
{
	static const struct {
		const char *what;
		int mode;
		size_t len;
	} kinds[] = {
		{ "punch page", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  PAGE_4K },
		{ "punch huge page", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  HUGE_2M },
		{ "zero page", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		  PAGE_4K },
		{ "zero huge page", FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		  HUGE_2M },
		{ "fill", 0, HUGE_2M },
	};
	int kind = worker_random(w, sizeof(kinds) / sizeof(*kinds));
	off_t page = some_place(w, kinds[kind].len);

	worker_begins(w, kinds[kind].what, page, kinds[kind].len);
	worker_ends(w, fallocate(w->maps->fd, kinds[kind].mode, page,
				 kinds[kind].len) ? errno : 0);
}

/* Extend the file by a hole, or by blocks that are next to each other. */
static void extend(struct worker *w, off_t size)
{
	int error;

	worker_begins(w, "extend", size, w->crowd->size - size);
	if (w->crowd->fallocates && worker_random(w, 2))
		error = fallocate(w->maps->fd, 0, size, w->crowd->size - size);
	else
		error = ftruncate(w->maps->fd, w->crowd->size);
	worker_ends(w, error ? errno : 0);
}

static void truncate_some(struct worker *w)
{
	static const size_t units[] = { WORD, PAGE_4K, HUGE_2M };
	size_t unit = units[worker_random(w, 3)];
	off_t size = some_word(w, some_page(w), PAGE_4K) & ~(unit - 1);

	if (size < FLOOR)
		size = FLOOR;
	worker_begins(w, "truncate", size, w->crowd->size - size);
	worker_ends(w, ftruncate(w->maps->fd, size) ? errno : 0);
	extend(w, size);
}

static void collapse_some(struct worker *w)
{
	off_t page = some_huge_page(w), size = w->crowd->size - HUGE_2M;

	if (page == size)
		page = 0;
	worker_begins(w, "collapse", page, w->crowd->size - page);
	worker_ends(w, fallocate(w->maps->fd, FALLOC_FL_COLLAPSE_RANGE, page,
				 HUGE_2M) ? errno : 0);
	extend(w, size);
}

/* There is one who shortens the file, or FLOOR could not be kept to. */
static void shorten(struct worker *w)
{
	if (w->crowd->fallocates && !worker_random(w, 4))
		collapse_some(w);
	else
		truncate_some(w);
}

static void pinned_read(struct worker *w, off_t page)
{
	__u64 words[PAGE_4K / WORD];

	if (read(w->pin.pipe[0], words, PAGE_4K) != (ssize_t)PAGE_4K) {
		worker_fails(w, "the pipe did not return the page");
		return;
	}
	words_check(w, page, words, sizeof(words));
	w->pin.pages = 0;
}

static void pin(struct worker *w)
{
	off_t page = some_page(w);
	int error;

	write_fault(w, w->maps->aligned, page, PAGE_4K);
	worker_begins(w, "pin", page, PAGE_4K);
	error = -pin_page(&w->pin, w->maps->aligned + page, 0);
	if (!error) {
		usleep(worker_random(w, PIN_US_MAX));
		pinned_read(w, page);
	}
	worker_ends(w, error);
}

static void lock(struct worker *w)
{
	char *map = worker_random(w, 2) ? w->maps->skewed : w->maps->aligned;
	off_t page = some_page(w);

	write_fault(w, map, page, PAGE_4K);
	worker_begins(w, "lock", page, PAGE_4K);
	worker_ends(w, -advise_guarded(map + page, PAGE_4K, MADV_HWPOISON));
}

const struct job job_read_small = {
	.name = "read-4k", .teams = 2, .batch = 16, .act = read_small,
};

const struct job job_read_huge = {
	.name = "read-2m", .teams = 2, .batch = 8, .act = read_huge,
};

const struct job job_write_small = {
	.name = "write-4k", .teams = 2, .batch = 16, .act = write_small,
};

const struct job job_write_huge = {
	.name = "write-2m", .teams = 2, .batch = 8, .act = write_huge,
};

const struct job job_copy = {
	.name = "private", .teams = 2, .batch = 8, .act = copy,
};

const struct job job_write_sync = {
	.name = "write-sync", .teams = 2, .batch = 4, .act = write_sync,
};

const struct job job_flush = {
	.name = "flush", .teams = 2, .batch = 4, .act = flush,
};

const struct job job_pwrite = {
	.name = "pwrite", .teams = 1, .batch = 4, .act = pwrite_some,
};

const struct job job_fallocate = {
	.name = "fallocate", .teams = 1, .batch = 8, .act = fallocate_some,
};

const struct job job_truncate = {
	.name = "truncate", .teams = 1, .batch = 4, .act = shorten,
};

const struct job job_pin = {
	.name = "pin", .teams = 1, .batch = 4, .act = pin,
};

const struct job job_lock = {
	.name = "lock", .teams = 2, .batch = 8, .act = lock,
};

/* Memory failures that are none */

#define POISON_DIR "/sys/kernel/debug/hwpoison/corrupt-filter-"

static int poison_read(const char *path, unsigned long *value)
{
	FILE *f = fopen(path, "r");
	int got;

	if (!f)
		return -errno;
	got = fscanf(f, "%lu", value);
	fclose(f);
	return got == 1 ? 0 : -EIO;
}

static void poison_write(const char *path, unsigned long value)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return;
	fprintf(f, "%lu\n", value);
	fclose(f);
}

static int poison_filter_read(struct poison_filter *filter)
{
	int error = poison_read(POISON_DIR "enable", &filter->enable);

	return error ? error :
		       poison_read(POISON_DIR "dev-major", &filter->major);
}

void poison_filter_restore(const struct poison_filter *before)
{
	poison_write(POISON_DIR "enable", before->enable);
	poison_write(POISON_DIR "dev-major", before->major);
}

/* No device has this major number, so no page passes. */
#define NO_MAJOR 0xfffffffeUL

int poison_filter_set(struct poison_filter *before)
{
	struct poison_filter now = { 0 };
	int error;

	error = poison_filter_read(before);
	if (error)
		return error;
	poison_write(POISON_DIR "dev-major", NO_MAJOR);
	poison_write(POISON_DIR "enable", 1);
	error = poison_filter_read(&now);
	if (!error && now.enable == 1 && now.major == NO_MAJOR)
		return 0;
	poison_filter_restore(before);
	return error ? error : -EIO;
}
