// SPDX-License-Identifier: GPL-2.0
/*
 * Many workers do everything to one file at once that brings entries of a DAX
 * file into being, locks them, changes and removes them. None of them may be
 * left asleep, and in the end every entry has to be gone that there ever was:
 * the kernel's tracepoints are counted, not its word taken.
 *
 * Parameters are in the environment: DAX_SEED, DAX_ROUNDS, and DAX_STALL, the
 * seconds after which a worker counts as stuck.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "../kselftest_harness.h"
#include "counter.h"
#include "crowd.h"
#include "provided.h"
#include "provider.h"
#include "work.h"

#define HUGE_2M (2UL << 20)
#define FILE_SIZE (4 * HUGE_2M)

#define ROUNDS 30
#define STALL 30

/* The watchdog comes first; this is for one that fails. */
#define TIMEOUT 1500

enum count {
	ADDED_SMALL,
	ADDED_HUGE,
	ADDED,
	REMOVED_SMALL,
	REMOVED_HUGE,
	REMOVED,
	FLUSHED_SMALL,
	FLUSHED_HUGE,
	SYNCED,
	COUNTS,
};

static const struct {
	const char *event;
	const char *filter;
} counts[COUNTS] = {
	[ADDED_SMALL] = { "fs_dax/dax_add_entry", "order == 0" },
	[ADDED_HUGE] = { "fs_dax/dax_add_entry", "order == 9" },
	[ADDED] = { "fs_dax/dax_add_entry", "order >= 0" },
	[REMOVED_SMALL] = { "fs_dax/dax_remove_entry", "order == 0" },
	[REMOVED_HUGE] = { "fs_dax/dax_remove_entry", "order == 9" },
	[REMOVED] = { "fs_dax/dax_remove_entry", "order >= 0" },
	[FLUSHED_SMALL] = { "fs_dax/dax_writeback_one", "pglen == 1" },
	[FLUSHED_HUGE] = { "fs_dax/dax_writeback_one", "pglen == 512" },
	[SYNCED] = { "fs_dax/dax_insert_pfn_mkwrite", "flags >= 0" },
};

/* Tests are processes: what one of them found is for those after it as well. */
static bool *left_stuck;

static void __attribute__((constructor)) left_stuck_share(void)
{
	left_stuck = mmap(NULL, sizeof(*left_stuck), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static unsigned long parameter(const char *name, unsigned long otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoul(value, NULL, 0) : otherwise;
}

struct stage {
	const struct provider *fs;
	struct dax_file file;
	dev_t dev;
	struct counter counters[COUNTS];
	struct poison_filter filter;
	bool filtering;
};

FIXTURE(stress) {
	struct stage stage;
};

FIXTURE_VARIANT(stress) {
	const char *fs;
	bool fallocates;
	bool map_sync;
};

FIXTURE_VARIANT_ADD(stress, ext2) {
	.fs = "ext2",
};

FIXTURE_VARIANT_ADD(stress, ext4) {
	.fs = "ext4", .fallocates = true, .map_sync = true,
};

FIXTURE_VARIANT_ADD(stress, xfs) {
	.fs = "xfs", .fallocates = true, .map_sync = true,
};

FIXTURE_VARIANT_ADD(stress, xfs_reflink) {
	.fs = "xfs_reflink", .fallocates = true, .map_sync = true,
};

/* A file without blocks that nobody has open. */
static int make_file(struct stage *s)
{
	struct stat st;
	int error;

	error = file_create(&s->file, provider_dir(s->fs), "stress", 0, 0);
	if (!error && (ftruncate(s->file.fd, FILE_SIZE) ||
		       fstat(s->file.fd, &st)))
		error = -errno;
	if (!error)
		s->dev = st.st_dev;
	file_close(&s->file);
	return error;
}

static int open_counters(struct stage *s)
{
	char filter[128];
	int error = 0;

	for (int i = 0; i < COUNTS && !error; i++) {
		/* The kernel's dev_t is not that of user space. */
		snprintf(filter, sizeof(filter), "ino == %lu && dev == %u && %s",
			 (unsigned long)s->file.ino,
			 major(s->dev) << 20 | minor(s->dev),
			 counts[i].filter);
		error = counter_open(&s->counters[i], counts[i].event,
				     filter);
	}
	return error;
}

static long long count(const struct stage *s, enum count which)
{
	return counter_read(&s->counters[which]);
}

FIXTURE_SETUP(stress)
{
	static const struct dax_file none = DAX_FILE_NONE;
	struct stage *s = &self->stage;
	char why[REASON_MAX] = "";
	int error;

	s->file = none;
	s->fs = provider_find(variant->fs);
	ASSERT_FALSE(*left_stuck) {
		TH_LOG("a worker of an earlier test is stuck");
	}
	if (!provided(_metadata, provider_up(s->fs, why), why))
		return;
	ASSERT_EQ(0, make_file(s));
	error = open_counters(s);
	if (error == -ENOENT)
		SKIP(return, "kernel without tracepoints of DAX entries");
	ASSERT_EQ(0, error);
}

FIXTURE_TEARDOWN(stress)
{
	struct stage *s = &self->stage;

	if (s->filtering)
		poison_filter_restore(&s->filter);
	for (int i = 0; i < COUNTS; i++)
		counter_close(&s->counters[i]);
	if (!*left_stuck)
		unlink(s->file.path);
}

static struct crowd *gather(struct stage *s, bool fallocates, bool map_sync)
{
	struct crowd *c = crowd_create();

	if (!c)
		return NULL;
	c->path = s->file.path;
	c->size = FILE_SIZE;
	c->map_sync = map_sync;
	c->fallocates = fallocates;
	c->seed = parameter("DAX_SEED", time(NULL) ^ getpid());
	c->rounds = parameter("DAX_ROUNDS", ROUNDS);
	c->stall = parameter("DAX_STALL", STALL);

	crowd_hire(c, &job_read_small);
	crowd_hire(c, &job_read_huge);
	crowd_hire(c, &job_write_small);
	crowd_hire(c, &job_write_huge);
	crowd_hire(c, &job_copy);
	/* The more of these, the longer the queues for an entry. */
	for (int i = 0; i < 3; i++)
		crowd_hire(c, &job_flush);
	crowd_hire(c, &job_pwrite);
	crowd_hire(c, &job_truncate);
	crowd_hire(c, &job_pin);
	if (map_sync)
		crowd_hire(c, &job_write_sync);
	if (fallocates)
		crowd_hire(c, &job_fallocate);
	return c;
}

static void print_crowd(const struct crowd *c, long ms)
{
	ksft_print_msg("seed %lu, %u rounds of %u workers in %ld ms\n",
		       c->seed, c->rounds, c->nr, ms);
	for (unsigned int i = 0; i < c->nr; i++) {
		const struct worker *w = &c->workers[i];

		ksft_print_msg("%s, team %u: %lu done, %lu refused, %lu SIGBUS\n",
			       w->job->name, w->team, w->done, w->refused,
			       w->sigbus);
	}
}

static void print_counts(struct stage *s)
{
	ksft_print_msg("small entries: %lld added, %lld removed, %lld flushed\n",
		       count(s, ADDED_SMALL), count(s, REMOVED_SMALL),
		       count(s, FLUSHED_SMALL));
	ksft_print_msg("huge entries: %lld added, %lld removed, %lld flushed\n",
		       count(s, ADDED_HUGE), count(s, REMOVED_HUGE),
		       count(s, FLUSHED_HUGE));
	ksft_print_msg("entries mapped after an fsync: %lld\n",
		       count(s, SYNCED));
}

/* A test that did not do what it is for has shown nothing. */
static void expect_work(struct __test_metadata *_metadata,
			struct stage *s, const struct crowd *c)
{
	unsigned long sigbus = 0;

	for (unsigned int i = 0; i < c->nr; i++) {
		sigbus += c->workers[i].sigbus;
		EXPECT_NE(0UL, c->workers[i].done) {
			TH_LOG("no %s was done", c->workers[i].job->name);
		}
	}
	EXPECT_NE(0UL, sigbus);
	EXPECT_LT(0, count(s, ADDED_SMALL));
	EXPECT_LT(0, count(s, FLUSHED_SMALL));
	if (c->map_sync)
		EXPECT_LT(0, count(s, SYNCED));
	if (s->fs->huge_faults) {
		EXPECT_LT(0, count(s, ADDED_HUGE));
		EXPECT_LT(0, count(s, FLUSHED_HUGE));
	}
}

static void expect_no_entries(struct __test_metadata *_metadata,
			      struct stage *s)
{
	EXPECT_EQ(count(s, ADDED_SMALL), count(s, REMOVED_SMALL));
	EXPECT_EQ(count(s, ADDED_HUGE), count(s, REMOVED_HUGE));
	EXPECT_EQ(count(s, ADDED), count(s, ADDED_SMALL) + count(s, ADDED_HUGE));
	EXPECT_EQ(count(s, ADDED), count(s, REMOVED));
}

/* Has the kernel warned of itself? */
static long kernel_taint(void)
{
	FILE *f = fopen("/proc/sys/kernel/tainted", "r");
	long taint = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &taint) != 1)
		taint = -1;
	fclose(f);
	return taint;
}

static void play(struct __test_metadata *_metadata, struct stage *s,
		 struct crowd *c)
{
	long start = now_ms(), taint = kernel_taint();
	const char *failure;
	bool ended;

	work_prepare();
	ended = crowd_run(c);
	*left_stuck = c->ended < CROWD_TEAMS;
	print_crowd(c, now_ms() - start);
	print_counts(s);
	failure = crowd_failure(c);
	EXPECT_TRUE(!failure) {
		TH_LOG("%s", failure);
	}
	ASSERT_TRUE(ended) {
		TH_LOG("see above who is stuck");
	}
	EXPECT_EQ(taint, kernel_taint()) {
		TH_LOG("see the kernel's log");
	}
	expect_work(_metadata, s, c);
	expect_no_entries(_metadata, s);
}

static void expect_counts(struct __test_metadata *_metadata, struct stage *s,
			  long long small_added, long long small_removed,
			  long long huge_added, long long huge_removed)
{
	EXPECT_EQ(small_added, count(s, ADDED_SMALL));
	EXPECT_EQ(small_removed, count(s, REMOVED_SMALL));
	EXPECT_EQ(huge_added, count(s, ADDED_HUGE));
	EXPECT_EQ(huge_removed, count(s, REMOVED_HUGE));
}

static char page_read(const char *page)
{
	return __atomic_load_n(page, __ATOMIC_RELAXED);
}

static void page_write(char *page)
{
	__atomic_store_n(page, 1, __ATOMIC_RELAXED);
}

/* What the other tests rely on: each entry is counted, and once. */
TEST_F(stress, counts)
{
	struct stage *s = &self->stage;
	char byte = 1, *small, *huge;
	int fd;

	fd = open(s->file.path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	small = map_skewed(fd, FILE_SIZE, MAP_SHARED, 4096);
	huge = map_skewed(fd, FILE_SIZE, MAP_SHARED, 0);
	ASSERT_TRUE(small && huge);
	expect_counts(_metadata, s, 0, 0, 0, 0);

	/* The entry of a hole that is not one any more is invalidated. */
	EXPECT_EQ(0, page_read(small));
	expect_counts(_metadata, s, 1, 0, 0, 0);
	ASSERT_EQ(1, pwrite(fd, &byte, 1, 0));
	expect_counts(_metadata, s, 1, 1, 0, 0);

	page_write(small);
	page_write(small);
	expect_counts(_metadata, s, 2, 1, 0, 0);
	ASSERT_EQ(0, ftruncate(fd, 0));
	expect_counts(_metadata, s, 2, 2, 0, 0);

	ASSERT_EQ(0, ftruncate(fd, FILE_SIZE));
	if (s->fs->huge_faults) {
		/* A small entry takes the place of a huge one of a hole. */
		EXPECT_EQ(0, page_read(huge));
		expect_counts(_metadata, s, 2, 2, 1, 0);
		page_write(small);
		expect_counts(_metadata, s, 3, 2, 1, 1);
		ASSERT_EQ(0, ftruncate(fd, 0));
		expect_counts(_metadata, s, 3, 3, 1, 1);
	}
	munmap(small, FILE_SIZE);
	munmap(huge, FILE_SIZE);
	close(fd);
}

TEST_F_TIMEOUT(stress, entries, TIMEOUT)
{
	struct crowd *c = gather(&self->stage, variant->fallocates,
				 variant->map_sync);

	ASSERT_NE(NULL, c);
	play(_metadata, &self->stage, c);
}

/* The same while entries are locked from outside of the filesystem, too. */
TEST_F_TIMEOUT(stress, entries_and_memory_failures, TIMEOUT)
{
	struct stage *s = &self->stage;
	struct crowd *c;
	int error;

	error = poison_filter_set(&s->filter);
	if (error)
		SKIP(return, "hwpoison-inject's filter: %s", strerror(-error));
	s->filtering = true;
	c = gather(s, variant->fallocates, variant->map_sync);
	ASSERT_NE(NULL, c);
	crowd_hire(c, &job_lock);
	play(_metadata, s, c);
}

TEST_HARNESS_MAIN
