// SPDX-License-Identifier: GPL-2.0
/*
 * What user space can do to a mapping of a DAX file: it has to take effect, and
 * to leave the data alone, whatever entries of page tables map it. What the
 * kernel does to pages on its own, such as moving and merging them, must not
 * happen to those of a device. And it has to tell the truth about them in /proc.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/kernel-page-flags.h>
#include <linux/mempolicy.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "mapped_fixture.h"
#include "uffd.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif

/* Check what @at maps of the file, from its page @first on. */
#define EXPECT_PAGES(at, first, pages, who) \
	EXPECT_EQ(0, pages_differ(at, first, pages, who))

/* All of the file but a part, which starts at page PART of it. */
#define EXPECT_ALL_BUT_PART(map) do { \
	char *_map = (map); \
	EXPECT_PAGES(_map, 0, PART, ORIGINAL); \
	EXPECT_PAGES(_map + PART_END * PTE_SIZE, PART_END, PAGES - PART_END, \
		     ORIGINAL); \
} while (0)

#define PART_END (PART + PART_PAGES)
#define PART_SIZE (PART_PAGES * PTE_SIZE)

static char *part_of(char *map)
{
	return map + PART * PTE_SIZE;
}

/* mremap(2) */

/* Move the whole mapping. It can be written to afterwards, and is the file's. */
static void play_move(struct __test_metadata *_metadata, struct mapped *m,
		      char *to, long huge_then)
{
	ASSERT_NE(NULL, to);
	ASSERT_EQ(to, mremap(m->map, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			     to));
	EXPECT_FALSE(can_read(m->map));
	m->map = to;
	EXPECT_EQ(huge_then, view_huge(to, SIZE));
	EXPECT_PAGES(to, 0, PAGES, ORIGINAL);
	pages_fill(part_of(to), PART, PART_PAGES, CHANGED);
	EXPECT_EQ(0, pages_differ_in(m->file.fd, PART, PART_PAGES, CHANGED));
	EXPECT_ALL_BUT_PART(to);
}

TEST_F_TIMEOUT(mapped, mremap_moves_aligned, TIMEOUT)
{
	play_move(_metadata, &self->m, address_space(SIZE, 0),
		  huge(&self->m, SIZE));
}

TEST_F_TIMEOUT(mapped, mremap_moves_off_alignment, TIMEOUT)
{
	play_move(_metadata, &self->m, address_space(SIZE, PTE_SIZE), 0);
}

/* Half of a PMD moves, the other half stays. */
TEST_F_TIMEOUT(mapped, mremap_moves_half, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *from = m->map + PMD_SIZE + PMD_SIZE / 2, *to;
	long first = PMD_PAGES + PMD_PAGES / 2, half = PMD_PAGES / 2;

	to = address_space(PMD_SIZE / 2, PMD_SIZE / 2);
	ASSERT_NE(NULL, to);
	ASSERT_EQ(to, mremap(from, PMD_SIZE / 2, PMD_SIZE / 2,
			     MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_PAGES(to, first, half, ORIGINAL);
	EXPECT_PAGES(m->map, 0, first, ORIGINAL);
	EXPECT_FALSE(can_read(from));
	EXPECT_EQ(huge(m, PMD_SIZE), view_huge(m->map, SIZE));
	munmap(to, PMD_SIZE / 2);
}

TEST_F_TIMEOUT(mapped, mremap_grows, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *map, *to;

	map = mapped_again(m, 0, PMD_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   0);
	ASSERT_NE(NULL, map);
	pages_touch(map, 0, PMD_PAGES, false);
	to = address_space(SIZE, 0);
	ASSERT_NE(NULL, to);
	ASSERT_EQ(to, mremap(map, PMD_SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
			     to));
	EXPECT_EQ(huge(m, PMD_SIZE), view_huge(to, SIZE));
	EXPECT_PAGES(to, 0, PAGES, ORIGINAL);
	EXPECT_EQ(huge(m, SIZE), view_huge(to, SIZE));
	munmap(to, SIZE);
}

TEST_F_TIMEOUT(mapped, mremap_shrinks, TIMEOUT)
{
	struct mapped *m = &self->m;
	long left = PMD_SIZE + PMD_SIZE / 2;

	ASSERT_EQ(m->map, mremap(m->map, SIZE, left, 0));
	EXPECT_FALSE(can_read(m->map + left));
	EXPECT_PAGES(m->map, 0, left / PTE_SIZE, ORIGINAL);
	EXPECT_EQ(huge(m, PMD_SIZE), view_huge(m->map, PMD_SIZE));
}

/* What was mapped moves, and the old place of the mapping can be used again. */
TEST_F_TIMEOUT(mapped, mremap_leaves_mapping, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *to = address_space(SIZE, 0);

	ASSERT_NE(NULL, to);
	ASSERT_EQ(to, mremap(m->map, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED |
			     MREMAP_DONTUNMAP, to));
	EXPECT_EQ(SIZE, view_present(to, SIZE));
	EXPECT_EQ(0, view_present(m->map, SIZE));
	EXPECT_PAGES(to, 0, PAGES, ORIGINAL);
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
	munmap(to, SIZE);
}

/* munmap(2), and what takes pages from below a mapping */

TEST_F_TIMEOUT(mapped, munmap_part, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *part = part_of(m->map);

	ASSERT_EQ(0, munmap(part, PART_SIZE));
	EXPECT_FALSE(can_read(part));
	EXPECT_FALSE(can_read(part + PART_SIZE - 1));
	EXPECT_ALL_BUT_PART(m->map);
	EXPECT_EQ(huge(m, PMD_SIZE), view_huge(m->map, SIZE));
	EXPECT_EQ(0, pages_differ_in(m->file.fd, 0, PAGES, ORIGINAL));
}

TEST_F_TIMEOUT(mapped, truncate_part, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *part = part_of(m->map);

	ASSERT_EQ(0, ftruncate(m->file.fd, PART * PTE_SIZE));
	EXPECT_FALSE(can_read(part));
	EXPECT_FALSE(can_read(m->map + SIZE - 1));
	EXPECT_PAGES(m->map, 0, PART, ORIGINAL);
	ASSERT_EQ(0, ftruncate(m->file.fd, SIZE));
	for (long i = 0; i < SIZE - PART * PTE_SIZE; i += PTE_SIZE)
		ASSERT_EQ(0, part[i]);
}

static bool is_zero(const char *at, size_t len)
{
	char bits = 0;

	for (size_t i = 0; i < len; i++)
		bits |= at[i];
	return !bits;
}

static void play_punch(struct __test_metadata *_metadata, struct mapped *m)
{
	char *part = part_of(m->map);

	EXPECT_TRUE(is_zero(part, PART_SIZE));
	EXPECT_ALL_BUT_PART(m->map);
	pages_fill(part, PART, PART_PAGES, CHANGED);
	EXPECT_EQ(0, pages_differ_in(m->file.fd, PART, PART_PAGES, CHANGED));
	EXPECT_ALL_BUT_PART(m->map);
}

TEST_F_TIMEOUT(mapped, punch_part, TIMEOUT)
{
	struct mapped *m = &self->m;

	ASSERT_EQ(0, fallocate(m->file.fd, FALLOC_FL_PUNCH_HOLE |
			       FALLOC_FL_KEEP_SIZE, PART * PTE_SIZE,
			       PART_SIZE));
	play_punch(_metadata, m);
}

/* mprotect(2) */

TEST_F_TIMEOUT(mapped, mprotect_part, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *part = part_of(m->map);

	ASSERT_EQ(0, mprotect(part, PART_SIZE, PROT_READ));
	EXPECT_FALSE(can_write(part));
	EXPECT_FALSE(can_write(part + PART_SIZE - 1));
	EXPECT_TRUE(can_write(part - 1));
	EXPECT_TRUE(can_write(part + PART_SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);

	ASSERT_EQ(0, mprotect(part, PART_SIZE, PROT_NONE));
	EXPECT_FALSE(can_read(part));
	EXPECT_FALSE(can_read(part + PART_SIZE - 1));
	EXPECT_TRUE(can_write(part - 1));
	EXPECT_TRUE(can_write(part + PART_SIZE));

	ASSERT_EQ(0, mprotect(part, PART_SIZE, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(can_write(part));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
	EXPECT_EQ(huge(m, PMD_SIZE), view_huge(m->map, PMD_SIZE));
}

TEST_F_TIMEOUT(mapped, mprotect_all, TIMEOUT)
{
	struct mapped *m = &self->m;

	ASSERT_EQ(0, mprotect(m->map, SIZE, PROT_READ));
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_FALSE(can_write(m->map));
	EXPECT_FALSE(can_write(m->map + SIZE - 1));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);

	ASSERT_EQ(0, mprotect(m->map, SIZE, PROT_NONE));
	EXPECT_FALSE(can_read(m->map));

	ASSERT_EQ(0, mprotect(m->map, SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_TRUE(can_write(m->map));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

/* A file whose mapping was made clean notices when it is written to again. */
TEST_F_TIMEOUT(mapped, write_after_sync, TIMEOUT)
{
	struct mapped *m = &self->m;

	for (int i = 0; i < 3; i++) {
		char who = i % 2 ? ORIGINAL : CHANGED;

		pages_fill(part_of(m->map), PART, PART_PAGES, who);
		ASSERT_EQ(0, i ? msync(m->map, SIZE, MS_SYNC) :
			  fsync(m->file.fd));
		EXPECT_PAGES(part_of(m->map), PART, PART_PAGES, who);
		EXPECT_EQ(0, pages_differ_in(m->file.fd, PART, PART_PAGES, who));
	}
	EXPECT_ALL_BUT_PART(m->map);
	if (!m->shared)
		EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
}

/* A private mapping's own pages go, the file's do not change. */
TEST_F_TIMEOUT(mapped, private_write, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *map = mapped_again(m, 0, SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE, 0);

	ASSERT_NE(NULL, map);
	pages_touch(map, 0, PAGES, false);
	EXPECT_EQ(huge(m, SIZE), view_huge(map, SIZE));
	pages_fill(part_of(map), PART, PART_PAGES, PRIVATE);
	EXPECT_EQ(huge(m, PMD_SIZE), view_huge(map, SIZE));
	EXPECT_PAGES(part_of(map), PART, PART_PAGES, PRIVATE);
	EXPECT_ALL_BUT_PART(map);
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);

	ASSERT_EQ(0, madvise(map, SIZE, MADV_DONTNEED));
	EXPECT_PAGES(map, 0, PAGES, ORIGINAL);
	munmap(map, SIZE);
}

/* madvise(2) */

/* Advice that must not change what is mapped. */
static void play_harmless(struct __test_metadata *_metadata, struct mapped *m,
			  int advice)
{
	EXPECT_EQ(0, madvise(part_of(m->map), PART_SIZE, advice));
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_EQ(0, madvise(m->map, SIZE, advice));
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

TEST_F_TIMEOUT(mapped, madvise_cold, TIMEOUT)
{
	play_harmless(_metadata, &self->m, MADV_COLD);
}

TEST_F_TIMEOUT(mapped, madvise_pageout, TIMEOUT)
{
	play_harmless(_metadata, &self->m, MADV_PAGEOUT);
}

TEST_F_TIMEOUT(mapped, madvise_willneed, TIMEOUT)
{
	play_harmless(_metadata, &self->m, MADV_WILLNEED);
}

TEST_F_TIMEOUT(mapped, madvise_hugepage, TIMEOUT)
{
	play_harmless(_metadata, &self->m, MADV_HUGEPAGE);
}

/* The same for a mapping whose pages are in part its own. */
static void play_private(struct __test_metadata *_metadata, struct mapped *m,
			 int advice)
{
	char *map = mapped_again(m, 0, SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE, 0);

	ASSERT_NE(NULL, map);
	pages_touch(map, 0, PAGES, false);
	pages_fill(part_of(map), PART, PART_PAGES, PRIVATE);
	EXPECT_EQ(0, madvise(map, SIZE, advice));
	EXPECT_PAGES(part_of(map), PART, PART_PAGES, PRIVATE);
	EXPECT_ALL_BUT_PART(map);
	munmap(map, SIZE);
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

TEST_F_TIMEOUT(mapped, madvise_cold_private, TIMEOUT)
{
	play_private(_metadata, &self->m, MADV_COLD);
}

TEST_F_TIMEOUT(mapped, madvise_pageout_private, TIMEOUT)
{
	play_private(_metadata, &self->m, MADV_PAGEOUT);
}

TEST_F_TIMEOUT(mapped, madvise_dontneed, TIMEOUT)
{
	struct mapped *m = &self->m;

	ASSERT_EQ(0, madvise(part_of(m->map), PART_SIZE, MADV_DONTNEED));
	EXPECT_EQ(0, view_present(part_of(m->map), PART_SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
	ASSERT_EQ(0, madvise(m->map, SIZE, MADV_DONTNEED));
	EXPECT_EQ(0, view_present(m->map, SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
}

static void play_populate(struct __test_metadata *_metadata, struct mapped *m,
			  int advice)
{
	ASSERT_EQ(0, madvise(m->map, SIZE, MADV_DONTNEED));
	ASSERT_EQ(0, madvise(part_of(m->map), PART_SIZE, advice));
	EXPECT_EQ(PART_SIZE, view_present(part_of(m->map), PART_SIZE));
	EXPECT_EQ(0, view_present(m->map, PMD_SIZE));
	ASSERT_EQ(0, madvise(m->map, SIZE, advice));
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

TEST_F_TIMEOUT(mapped, madvise_populate_read, TIMEOUT)
{
	play_populate(_metadata, &self->m, MADV_POPULATE_READ);
}

TEST_F_TIMEOUT(mapped, madvise_populate_write, TIMEOUT)
{
	play_populate(_metadata, &self->m, MADV_POPULATE_WRITE);
}

TEST_F_TIMEOUT(mapped, madvise_free_is_refused, TIMEOUT)
{
	struct mapped *m = &self->m;

	EXPECT_EQ(-1, madvise(m->map, SIZE, MADV_FREE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

TEST_F_TIMEOUT(mapped, madvise_remove, TIMEOUT)
{
	struct mapped *m = &self->m;

	ASSERT_EQ(0, madvise(part_of(m->map), PART_SIZE, MADV_REMOVE));
	play_punch(_metadata, m);
}

/* mlock(2): a device's memory is always there, so there is nothing to do. */

static void play_locked(struct __test_metadata *_metadata, char *map,
			long before)
{
	EXPECT_EQ(SIZE, view_present(map, SIZE));
	EXPECT_EQ(0, view_kb(map, "Locked"));
	EXPECT_EQ(before, view_status_kb("VmLck"));
	EXPECT_FALSE(view_flag(map, "lo"));
	EXPECT_PAGES(map, 0, PAGES, ORIGINAL);
}

TEST_F_TIMEOUT(mapped, mlock, TIMEOUT)
{
	struct mapped *m = &self->m;
	long before = view_status_kb("VmLck");

	ASSERT_LE(0, before);
	ASSERT_EQ(0, mlock(m->map, SIZE));
	play_locked(_metadata, m->map, before);
	EXPECT_EQ(0, munlock(part_of(m->map), PART_SIZE));
	play_locked(_metadata, m->map, before);
	EXPECT_EQ(0, munlock(m->map, SIZE));
	play_locked(_metadata, m->map, before);
}

TEST_F_TIMEOUT(mapped, map_locked, TIMEOUT)
{
	struct mapped *m = &self->m;
	long before = view_status_kb("VmLck");
	char *map;

	ASSERT_LE(0, before);
	map = mapped_again(m, 0, SIZE, PROT_READ, MAP_SHARED | MAP_LOCKED, 0);
	ASSERT_NE(NULL, map);
	play_locked(_metadata, map, before);
	EXPECT_EQ(0, munmap(map, SIZE));
	EXPECT_EQ(before, view_status_kb("VmLck"));
}

/* KSM and khugepaged, which look for pages to replace. */

#define KSM "/sys/kernel/mm/ksm/"
#define THP "/sys/kernel/mm/transparent_hugepage/"
#define GIVE_UP_SECS 40

/* Wait until a counter has come far enough. */
static bool reaches(const char *path, long number)
{
	time_t give_up = time(NULL) + GIVE_UP_SECS;

	while (view_number(path) < number) {
		if (time(NULL) > give_up)
			return false;
		usleep(1000);
	}
	return true;
}

/*
 * Pages with what the file's have in them are merged with each other, and with
 * the file's they are not.
 */
TEST_F_TIMEOUT(mapped, ksm, TIMEOUT)
{
	struct mapped *m = &self->m;
	long run = view_number(KSM "run"), before, scans;
	uint64_t frame = view_page(part_of(m->map)) & VIEW_PFN;
	size_t len = 2 * PTE_SIZE;
	char *decoy;

	if (run < 0)
		SKIP(return, "no KSM (CONFIG_KSM)");
	decoy = mmap(NULL, len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, decoy);
	pages_fill(decoy, PART, 1, ORIGINAL);
	pages_fill(decoy + PTE_SIZE, PART, 1, ORIGINAL);
	before = view_number("/proc/self/ksm_merging_pages");
	EXPECT_EQ(0, madvise(decoy, len, MADV_MERGEABLE));
	EXPECT_EQ(0, madvise(m->map, SIZE, MADV_MERGEABLE));
	EXPECT_FALSE(view_flag(m->map, "mg"));

	EXPECT_EQ(0, view_set_number(KSM "run", 1));
	EXPECT_TRUE(reaches("/proc/self/ksm_merging_pages", before + 2));
	scans = view_number(KSM "full_scans");
	EXPECT_TRUE(reaches(KSM "full_scans", scans + 2));
	EXPECT_EQ(0, view_set_number(KSM "run", run));

	EXPECT_EQ(before + 2, view_number("/proc/self/ksm_merging_pages"));
	EXPECT_EQ(frame, view_page(part_of(m->map)) & VIEW_PFN);
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
	EXPECT_EQ(0, madvise(m->map, SIZE, MADV_UNMERGEABLE));
	munmap(decoy, len);
}

TEST_F_TIMEOUT(mapped, collapse_is_refused, TIMEOUT)
{
	struct mapped *m = &self->m;

	EXPECT_EQ(-1, madvise(m->map, SIZE, MADV_COLLAPSE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

TEST_F_TIMEOUT(mapped, collapse_private_is_refused, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *map = mapped_again(m, 0, SIZE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE, 0);

	ASSERT_NE(NULL, map);
	pages_touch(map, 0, PAGES, false);
	pages_fill(part_of(map), PART, PART_PAGES, PRIVATE);
	EXPECT_EQ(-1, madvise(map, SIZE, MADV_COLLAPSE));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(huge(m, PMD_SIZE), view_huge(map, SIZE));
	EXPECT_PAGES(part_of(map), PART, PART_PAGES, PRIVATE);
	EXPECT_ALL_BUT_PART(map);
	munmap(map, SIZE);
}

/* A PMD of anonymous pages that khugepaged has something to do with. */
static char *collapsible(void)
{
	char *at = address_space(PMD_SIZE, 0);

	if (!at || mprotect(at, PMD_SIZE, PROT_READ | PROT_WRITE) ||
	    madvise(at, PMD_SIZE, MADV_NOHUGEPAGE))
		return NULL;
	pages_fill(at, 0, PMD_PAGES, PRIVATE);
	return madvise(at, PMD_SIZE, MADV_HUGEPAGE) ? NULL : at;
}

static bool thp_never(void)
{
	int fd = open(THP "enabled", O_RDONLY | O_CLOEXEC);
	char line[128];
	ssize_t n;

	if (fd < 0)
		return true;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	line[n > 0 ? n : 0] = '\0';
	return strstr(line, "[never]");
}

TEST_F_TIMEOUT(mapped, khugepaged, TIMEOUT)
{
	struct mapped *m = &self->m;
	long millisecs = view_number(THP "khugepaged/scan_sleep_millisecs");
	long scans;
	char *decoy;

	if (millisecs < 0 || thp_never())
		SKIP(return, "no khugepaged (" THP "enabled)");
	decoy = collapsible();
	ASSERT_NE(NULL, decoy);
	ASSERT_EQ(0, madvise(m->map, SIZE, MADV_HUGEPAGE));
	scans = view_number(THP "khugepaged/full_scans");
	EXPECT_EQ(0, view_set_number(THP "khugepaged/scan_sleep_millisecs", 0));
	EXPECT_TRUE(reaches(THP "khugepaged/full_scans", scans + 2));
	EXPECT_EQ(0, view_set_number(THP "khugepaged/scan_sleep_millisecs",
				     millisecs));
	EXPECT_EQ(PMD_SIZE, view_huge(decoy, PMD_SIZE));
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
	munmap(decoy, PMD_SIZE);
}

/* userfaultfd(2) */

#define VIEW_UFFD_WP _BITULL(57)

TEST_F_TIMEOUT(mapped, userfaultfd_is_refused, TIMEOUT)
{
	static const __u64 modes[] = {
		UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP,
		UFFDIO_REGISTER_MODE_MINOR,
		UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP,
	};
	int fd = uffd_open(0);

	if (fd < 0)
		SKIP(return, "no userfaultfd (CONFIG_USERFAULTFD)");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		EXPECT_EQ(-EINVAL, uffd_register(fd, self->m.map, SIZE,
						 modes[i]));
	close(fd);
	EXPECT_PAGES(self->m.map, 0, PAGES, ORIGINAL);
}

static int protected_pages(const char *map, size_t first, size_t pages)
{
	int n = 0;

	for (size_t i = first; i < first + pages; i++)
		n += !!(view_page(map + i * PTE_SIZE) & VIEW_UFFD_WP);
	return n;
}

/* Writes are noted, not reported: any kind of memory can be tracked like that. */
TEST_F_TIMEOUT(mapped, userfaultfd_tracks_writes, TIMEOUT / 4)
{
	struct mapped *m = &self->m;
	char *part = part_of(m->map);
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);

	if (fd < 0)
		SKIP(return, "no asynchronous write protection (CONFIG_PTE_MARKER_UFFD_WP)");
	ASSERT_EQ(0, uffd_register(fd, m->map, SIZE, UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, uffd_protect(fd, m->map, SIZE));
	EXPECT_EQ(PAGES, protected_pages(m->map, 0, PAGES));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
	EXPECT_EQ(PAGES, protected_pages(m->map, 0, PAGES));
	pages_fill(part, PART, PART_PAGES, CHANGED);
	EXPECT_EQ(0, protected_pages(m->map, PART, PART_PAGES));
	EXPECT_EQ(PMD_PAGES, protected_pages(m->map, 0, PMD_PAGES));
	close(fd);
	EXPECT_PAGES(part, PART, PART_PAGES, CHANGED);
	EXPECT_ALL_BUT_PART(m->map);
	EXPECT_EQ(0, pages_differ_in(m->file.fd, PART, PART_PAGES, CHANGED));
}

TEST_F_TIMEOUT(mapped, userfaultfd_tracks_part, TIMEOUT / 4)
{
	struct mapped *m = &self->m;
	char *part = part_of(m->map);
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);

	if (fd < 0)
		SKIP(return, "no asynchronous write protection (CONFIG_PTE_MARKER_UFFD_WP)");
	ASSERT_EQ(0, uffd_register(fd, m->map, SIZE, UFFDIO_REGISTER_MODE_WP));
	ASSERT_EQ(0, uffd_protect(fd, part, PART_SIZE));
	EXPECT_EQ(PART_PAGES, protected_pages(m->map, 0, PAGES));
	pages_fill(part, PART, PART_PAGES, CHANGED);
	EXPECT_EQ(0, protected_pages(m->map, 0, PAGES));
	close(fd);
	EXPECT_PAGES(part, PART, PART_PAGES, CHANGED);
	EXPECT_ALL_BUT_PART(m->map);
	EXPECT_EQ(0, pages_differ_in(m->file.fd, PART, PART_PAGES, CHANGED));
}

/*
 * A scan protects an entry as a whole, whatever its size, and finds it again
 * after a write to any part of it, but not before.
 */
TEST_F_TIMEOUT(mapped, userfaultfd_scan_finds_writes, TIMEOUT / 4)
{
	struct mapped *m = &self->m;
	char *part = part_of(m->map);
	long entry = m->unit == UNIT_PMD ? PMD_SIZE : PTE_SIZE;
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);

	if (fd < 0)
		SKIP(return, "no asynchronous write protection (CONFIG_PTE_MARKER_UFFD_WP)");
	ASSERT_EQ(0, uffd_register(fd, m->map, SIZE, UFFDIO_REGISTER_MODE_WP));
	EXPECT_EQ(SIZE, view_written(m->map, SIZE, true));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
		pages_touch(m->map, 0, PAGES, false);
		EXPECT_EQ(0, view_written(m->map, SIZE, false));
		part[i] = ~part[i];
		EXPECT_EQ(0, view_written(m->map, PMD_SIZE, false));
		EXPECT_EQ(entry, view_written(m->map + PMD_SIZE, PMD_SIZE,
					      true));
	}
	close(fd);
	for (int i = 0; i < 3; i++)
		part[i] = ~part[i];
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
	EXPECT_EQ(0, pages_differ_in(m->file.fd, 0, PAGES, ORIGINAL));
}

/* What /proc tells */

/* Pages of the mapping whose words have all of these bits. */
static int words_with(const char *map, uint64_t bits)
{
	int n = 0;

	for (long i = 0; i < PAGES; i++)
		n += (view_page(map + i * PTE_SIZE) & bits) == bits;
	return n;
}

/* The frame of a page right after it was touched. */
static uint64_t frame_at(char *at)
{
	pages_touch(at, 0, 1, false);
	return view_page(at) & VIEW_PFN;
}

/* Pages that the two map from different places. */
static int frames_differ(char *map, char *other)
{
	int bad = 0;

	for (long i = 0; i < SIZE; i += PTE_SIZE)
		bad += frame_at(map + i) != frame_at(other + i);
	return bad;
}

TEST_F_TIMEOUT(mapped, pagemap_frames, TIMEOUT)
{
	struct mapped *m = &self->m;
	uint64_t frame = 0;
	char *other;

	EXPECT_EQ(PAGES, words_with(m->map, VIEW_PRESENT));
	for (long i = 0; i < PAGES && m->unit != UNIT_PTE; i++) {
		if (i % PMD_PAGES == 0)
			frame = view_page(m->map + i * PTE_SIZE) & VIEW_PFN;
		ASSERT_EQ(frame + i % PMD_PAGES,
			  view_page(m->map + i * PTE_SIZE) & VIEW_PFN);
		ASSERT_EQ(0UL, frame % PMD_PAGES);
	}
	other = mapped_again(m, 0, SIZE, PROT_READ, MAP_SHARED, PTE_SIZE);
	ASSERT_NE(NULL, other);
	EXPECT_EQ(0, frames_differ(m->map, other));
	EXPECT_EQ(0, view_huge(other, SIZE));
	if (m->twin_map)
		EXPECT_EQ(0, frames_differ(m->map, m->twin_map));
	munmap(other, SIZE);
}

/* Who reads the file by another mapping has to leave the first one alone. */
TEST_F_TIMEOUT(mapped, two_readers, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *other;

	other = mapped_again(m, 0, SIZE, PROT_READ, MAP_SHARED, PTE_SIZE);
	ASSERT_NE(NULL, other);
	pages_touch(other, 0, PAGES, false);
	EXPECT_EQ(SIZE, view_present(other, SIZE));
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	munmap(other, SIZE);
}

TEST_F_TIMEOUT(mapped, pagemap_file, TIMEOUT)
{
	EXPECT_EQ(PAGES, words_with(self->m.map, VIEW_PRESENT | VIEW_FILE));
}

/* Whether a page is mapped once is right for every page, however it is mapped. */
TEST_F_TIMEOUT(mapped, pagemap_exclusive, TIMEOUT)
{
	struct mapped *m = &self->m;
	int alone = m->shared ? 0 : PAGES;
	char *other;

	EXPECT_EQ(alone, words_with(m->map, VIEW_EXCLUSIVE));
	other = mapped_again(m, 0, SIZE, PROT_READ, MAP_SHARED, PTE_SIZE);
	ASSERT_NE(NULL, other);
	pages_touch(part_of(other), PART, PART_PAGES, false);
	EXPECT_EQ(m->shared ? 0 : PAGES - PART_PAGES,
		  words_with(m->map, VIEW_EXCLUSIVE));
	EXPECT_EQ(0, words_with(other, VIEW_EXCLUSIVE));
	pages_touch(other, 0, PAGES, false);
	EXPECT_EQ(0, words_with(m->map, VIEW_EXCLUSIVE));
	munmap(other, SIZE);
	EXPECT_EQ(alone, words_with(m->map, VIEW_EXCLUSIVE));
}

/* The kpage* files only know the pages of memory that is online. */
TEST_F_TIMEOUT(mapped, kpage, TIMEOUT)
{
	static const long pages[] = { 0, 1, PMD_PAGES, PART, PAGES - 1 };
	struct mapped *m = &self->m;
	uint64_t frame, word;

	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		frame = view_page(m->map + pages[i] * PTE_SIZE) & VIEW_PFN;
		if (view_frame("kpagecount", frame, &word) == -ENODATA)
			SKIP(return, "the device is behind all memory");
		ASSERT_EQ(0, view_frame("kpagecount", frame, &word));
		EXPECT_EQ(0UL, word);
		ASSERT_EQ(0, view_frame("kpageflags", frame, &word));
		EXPECT_EQ(1UL << KPF_NOPAGE, word);
	}
}

TEST_F_TIMEOUT(mapped, smaps_rss, TIMEOUT)
{
	struct mapped *m = &self->m;
	const char *kind = m->shared ? "Shared_Clean" : "Private_Dirty";

	EXPECT_EQ(SIZE / 1024, view_kb(m->map, "Size"));
	EXPECT_EQ(SIZE / 1024, view_kb(m->map, "Rss"));
	EXPECT_EQ(SIZE / 1024, view_kb(m->map, "Referenced"));
	EXPECT_EQ(SIZE / 1024 / (m->shared ? 2 : 1), view_kb(m->map, "Pss"));
	EXPECT_EQ(SIZE / 1024, view_kb(m->map, kind));
	ASSERT_EQ(0, madvise(m->map, PMD_SIZE, MADV_DONTNEED));
	EXPECT_EQ(PMD_SIZE / 1024, view_kb(m->map, "Rss"));
	EXPECT_EQ(PMD_SIZE / 1024, view_kb(m->map, kind));
}

/* Two mappings share what they have in common, one by PTEs and one as it may. */
TEST_F_TIMEOUT(mapped, smaps_shared, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *other;

	if (m->shared)
		SKIP(return, "smaps_rss has two mappings of a page");
	other = mapped_again(m, 0, SIZE, PROT_READ, MAP_SHARED, PTE_SIZE);
	ASSERT_NE(NULL, other);
	pages_touch(other, 0, PAGES, false);
	EXPECT_EQ(SIZE / 1024, view_kb(m->map, "Rss"));
	EXPECT_EQ(SIZE / 1024, view_kb(other, "Rss"));
	EXPECT_EQ(SIZE / 1024, view_kb(m->map, "Shared_Dirty"));
	EXPECT_EQ(SIZE / 1024, view_kb(other, "Shared_Clean"));
	EXPECT_EQ(SIZE / 1024 / 2, view_kb(m->map, "Pss"));
	EXPECT_EQ(SIZE / 1024 / 2, view_kb(other, "Pss"));
	munmap(other, SIZE);
}

/* No memory of the kernel's, and none that could be. */
TEST_F_TIMEOUT(mapped, smaps_kinds, TIMEOUT)
{
	static const char * const none[] = {
		"Anonymous", "KSM", "LazyFree", "AnonHugePages",
		"ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb",
		"Private_Hugetlb", "Swap", "SwapPss", "Locked", "THPeligible",
	};
	struct mapped *m = &self->m;

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		EXPECT_EQ(0, view_kb(m->map, none[i])) {
			TH_LOG("%s", none[i]);
		}
	}
}

TEST_F_TIMEOUT(mapped, clear_refs, TIMEOUT)
{
	struct mapped *m = &self->m;

	ASSERT_EQ(0, view_set_number("/proc/self/clear_refs", 1));
	EXPECT_EQ(0, view_kb(m->map, "Referenced"));
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

TEST_F_TIMEOUT(mapped, mincore, TIMEOUT)
{
	static unsigned char resident[PAGES];
	struct mapped *m = &self->m;

	ASSERT_EQ(0, mincore(m->map, SIZE, resident));
	for (long i = 0; i < PAGES; i++)
		ASSERT_EQ(1, resident[i]);
	ASSERT_EQ(0, madvise(m->map, SIZE, MADV_DONTNEED));
	ASSERT_EQ(0, mincore(m->map, SIZE, resident));
	for (long i = 0; i < PAGES; i++)
		ASSERT_EQ(0, resident[i]);
}

/* Nothing of the file is in the page cache, nor has it been. */
TEST_F_TIMEOUT(mapped, cachestat, TIMEOUT)
{
	/* The first byte and the length of all of the file. */
	__u64 range[2] = { 0, 0 };
	/* Pages that are cached, dirty, written, evicted, and evicted just now. */
	__u64 stat[5] = { 1, 1, 1, 1, 1 };

	ASSERT_EQ(0, syscall(__NR_cachestat, self->m.file.fd, range, stat, 0));
	for (size_t i = 0; i < ARRAY_SIZE(stat); i++)
		EXPECT_EQ(0ULL, stat[i]);
}

/* NUMA: a device's memory is where it is, and belongs to no node's statistics. */

static bool has_node(int node)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/devices/system/node/node%d", node);
	return !access(path, F_OK);
}

TEST_F_TIMEOUT(mapped, numa_maps, TIMEOUT)
{
	char line[512];

	if (!has_node(0))
		SKIP(return, "no NUMA (CONFIG_NUMA)");
	ASSERT_EQ(0, view_numa(self->m.map, line, sizeof(line)));
	EXPECT_EQ(NULL, strstr(line, " N0=")) {
		TH_LOG("%s", line);
	}
	EXPECT_EQ(NULL, strstr(line, " N1=")) {
		TH_LOG("%s", line);
	}
}

#define MOVED 4

/* Ask about, or move to node 0, pages of both PMDs. */
static long move_some(char *map, bool move, int status[MOVED])
{
	static const int nodes[MOVED] = { 0 };
	void *pages[MOVED] = {
		map, map + PTE_SIZE, part_of(map), map + SIZE - PTE_SIZE,
	};

	return syscall(SYS_move_pages, 0, MOVED, pages, move ? nodes : NULL,
		       status, MPOL_MF_MOVE);
}

TEST_F_TIMEOUT(mapped, move_pages_is_refused, TIMEOUT)
{
	struct mapped *m = &self->m;
	int status[MOVED] = { 0 };

	if (!has_node(0))
		SKIP(return, "no NUMA (CONFIG_NUMA)");
	EXPECT_EQ(0, move_some(m->map, false, status));
	for (int i = 0; i < MOVED; i++)
		EXPECT_EQ(-ENOENT, status[i]);
	move_some(m->map, true, status);
	for (int i = 0; i < MOVED; i++)
		EXPECT_EQ(-EFAULT, status[i]);
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

static long bind(char *map, unsigned long node, unsigned int flags)
{
	unsigned long nodes = 1UL << node;

	return syscall(SYS_mbind, map, SIZE, MPOL_BIND, &nodes,
		       8 * sizeof(nodes), flags) ? -errno : 0;
}

/* The node of the page at @at, or -1. */
static int node_at(const char *at)
{
	int node;

	return syscall(SYS_get_mempolicy, &node, NULL, 0, at,
		       MPOL_F_NODE | MPOL_F_ADDR) ? -1 : node;
}

TEST_F_TIMEOUT(mapped, mbind_own_node, TIMEOUT)
{
	struct mapped *m = &self->m;
	int own = node_at(m->map);

	if (own < 0)
		SKIP(return, "no NUMA (CONFIG_NUMA)");
	EXPECT_EQ(0, bind(m->map, own, MPOL_MF_MOVE | MPOL_MF_STRICT));
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

/* Pages do not move; only of larger ones, the kernel says that they should. */
TEST_F_TIMEOUT(mapped, mbind_other_node, TIMEOUT)
{
	struct mapped *m = &self->m;
	uint64_t frame = view_page(part_of(m->map)) & VIEW_PFN;
	int other = !node_at(m->map);

	if (!has_node(1))
		SKIP(return, "one NUMA node (numa=fake=2, CONFIG_NUMA_EMU)");
	EXPECT_EQ(m->unit == UNIT_PMD ? -EIO : 0,
		  bind(m->map, other, MPOL_MF_MOVE | MPOL_MF_STRICT));
	EXPECT_EQ(0, bind(m->map, other, MPOL_MF_MOVE));
	EXPECT_EQ(frame, view_page(part_of(m->map)) & VIEW_PFN);
	EXPECT_EQ(SIZE, view_present(m->map, SIZE));
	EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	EXPECT_PAGES(m->map, 0, PAGES, ORIGINAL);
}

/*
 * A read-only image of files with chunks of a PMD's size. It holds each of them
 * once: two files have all of theirs in common, and one has each of its own
 * twice.
 */

FIXTURE(chunks) {
	struct provider fs;
	long taint;
};

FIXTURE_VARIANT(chunks) {
	struct provider fs;
};

/* mkfs.erofs makes an image with chunks of a file only. */
static const char image_script[] =
	"mkfs.erofs --quiet --chunksize=2097152 $1.img $1 && cat $1.img > $0 && rm $1.img";

FIXTURE_VARIANT_ADD(chunks, erofs) {
	.fs = {
		.name = "erofs", .fstype = "erofs", .options = "dax=always",
		.image = true,
		.mkfs = { "sh", "-c", image_script, MKFS_DEV },
	},
};

#define CHUNKS_COMMON 3
#define CHUNKS_OWN 2

/* The directory that the image is made of; valid until the next call. */
static const char *source_dir(void)
{
	const char *top = getenv("DAX_DIR");
	static char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s-source", top ? top : "/tmp/dax");
	return dir;
}

/* Add a file of @chunks chunks, of which @distinct are distinct. */
static int source_add(const char *name, size_t chunks, size_t distinct,
		      char who)
{
	static char chunk[PMD_SIZE];
	struct dax_file f = DAX_FILE_NONE;
	int error = file_create(&f, source_dir(), name, 0, who);

	for (size_t i = 0; i < chunks && !error; i++) {
		pages_fill(chunk, i % distinct * PMD_PAGES, PMD_PAGES, who);
		if (write(f.fd, chunk, PMD_SIZE) != PMD_SIZE)
			error = errno ? -errno : -EIO;
	}
	file_close(&f);
	return error;
}

static int source_make(size_t ballast)
{
	struct dax_file f = DAX_FILE_NONE;
	int error;

	if (mkdir(source_dir(), 0700) && errno != EEXIST)
		return -errno;
	error = file_create(&f, source_dir(), "ballast",
			    ballast * PTE_SIZE, PRIVATE);
	file_close(&f);
	if (!error)
		error = source_add("one", CHUNKS_COMMON, CHUNKS_COMMON,
				   ORIGINAL);
	if (!error)
		error = source_add("two", CHUNKS_COMMON, CHUNKS_COMMON,
				   ORIGINAL);
	if (!error)
		error = source_add("own", 2 * CHUNKS_OWN, CHUNKS_OWN, CHANGED);
	return error;
}

static void source_remove(void)
{
	static const char * const names[] = { "ballast", "one", "two", "own" };
	char path[PATH_MAX + 16];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", source_dir(),
			 names[i]);
		unlink(path);
	}
	rmdir(source_dir());
}

static enum provision image_make(struct provider *fs, size_t ballast, char *why)
{
	int error = source_make(ballast), last = 0;
	enum provision made = BROKEN;

	while (fs->mkfs[last])
		last++;
	fs->mkfs[last] = source_dir();
	if (error)
		snprintf(why, REASON_MAX, "source of an image: %s",
			 strerror(-error));
	else
		made = provider_up(fs, why);
	fs->mkfs[last] = NULL;
	source_remove();
	return made;
}

static int image_file(const struct provider *fs, const char *name)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/%s", provider_dir(fs), name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The block that the first chunk begins with, or -errno. */
static int image_block(const struct provider *fs)
{
	int fd = image_file(fs, "one"), block = 0;

	if (fd < 0 || ioctl(fd, FIBMAP, &block))
		block = -errno;
	close(fd);
	return block;
}

/*
 * Nothing asks mkfs.erofs to align chunks on the device, so that a PMD can map
 * them. But a file in front of them moves them.
 */
FIXTURE_SETUP(chunks)
{
	size_t ballast = 1;
	int block;

	self->taint = view_taint();
	self->fs = variant->fs;
	for (int i = 0; i < 2; i++) {
		char why[REASON_MAX] = "";

		if (!provided(_metadata, image_make(&self->fs, ballast, why),
			      why))
			return;
		block = image_block(&self->fs);
		ASSERT_LT(0, block) {
			umount2(provider_dir(&self->fs), 0);
		}
		if (block % PMD_PAGES == 0)
			return;
		ballast += PMD_PAGES - block % PMD_PAGES;
		ASSERT_EQ(0, umount2(provider_dir(&self->fs), 0));
	}
	SKIP(return, "chunks are not aligned: block %d", block);
}

FIXTURE_TEARDOWN(chunks)
{
	EXPECT_EQ(0, umount2(provider_dir(&self->fs), 0));
	EXPECT_EQ(self->taint, view_taint()) {
		TH_LOG("the kernel has warned: see its log");
	}
}

static char *image_map(const struct provider *fs, const char *name, size_t len)
{
	char *at = address_space(len, 0), *map;
	int fd = image_file(fs, name);

	map = mmap(at, len, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	close(fd);
	return map == MAP_FAILED ? NULL : map;
}

static void expect_chunks(struct __test_metadata *_metadata, const char *map,
			  size_t chunks, size_t distinct, char who)
{
	size_t readable = 0;

	for (size_t i = 0; i < chunks * PMD_PAGES; i++)
		readable += can_read(map + i * PTE_SIZE);
	ASSERT_EQ(chunks * PMD_PAGES, readable);
	for (size_t i = 0; i < chunks; i++)
		EXPECT_PAGES(map + i * PMD_SIZE, i % distinct * PMD_PAGES,
			     PMD_PAGES, who);
}

TEST_F_TIMEOUT(chunks, of_two_files, TIMEOUT)
{
	size_t len = CHUNKS_COMMON * PMD_SIZE;
	char *one, *two;

	one = image_map(&self->fs, "one", len);
	ASSERT_NE(NULL, one);
	expect_chunks(_metadata, one, CHUNKS_COMMON, CHUNKS_COMMON, ORIGINAL);
	two = image_map(&self->fs, "two", len);
	ASSERT_NE(NULL, two);
	expect_chunks(_metadata, two, CHUNKS_COMMON, CHUNKS_COMMON, ORIGINAL);
	expect_chunks(_metadata, one, CHUNKS_COMMON, CHUNKS_COMMON, ORIGINAL);
	munmap(one, len);
	expect_chunks(_metadata, two, CHUNKS_COMMON, CHUNKS_COMMON, ORIGINAL);
	munmap(two, len);
}

TEST_F_TIMEOUT(chunks, of_one_file, TIMEOUT)
{
	size_t len = 2 * CHUNKS_OWN * PMD_SIZE;
	char *own = image_map(&self->fs, "own", len);

	ASSERT_NE(NULL, own);
	expect_chunks(_metadata, own, 2 * CHUNKS_OWN, CHUNKS_OWN, CHANGED);
	expect_chunks(_metadata, own, 2 * CHUNKS_OWN, CHUNKS_OWN, CHANGED);
	munmap(own, len);
}

TEST_HARNESS_MAIN
