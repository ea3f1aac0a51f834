// SPDX-License-Identifier: GPL-2.0
/*
 * A page of a DAX file goes bad. Who maps it has to learn which address is lost,
 * and how much there; nobody may be left with it mapped, and all other data has
 * to stay. The pages are good, so what is poisoned is made anew in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "../kselftest_harness.h"
#include "device.h"
#include "mapped.h"
#include "provided.h"
#include "view.h"

#define SIZE PMD_SIZE
#define PAGES PMD_PAGES
#define BAD 100		/* the page that does */
#define TIMEOUT 60

/* Of <asm-generic/siginfo.h> and <linux/prctl.h>, where libc has its own. */
#ifndef BUS_MCEERR_AR
#define BUS_MCEERR_AR 4
#define BUS_MCEERR_AO 5
#endif

FIXTURE(poison) {
	struct mapped m;
};

FIXTURE_VARIANT(poison) {
	const char *fs;
	enum unit unit;
	bool shared;
};

FIXTURE_VARIANT_ADD(poison, ext4_pte) {
	.fs = "ext4", .unit = UNIT_PTE,
};

FIXTURE_VARIANT_ADD(poison, ext4_pmd) {
	.fs = "ext4", .unit = UNIT_PMD,
};

FIXTURE_VARIANT_ADD(poison, ext4_mixed) {
	.fs = "ext4", .unit = UNIT_MIXED,
};

FIXTURE_VARIANT_ADD(poison, xfs_pte) {
	.fs = "xfs", .unit = UNIT_PTE,
};

FIXTURE_VARIANT_ADD(poison, xfs_pmd) {
	.fs = "xfs", .unit = UNIT_PMD,
};

FIXTURE_VARIANT_ADD(poison, xfs_mixed) {
	.fs = "xfs", .unit = UNIT_MIXED,
};

FIXTURE_VARIANT_ADD(poison, xfs_rmap_pte) {
	.fs = "xfs_rmap", .unit = UNIT_PTE,
};

FIXTURE_VARIANT_ADD(poison, xfs_rmap_pmd) {
	.fs = "xfs_rmap", .unit = UNIT_PMD,
};

FIXTURE_VARIANT_ADD(poison, xfs_rmap_mixed) {
	.fs = "xfs_rmap", .unit = UNIT_MIXED,
};

FIXTURE_VARIANT_ADD(poison, xfs_reflink_shared) {
	.fs = "xfs_reflink", .unit = UNIT_PTE, .shared = true,
};

FIXTURE_VARIANT_ADD(poison, xfs_rmap_shared) {
	.fs = "xfs_rmap", .unit = UNIT_PTE, .shared = true,
};

/* Unbind the device and bind it again: its pages are new ones then, and good. */
static int device_renew(void)
{
	struct device device;
	int error = device_find(&device, getenv("DAX_DEV"));

	if (!error)
		error = device_unbind(&device);
	return error ? error : device_bind(&device);
}

/*
 * Each variant has a filesystem of its own, and on it each test a file that is
 * not deleted, so that no block with a poisoned page is used twice.
 */
static enum provision home_up(const struct provider *fs, const char *variant,
			      char *why)
{
	char path[PATH_MAX + 64];
	enum provision made;
	int error;

	snprintf(path, sizeof(path), "%s/variant-%s", provider_dir(fs), variant);
	if (!access(path, F_OK))
		return PROVIDED;
	if (provider_mounted(fs))
		umount2(provider_dir(fs), 0);
	error = device_renew();
	if (error) {
		snprintf(why, REASON_MAX, "cannot rebind the device: %s",
			 strerror(-error));
		return BROKEN;
	}
	made = provider_up(fs, why);
	if (made == PROVIDED) {
		error = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		close(error);
	}
	return made;
}

/* What it says of an address that is not mapped, if it knows the advice. */
static bool injects(void)
{
	return madvise(NULL, PTE_SIZE, MADV_HWPOISON) && errno != EINVAL;
}

FIXTURE_SETUP(poison)
{
	struct mapped *m = &self->m;
	char why[REASON_MAX] = "", name[64];

	m->fs = provider_find(variant->fs);
	m->unit = variant->unit;
	m->shared = variant->shared;
	if (!injects())
		SKIP(return, "no MADV_HWPOISON (CONFIG_MEMORY_FAILURE)");
	snprintf(name, sizeof(name), "%d%d", variant->unit, variant->shared);
	if (!provided(_metadata, home_up(m->fs, name, why), why))
		return;
	snprintf(name, sizeof(name), "poisoned-%d", getpid());
	ASSERT_EQ(0, mapped_open(m, name, SIZE)) {
		mapped_close(m);
	}
	ASSERT_EQ(m->unit == UNIT_PMD ? SIZE : 0, view_huge(m->map, SIZE)) {
		mapped_close(m);
	}
	/* Who maps two files with the page would be told of either one. */
	if (m->twin_map) {
		munmap(m->twin_map, SIZE);
		m->twin_map = NULL;
	}
}

FIXTURE_TEARDOWN(poison)
{
	mapped_close(&self->m);
}

/* The last SIGBUS of this process, and how many there were. */
static atomic_int signals;
static siginfo_t last;

static void note(int signal, siginfo_t *info, void *context)
{
	last = *info;
	signals++;
}

static void listen(void)
{
	struct sigaction action = {
		.sa_sigaction = note,
		.sa_flags = SA_SIGINFO,
	};

	signals = 0;
	sigaction(SIGBUS, &action, NULL);
}

static int shift_of(const struct mapped *m)
{
	return m->unit == UNIT_PMD ? 21 : 12;
}

/* All pages but the bad one hold what they did. */
static int others_differ(const char *map)
{
	return pages_differ(map, 0, BAD, ORIGINAL) +
		pages_differ(map + (BAD + 1) * PTE_SIZE, BAD + 1,
			     PAGES - BAD - 1, ORIGINAL);
}

/* What the injection returns. */
static int inject(struct mapped *m, int advice)
{
	if (!madvise(m->map + BAD * PTE_SIZE, PTE_SIZE, advice))
		return 0;
	return -errno;
}

/* Without rmapbt, nobody knows the owners of a block that has several. */
static bool is_orphan(const struct mapped *m)
{
	return m->shared && strcmp(m->fs->name, "xfs_rmap");
}

static void expect_told(struct __test_metadata *_metadata,
			const struct mapped *m, int code)
{
	EXPECT_EQ(1, signals);
	EXPECT_EQ(code, last.si_code);
	EXPECT_EQ(m->map + BAD * PTE_SIZE, last.si_addr);
	EXPECT_EQ(shift_of(m), last.si_addr_lsb);
}

/* What was mapped by one entry is not any more, and can be again. */
static void expect_unmapped(struct __test_metadata *_metadata,
			    const struct mapped *m)
{
	long lost = m->unit == UNIT_PMD ? SIZE : PTE_SIZE;

	EXPECT_EQ(0UL, view_page(m->map + BAD * PTE_SIZE) & VIEW_PRESENT);
	EXPECT_EQ(SIZE - lost, view_present(m->map, SIZE));
	EXPECT_EQ(0, others_differ(m->map));
}

TEST_F_TIMEOUT(poison, mapped, TIMEOUT)
{
	struct mapped *m = &self->m;

	listen();
	if (is_orphan(m)) {
		EXPECT_EQ(-EBUSY, inject(m, MADV_HWPOISON));
		EXPECT_EQ(0, signals);
		EXPECT_EQ(SIZE, view_present(m->map, SIZE));
		EXPECT_EQ(0, others_differ(m->map));
		return;
	}
	EXPECT_EQ(0, inject(m, MADV_HWPOISON));
	expect_told(_metadata, m, BUS_MCEERR_AR);
	expect_unmapped(_metadata, m);
}

/* A mapping that the next write has to fault on, and the sync after it. */
TEST_F_TIMEOUT(poison, synced, TIMEOUT)
{
	struct mapped *m = &self->m;

	if (m->shared)
		SKIP(return, "writing makes a block not shared");
	ASSERT_EQ(0, fsync(m->file.fd));
	listen();
	EXPECT_EQ(0, inject(m, MADV_HWPOISON));
	expect_told(_metadata, m, BUS_MCEERR_AR);
	expect_unmapped(_metadata, m);
	EXPECT_EQ(0, fsync(m->file.fd));
}

TEST_F_TIMEOUT(poison, read_only_private, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *map;

	if (is_orphan(m))
		SKIP(return, "nobody is told");
	map = mapped_again(m, 0, SIZE, PROT_READ, MAP_PRIVATE, 0);
	ASSERT_NE(NULL, map);
	pages_touch(map, 0, PAGES, false);
	mapped_unmap(m);
	m->map = map;
	listen();
	EXPECT_EQ(0, inject(m, MADV_HWPOISON));
	expect_told(_metadata, m, BUS_MCEERR_AR);
	expect_unmapped(_metadata, m);
}

/* Another process that maps the page, by PTEs and at its own address. */

static int second_prepare(void *arg)
{
	struct mapped *m = arg;

	mapped_unmap(m);
	m->unit = UNIT_PTE;
	m->map = mapped_again(m, 0, SIZE, PROT_READ, MAP_SHARED, PTE_SIZE);
	if (!m->map)
		return 1;
	pages_touch(m->map, 0, PAGES, false);
	listen();
	return prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
}

/* The other process gets no address that it asked for, but a hint. */
static int second_check(struct mapped *m, int code)
{
	if (signals != 1)
		return 2;
	if (last.si_code != code)
		return 3;
	if (last.si_addr != m->map + BAD * PTE_SIZE)
		return 4;
	if (last.si_addr_lsb != shift_of(m))
		return 5;
	if (view_page(m->map + BAD * PTE_SIZE) & VIEW_PRESENT)
		return 6;
	return others_differ(m->map) ? 7 : 0;
}

static int second_told(void *arg)
{
	return second_check(arg, BUS_MCEERR_AO);
}

TEST_F_TIMEOUT(poison, mapped_by_two, TIMEOUT)
{
	struct mapped *m = &self->m;
	struct child child;

	if (is_orphan(m))
		SKIP(return, "nobody is told");
	listen();
	ASSERT_EQ(0, child_start(&child, second_prepare, second_told, m));
	EXPECT_EQ(0, inject(m, MADV_HWPOISON));
	EXPECT_EQ(0, child_end(&child));
	expect_told(_metadata, m, BUS_MCEERR_AR);
	expect_unmapped(_metadata, m);
}

/* Who does not want to know early finds out later, by a fault. */
static int late_prepare(void *arg)
{
	int error = second_prepare(arg);

	return error ? error : prctl(PR_MCE_KILL, PR_MCE_KILL_SET,
				     PR_MCE_KILL_LATE, 0, 0);
}

static int late_not_told(void *arg)
{
	struct mapped *m = arg;

	if (signals)
		return 2;
	if (view_page(m->map + BAD * PTE_SIZE) & VIEW_PRESENT)
		return 3;
	return others_differ(m->map) ? 4 : 0;
}

TEST_F_TIMEOUT(poison, mapped_by_late, TIMEOUT)
{
	struct mapped *m = &self->m;
	struct child child;

	if (is_orphan(m))
		SKIP(return, "nobody is told");
	listen();
	ASSERT_EQ(0, child_start(&child, late_prepare, late_not_told, m));
	EXPECT_EQ(0, inject(m, MADV_HWPOISON));
	EXPECT_EQ(0, child_end(&child));
	expect_told(_metadata, m, BUS_MCEERR_AR);
	expect_unmapped(_metadata, m);
}

/* The owner of the same block is another file. */
static int twin_prepare(void *arg)
{
	struct mapped *m = arg;

	mapped_unmap(m);
	m->map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, m->twin.fd, 0);
	if (m->map == MAP_FAILED)
		return 1;
	pages_touch(m->map, 0, PAGES, false);
	listen();
	return prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
}

TEST_F_TIMEOUT(poison, mapped_by_twin, TIMEOUT)
{
	struct mapped *m = &self->m;
	struct child child;

	if (!m->shared || is_orphan(m))
		SKIP(return, "a block without two owners that are known");
	listen();
	ASSERT_EQ(0, child_start(&child, twin_prepare, second_told, m));
	EXPECT_EQ(0, inject(m, MADV_HWPOISON));
	EXPECT_EQ(0, child_end(&child));
	expect_told(_metadata, m, BUS_MCEERR_AR);
	expect_unmapped(_metadata, m);
}

/* A page that a pipe holds. */
TEST_F_TIMEOUT(poison, pinned, TIMEOUT)
{
	static char buffer[PTE_SIZE];
	struct mapped *m = &self->m;
	struct iovec iov = {
		.iov_base = m->map + BAD * PTE_SIZE, .iov_len = PTE_SIZE,
	};
	int ends[2];

	if (is_orphan(m))
		SKIP(return, "nobody is told");
	ASSERT_EQ(0, pipe2(ends, O_CLOEXEC));
	ASSERT_EQ(PTE_SIZE, vmsplice(ends[1], &iov, 1, 0));
	listen();
	EXPECT_EQ(0, inject(m, MADV_HWPOISON));
	expect_told(_metadata, m, BUS_MCEERR_AR);
	expect_unmapped(_metadata, m);
	EXPECT_EQ(PTE_SIZE, read(ends[0], buffer, PTE_SIZE));
	EXPECT_EQ(0, pages_differ(buffer, BAD, 1, ORIGINAL));
	close(ends[0]);
	close(ends[1]);
}

/* A page that nobody maps, told of by its frame as a machine would. */

#define CORRUPT "/sys/kernel/debug/hwpoison/corrupt-pfn"

TEST_F_TIMEOUT(poison, unmapped, TIMEOUT)
{
	struct mapped *m = &self->m;
	uint64_t frame = view_page(m->map + BAD * PTE_SIZE) & VIEW_PFN;

	if (access(CORRUPT, W_OK))
		SKIP(return, "no " CORRUPT " (CONFIG_HWPOISON_INJECT)");
	ASSERT_NE(0UL, frame);
	mapped_unmap(m);
	listen();
	EXPECT_EQ(is_orphan(m) ? -EBUSY : 0, view_set_number(CORRUPT, frame));
	EXPECT_EQ(0, signals);
	m->map = mapped_again(m, 0, SIZE, PROT_READ, MAP_SHARED, 0);
	ASSERT_NE(NULL, m->map);
	EXPECT_EQ(0, others_differ(m->map));
	EXPECT_EQ(0, signals);
}

/* The same while it is mapped. It cannot be replaced: this is no mere hint. */
TEST_F_TIMEOUT(poison, mapped_by_frame, TIMEOUT)
{
	struct mapped *m = &self->m;
	uint64_t frame = view_page(m->map + BAD * PTE_SIZE) & VIEW_PFN;

	if (access(CORRUPT, W_OK))
		SKIP(return, "no " CORRUPT " (CONFIG_HWPOISON_INJECT)");
	if (is_orphan(m))
		SKIP(return, "nobody is told");
	listen();
	EXPECT_EQ(0, view_set_number(CORRUPT, frame));
	expect_told(_metadata, m, BUS_MCEERR_AR);
	expect_unmapped(_metadata, m);
}

/* There is no other place for a page that is about to go bad. */
TEST_F_TIMEOUT(poison, soft_offline_is_refused, TIMEOUT)
{
	struct mapped *m = &self->m;

	listen();
	EXPECT_EQ(-EIO, inject(m, MADV_SOFT_OFFLINE));
	EXPECT_EQ(0, signals);
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, ORIGINAL));
}

TEST_HARNESS_MAIN
