// SPDX-License-Identifier: GPL-2.0
/*
 * What workers of the soak do, one operation after the other: what work.c does to
 * the crowd's file, and what it takes other files, disks and processes for.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "inject.h"
#include "shelf.h"
#include "soak.h"
#include "view.h"
#include "work.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

/* For how many acts of the crowd a pin stays, at most. */
#define HOLD_MAX 100

/* An allocation that fails is one of the next 2^n, n below this. */
#define NTH_BITS 7

/* Files, and whose words are in them. Words of the twin are the crowd's file's. */
#define TWIN "twin"
#define VICTIM "victim"
#define VICTIM_SIZE HUGE_2M
#define LEFT_MAX 3

enum {
	WHOSE_VICTIM = 1,
	WHOSE_LEFT,
	WHOSE_SPARE = WHOSE_LEFT + LEFT_MAX,	/* and any above */
};

static int file_open(const char *name, int flags)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.4000s/%s", soak->dir, name);
	return open(path, flags | O_CLOEXEC, 0600);
}

static void file_unlink(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%.4000s/%s", soak->dir, name);
	unlink(path);
}

static size_t some_len(struct worker *w)
{
	static const size_t lens[] = { PAGE_4K, 16 * PAGE_4K, HUGE_2M };

	return lens[worker_random(w, ARRAY_SIZE(lens))];
}

/* Of a mapping of all of the crowd's file. */
static char *some_map(struct worker *w)
{
	char *skewed = w->maps->skewed;

	return skewed && worker_random(w, 2) ? skewed : w->maps->aligned;
}

/* In a system call, what another worker does makes for this error, too. */
static int late(int error)
{
	return error == EINVAL ? EBUSY : error;
}

/*
 * A mapping of one huge page of a file, or a smaller one from there on; @map is
 * where the file would begin.
 */
struct window {
	char *map;
	off_t at;
	size_t len;
};

static int window_open(struct window *win, int fd, off_t at, size_t len,
		       int flags)
{
	char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, at);

	if (map == MAP_FAILED)
		return errno;
	win->map = map - at;
	win->at = at;
	win->len = len;
	return 0;
}

/* A mapping that could not be removed would stay. */
static void window_close(const struct window *win)
{
	unsigned int injection = inject_pause();

	munmap(win->map + win->at, win->len);
	inject_resume(injection);
}

static off_t window_word(struct worker *w, const struct window *win)
{
	return win->at + worker_random(w, win->len / sizeof(__u64)) *
			 sizeof(__u64);
}

/* Pins */

static void pin_some(struct worker *w)
{
	off_t page = some_place(w, PAGE_4K);
	size_t len = (1 + worker_random(w, 8)) * PAGE_4K;
	char *map = some_map(w);

	if (page + len > w->crowd->size)
		len = PAGE_4K;
	worker_begins(w, "pin", page, len);
	if (word_write(w, map, page))
		worker_ends(w, -shelf_pin(w, map, page, len,
					  worker_random(w, HOLD_MAX)));
}

/*
 * A disk reads and writes what is mapped. It holds what the file does, for
 * reading, and behind that what is written.
 */
static int direct(struct worker *w, char *map, off_t page, size_t len)
{
	int flags = O_RDWR | O_DIRECT | O_CLOEXEC, error = 0;
	off_t at = page & (HUGE_2M - 1);
	int fd = open(soak->scratch, flags);
	ssize_t n;

	if (fd < 0)
		return errno;
	if (worker_random(w, 2))
		n = pread(fd, map + page, len, at);
	else
		n = pwrite(fd, map + page, len, HUGE_2M + at);
	if (n < 0)
		error = errno;
	close(fd);
	return error;
}

static void direct_some(struct worker *w)
{
	size_t len = worker_random(w, 2) ? PAGE_4K : 16 * PAGE_4K;
	off_t page = some_place(w, len);
	char *map = some_map(w);

	worker_begins(w, "direct I/O", page, len);
	if (word_write(w, map, page))
		worker_ends(w, direct(w, map, page, len));
}

/* What was written there. */
static void direct_check(struct worker *w)
{
	static __thread __u64 words[PAGE_4K / sizeof(__u64)];
	off_t page = some_place(w, PAGE_4K);
	int fd, error = 0;

	worker_begins(w, "check disk", page, PAGE_4K);
	fd = open(soak->scratch, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		worker_ends(w, errno);
		return;
	}
	if (pread(fd, words, sizeof(words),
		  HUGE_2M + (page & (HUGE_2M - 1))) == sizeof(words))
		words_check(w, page, words, sizeof(words));
	else
		error = EIO;
	close(fd);
	worker_ends(w, error);
}

/* System calls on the crowd's file */

static void pread_some(struct worker *w)
{
	static __thread __u64 words[PAGE_4K / sizeof(__u64)];
	off_t page = some_place(w, PAGE_4K);
	ssize_t n;

	worker_begins(w, "pread", page, PAGE_4K);
	n = pread(w->maps->fd, words, sizeof(words), page);
	if (n > 0)
		words_check(w, page, words, n);
	worker_ends(w, n < 0 ? errno : 0);
}

/* Other processes read and write mapped memory by copying, too. */
static void copy_some(struct worker *w)
{
	static __thread __u64 words[PAGE_4K / sizeof(__u64)];
	off_t page = some_place(w, PAGE_4K);
	struct iovec here = { words, sizeof(words) };
	struct iovec there = { some_map(w) + page, sizeof(words) };
	ssize_t n;

	worker_begins(w, "process_vm_readv", page, PAGE_4K);
	n = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
	if (n > 0)
		words_check(w, page, words, n);
	worker_ends(w, n < 0 ? errno : 0);
}

/* A window, and what is done to it */

static int window_readonly(struct worker *w, struct window *win)
{
	char *page = win->map + win->at + PAGE_4K;

	if (mprotect(page, PAGE_4K, PROT_READ))
		return errno;
	return mprotect(page, PAGE_4K, PROT_READ | PROT_WRITE) ? errno : 0;
}

static int window_shrink(struct worker *w, struct window *win)
{
	if (munmap(win->map + win->at + win->len - PAGE_4K, PAGE_4K))
		return errno;
	win->len -= PAGE_4K;
	return 0;
}

static int window_move(struct worker *w, struct window *win)
{
	size_t half = win->len / 2;
	struct window moved = { .at = win->at, .len = half };
	char *new;

	new = mremap(win->map + win->at, half, half,
		     MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (new == MAP_FAILED)
		return errno;
	moved.map = new - win->at;
	word_write(w, moved.map, moved.at);
	window_close(&moved);
	return 0;
}

static int window_lock(struct worker *w, struct window *win)
{
	int error = mlock(win->map + win->at, win->len) ? errno : 0;

	munlock(win->map + win->at, win->len);
	/* It has its own errno for faults that fail. */
	return error == ENOMEM ? EFAULT : error;
}

static int window_advise(struct worker *w, struct window *win)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_COLD, MADV_PAGEOUT,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE,
		MADV_NOHUGEPAGE, MADV_HUGEPAGE, MADV_WILLNEED,
	};
	int which = worker_random(w, ARRAY_SIZE(advice));

	return madvise(win->map + win->at, win->len, advice[which]) ? errno : 0;
}

/* A process that has it mapped as well, and unmaps it by its end. */
static int window_fork(struct worker *w, struct window *win)
{
	off_t at = window_word(w, win);
	pid_t pid = fork();
	int status = 0;

	if (!pid) {
		if (word_write(w, win->map, at))
			word_read(w, win->map, at);
		_exit(0);
	}
	if (pid < 0)
		return errno;
	if (waitpid(pid, &status, 0) != pid || status)
		worker_fails(w, "a child did not end well");
	return 0;
}

static void window_some(struct worker *w)
{
	static int (* const acts[])(struct worker *w, struct window *win) = {
		window_readonly, window_shrink, window_move, window_lock,
		window_advise, window_fork,
	};
	off_t at = some_place(w, HUGE_2M);
	int flags = MAP_SHARED, error;
	struct window win;

	if (w->maps->copied && worker_random(w, 2))
		flags = MAP_PRIVATE;
	worker_begins(w, "window", at, HUGE_2M);
	error = window_open(&win, w->maps->fd, at, HUGE_2M, flags);
	if (!error) {
		/* Pages of a huge one, and pages of their own. */
		if (!w->crowd->huge_only && worker_random(w, 2))
			madvise(win.map + at, HUGE_2M, MADV_NOHUGEPAGE);
		if (word_write(w, win.map, window_word(w, &win)) &&
		    word_read(w, win.map, window_word(w, &win)))
			error = acts[worker_random(w, ARRAY_SIZE(acts))](w, &win);
		word_read(w, win.map, window_word(w, &win));
		window_close(&win);
	}
	worker_ends(w, late(error));
}

/* Blocks with two owners */

static void share_some(struct worker *w)
{
	struct file_clone_range range = { 0 };
	size_t len = some_len(w);
	off_t at = some_place(w, len);
	int twin, from, to, error = 0;

	worker_begins(w, "share", at, len);
	twin = file_open(TWIN, O_RDWR);
	if (twin < 0) {
		worker_ends(w, errno);
		return;
	}
	from = worker_random(w, 4) ? w->maps->fd : twin;
	to = from == twin ? w->maps->fd : twin;
	range.src_fd = from;
	range.src_offset = at;
	range.src_length = len;
	range.dest_offset = at;
	if (ioctl(to, FICLONERANGE, &range))
		error = errno;
	close(twin);
	worker_ends(w, late(error));
}

static void dedupe_some(struct worker *w)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} arg = { 0 };
	size_t len = some_len(w);
	off_t at = some_place(w, len);
	int twin, error = 0;

	worker_begins(w, "dedupe", at, len);
	twin = file_open(TWIN, O_RDWR);
	if (twin < 0) {
		worker_ends(w, errno);
		return;
	}
	arg.range.src_offset = at;
	arg.range.src_length = len;
	arg.range.dest_count = 1;
	arg.info.dest_fd = w->maps->fd;
	arg.info.dest_offset = at;
	if (ioctl(twin, FIDEDUPERANGE, &arg))
		error = errno;
	else if (arg.info.status < 0)
		error = -arg.info.status;
	close(twin);
	worker_ends(w, late(error));
}

static int twin_truncate(struct worker *w, int fd)
{
	off_t size = some_place(w, PAGE_4K);

	if (size < FLOOR)
		size = FLOOR;
	return ftruncate(fd, size) || ftruncate(fd, SOAK_SIZE) ? errno : 0;
}

static int twin_write(struct worker *w, int fd)
{
	size_t len = some_len(w);
	off_t at = some_place(w, len);

	return pwrite(fd, work_pattern() + (at & (HUGE_2M - 1)), len, at) < 0 ?
	       errno : 0;
}

static int twin_fault(struct worker *w, int fd)
{
	off_t at = some_place(w, HUGE_2M);
	struct window win;
	int error = window_open(&win, fd, at, HUGE_2M, MAP_SHARED);

	if (error)
		return error;
	word_read(w, win.map, window_word(w, &win));
	word_write(w, win.map, window_word(w, &win));
	word_read(w, win.map, window_word(w, &win));
	window_close(&win);
	return 0;
}

static void twin_some(struct worker *w)
{
	static int (* const acts[])(struct worker *w, int fd) = {
		twin_truncate, twin_write, twin_fault,
	};
	int fd, error;

	worker_begins(w, "twin", 0, SOAK_SIZE);
	fd = file_open(TWIN, O_RDWR);
	if (fd < 0) {
		worker_ends(w, errno);
		return;
	}
	error = acts[worker_random(w, ARRAY_SIZE(acts))](w, fd);
	close(fd);
	worker_ends(w, error);
}

/* Files that come and go */

/* Write to some pages of a file that has them all, and pin one. */
static int populate(struct worker *w, int fd, size_t len)
{
	off_t page = worker_random(w, len / PAGE_4K) * PAGE_4K;
	struct window win;
	int error;

	error = window_open(&win, fd, 0, len, MAP_SHARED);
	if (error)
		return error;
	for (int i = 0; i < 4; i++)
		word_write(w, win.map, window_word(w, &win));
	if (worker_random(w, 2))
		error = -shelf_pin(w, win.map, page, PAGE_4K,
				   worker_random(w, HOLD_MAX));
	word_read(w, win.map, window_word(w, &win));
	window_close(&win);
	return error;
}

/* The last one who has it open closes a file that has no name any more. */
static void evict_some(struct worker *w)
{
	size_t len = worker_random(w, 4) ? 16 * PAGE_4K : HUGE_2M;
	unsigned int injection;
	char name[32];
	int fd, error;

	w->whose = WHOSE_SPARE + worker_random(w, 1000);
	snprintf(name, sizeof(name), "spare-%d", w->tid);
	worker_begins(w, "evict", 0, len);
	fd = file_open(name, O_RDWR | O_CREAT | O_TRUNC);
	if (fd < 0) {
		worker_ends(w, errno);
		return;
	}
	error = soak->round.allows & FALLOCATE ? fallocate(fd, 0, 0, len) :
						 ftruncate(fd, len);
	error = error ? errno : populate(w, fd, len);
	file_unlink(name);
	worker_begins(w, "close what is unlinked", 0, len);
	close(fd);
	injection = inject_pause();
	file_unlink(name);
	inject_resume(injection);
	worker_ends(w, error);
}

/*
 * Files that nobody has open, for their inodes to be reclaimed. Several workers
 * may have one open.
 */
static void leave_some(struct worker *w)
{
	int which = worker_random(w, LEFT_MAX), fd, error = 0;
	size_t len = which ? 16 * PAGE_4K : HUGE_2M;
	char name[32];

	w->whose = WHOSE_LEFT + which;
	snprintf(name, sizeof(name), "left-%d", which);
	worker_begins(w, "leave", 0, len);
	fd = file_open(name, O_RDWR | O_CREAT);
	if (fd < 0) {
		worker_ends(w, errno);
		return;
	}
	if (ftruncate(fd, len))
		error = errno;
	if (!error)
		error = populate(w, fd, len);
	worker_begins(w, "leave it", 0, len);
	if (!worker_random(w, 8))
		file_unlink(name);
	close(fd);
	worker_ends(w, error);
}

static void shrink_caches(struct worker *w)
{
	int fd, error = 0;

	worker_begins(w, "drop caches", 0, 0);
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, worker_random(w, 2) ? "2" : "3", 1) < 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	worker_ends(w, error);
}

/* Memory failures */

/* There is no other place for such a page: this is refused. */
static void soft_offline(struct worker *w)
{
	off_t page = some_place(w, PAGE_4K);
	int error;

	worker_begins(w, "soft-offline", page, PAGE_4K);
	if (!word_write(w, w->maps->aligned, page))
		return;
	error = -advise_guarded(w->maps->aligned + page, PAGE_4K,
				MADV_SOFT_OFFLINE);
	worker_ends(w, error == EIO ? 0 : error);
}

#define UNPOISON "/sys/kernel/debug/hwpoison/unpoison-pfn"

static int poison(struct worker *w, char *page)
{
	uint64_t frame = view_page(page) & VIEW_PFN;
	int error = -advise_guarded(page, PAGE_4K, MADV_HWPOISON);

	if (frame && worker_random(w, 2))
		view_set_number(UNPOISON, frame);
	return error == EHWPOISON ? 0 : error;
}

/*
 * What is poisoned must be a page of the device, and not one that is mapped for
 * any hole: this file has none.
 */
static void with_victim(struct worker *w, int (*act)(struct worker *w,
						     struct window *win))
{
	struct window win;
	int fd, error;

	w->whose = WHOSE_VICTIM;
	fd = file_open(VICTIM, O_RDWR);
	if (fd < 0) {
		worker_ends(w, errno);
		return;
	}
	error = window_open(&win, fd, 0, VICTIM_SIZE, MAP_SHARED);
	if (!error) {
		if (word_write(w, win.map, window_word(w, &win)))
			error = act(w, &win);
		window_close(&win);
	}
	close(fd);
	worker_ends(w, error);
}

static int poison_window(struct worker *w, struct window *win)
{
	off_t page = window_word(w, win) & ~(PAGE_4K - 1);

	if (!word_write(w, win->map, page))
		return 0;
	return poison(w, win->map + page);
}

static void poison_some(struct worker *w)
{
	worker_begins(w, "poison", 0, VICTIM_SIZE);
	with_victim(w, poison_window);
}

static int use_window(struct worker *w, struct window *win)
{
	off_t page = window_word(w, win) & ~(PAGE_4K - 1);

	word_write(w, win->map, page);
	word_read(w, win->map, window_word(w, win));
	return worker_random(w, 2) ? 0 :
	       -shelf_pin(w, win->map, page, PAGE_4K,
			  worker_random(w, HOLD_MAX));
}

static void use_poisoned(struct worker *w)
{
	worker_begins(w, "use poisoned", 0, VICTIM_SIZE);
	with_victim(w, use_window);
}

/* A device has no holes. */
static void poison_device(struct worker *w)
{
	off_t page = some_place(w, PAGE_4K);

	worker_begins(w, "poison", page, PAGE_4K);
	if (word_write(w, w->maps->aligned, page))
		worker_ends(w, poison(w, w->maps->aligned + page));
}

/* The table */

#define OWN(_name, _act) (&(const struct job) { .name = _name, .act = _act })

static const struct {
	const struct job *job;
	unsigned int weight;
	unsigned int needs;
} operations[] = {
	{ &job_read_small, 10, SMALL },
	{ &job_read_huge, 10, 0 },
	{ &job_write_small, 10, SMALL },
	{ &job_write_huge, 10, 0 },
	{ &job_copy, 6, ON_FILE },
	{ &job_write_sync, 4, SYNC },
	{ &job_flush, 6, ON_FILE },
	{ &job_pwrite, 4, ON_FILE },
	{ &job_fallocate, 6, FALLOCATE },
	{ &job_truncate, 20, ON_FILE | ALONE },
	{ &job_lock, 4, FILTERED | SMALL },
	{ OWN("pread", pread_some), 3, ON_FILE },
	{ OWN("vm-read", copy_some), 3, 0 },
	{ OWN("pin", pin_some), 10, 0 },
	{ OWN("direct-io", direct_some), 4, DIRECT_IO },
	{ OWN("check-disk", direct_check), 1, DIRECT_IO },
	{ OWN("window", window_some), 8, 0 },
	{ OWN("share", share_some), 8, REFLINK },
	{ OWN("dedupe", dedupe_some), 4, REFLINK },
	{ OWN("twin", twin_some), 6, REFLINK },
	{ OWN("evict", evict_some), 5, ON_FILE },
	{ OWN("leave", leave_some), 4, ON_FILE },
	{ OWN("drop-caches", shrink_caches), 1, ON_FILE },
	{ OWN("soft-offline", soft_offline), 1, 0 },
	{ OWN("poison", poison_some), 1, POISON | ON_FILE },
	{ OWN("use-poison", use_poisoned), 4, POISON | ON_FILE },
	{ OWN("poison-dax", poison_device), 1, POISON | ON_DEVICE },
};

static_assert(ARRAY_SIZE(operations) <= OPERATIONS_MAX, "too many operations");

const char *operation_name(unsigned int i)
{
	return i < ARRAY_SIZE(operations) ? operations[i].job->name : NULL;
}

static unsigned int weight(unsigned int i, unsigned int allowed)
{
	return operations[i].needs & ~allowed ? 0 : operations[i].weight;
}

static unsigned int draw(struct worker *w)
{
	unsigned int allowed = soak->round.allows, sum = 0, left, i;

	if (w == w->crowd->workers)
		allowed |= ALONE;
	for (i = 0; i < ARRAY_SIZE(operations); i++)
		sum += weight(i, allowed);
	left = worker_random(w, sum);
	for (i = 0; left >= weight(i, allowed); i++)
		left -= weight(i, allowed);
	return i;
}

/* What they came to */

enum {
	DONE,
	SIGNALLED,
	BUSY,
	FAULT,
	NO_MEMORY,
	NO_SPACE,
	IO_ERROR,
	OTHER,
};

const char *outcome_name(unsigned int i)
{
	static const char * const names[OUTCOMES] = {
		[DONE] = "done", [SIGNALLED] = "SIGBUS", [BUSY] = "busy",
		[FAULT] = "EFAULT", [NO_MEMORY] = "ENOMEM",
		[NO_SPACE] = "ENOSPC", [IO_ERROR] = "I/O", [OTHER] = "other",
	};

	return i < OUTCOMES ? names[i] : NULL;
}

static unsigned int outcome(int error)
{
	switch (error) {
	case EBUSY:
	case EAGAIN:
		return BUSY;
	case EFAULT:
		return FAULT;
	case ENOMEM:
		return NO_MEMORY;
	case ENOSPC:
		return NO_SPACE;
	case EIO:
	case ENXIO:
	case ENODEV:
	case EROFS:
	case EUCLEAN:
	case ESHUTDOWN:
	case EHWPOISON:
		return IO_ERROR;
	default:
		return OTHER;
	}
}

static void count(unsigned long *counter, unsigned long n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static void soak_act(struct worker *w)
{
	unsigned long done = w->done, refused = w->refused, sigbus = w->sigbus;
	unsigned int i = draw(w);
	struct tally *tally = &soak->tallies[i];
	bool injects = soak->round.injects && !worker_random(w, 3);

	if (injects)
		inject_arm(1 + worker_random(w, 1 << worker_random(w, NTH_BITS)));
	operations[i].job->act(w);
	if (injects && inject_disarm())
		count(&tally->injected, 1);
	w->whose = 0;
	count(&tally->outcomes[DONE], w->done - done);
	count(&tally->outcomes[SIGNALLED], w->sigbus - sigbus);
	count(&tally->outcomes[outcome(w->error)], w->refused - refused);
}

const struct job job_soak = {
	.name = "soak", .teams = 2, .batch = 16, .act = soak_act,
};

bool soak_excuses(const struct worker *w, int error)
{
	const struct round *r = &soak->round;

	if (r->injects || __atomic_load_n(&soak->removing, __ATOMIC_ACQUIRE))
		return true;
	switch (error) {
	case ENOSPC:
	case EAGAIN:	/* no place for one more pin */
	case ENOENT:
		return true;
	case EHWPOISON:
	case EIO:
	case EFAULT:
		return r->allows & POISON;
	}
	return false;
}

/* In the directory of an empty filesystem */

static int victim_make(void)
{
	static __u64 words[VICTIM_SIZE / sizeof(__u64)];
	int fd = file_open(VICTIM, O_CREAT | O_RDWR), error = 0;

	if (fd < 0)
		return errno;
	if (soak->round.allows & FALLOCATE && fallocate(fd, 0, 0, VICTIM_SIZE))
		error = errno;
	if (!error && (write(fd, words, sizeof(words)) != sizeof(words) ||
		       fsync(fd)))
		error = errno;
	close(fd);
	return error;
}

static int sparse_make(const char *name)
{
	int fd = file_open(name, O_CREAT | O_RDWR), error = 0;

	if (fd < 0)
		return errno;
	if (ftruncate(fd, SOAK_SIZE))
		error = errno;
	close(fd);
	return error;
}

int soak_files_make(void)
{
	int error = sparse_make(SOAK_FILE);

	if (!error && soak->round.allows & REFLINK)
		error = sparse_make(TWIN);
	if (!error && soak->round.allows & POISON)
		error = victim_make();
	return error;
}
