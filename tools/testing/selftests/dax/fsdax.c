// SPDX-License-Identifier: GPL-2.0
/*
 * A filesystem must not take blocks away from under pages that are pinned.
 *
 * Every operation that frees or moves blocks is played against pages of a DAX
 * mapping that a pipe holds. It has to wait for as long as it covers a pinned
 * page, must not wait otherwise, and has to complete once the pipe is read; what
 * is read has to be what was pinned.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <linux/fiemap.h>
#include <linux/fs.h>

#include "../kselftest_harness.h"
#include "operation.h"
#include "provided.h"

#define PTE_SIZE 4096UL
#define PMD_SIZE (2UL << 20)
#define TIMEOUT 120

/* Fixtures: make the provider available and the victim mapped, or say why not. */

static void set_up(struct __test_metadata *_metadata, struct scene *s,
		   const char *name, size_t align)
{
	const struct provider *fs = provider_find(name);
	bool huge = align > PTE_SIZE;
	char why[REASON_MAX] = "";
	long faults;

	if (!provided(_metadata, provider_up(fs, why), why))
		return;
	if (huge && !fs->huge_faults)
		SKIP(return, "%s has no huge mappings", fs->name);

	ASSERT_EQ(0, scene_build(s, fs, align)) {
		scene_clear(s);
	}
	faults = scene_map(s);
	ASSERT_LE(0, faults) {
		scene_clear(s);
	}
	if (scene_mapped_huge(s, faults) != huge) {
		scene_clear(s);
		SKIP(return, "%ld faults: not mapped in units of %zu", faults,
		     align);
	}
}

/* What a case does. */

/* Start @op; false if the filesystem does not know it. */
static bool start(struct __test_metadata *_metadata, struct scene *s,
		  const struct operation *op, int *seen)
{
	ASSERT_EQ(0, scene_prepare(s, op));
	ASSERT_EQ(0, run_start(s, op));
	*seen = run_observe(&s->run);
	if (*seen == OP_RETURNED && (run_finish(&s->run) == EOPNOTSUPP ||
				     run_finish(&s->run) == ENOTTY))
		SKIP(return false, "%s cannot %s", s->fs->name, op->name);
	return true;
}

static void finish(struct __test_metadata *_metadata, struct scene *s)
{
	int content = pin_drop(&s->pin);

	EXPECT_EQ(PIN_KEPT, content) {
		TH_LOG("the pipe returned %s", pin_content_text(content));
	}
	EXPECT_EQ(0, run_finish(&s->run));
}

static void play_covered(struct __test_metadata *_metadata, struct scene *s,
			 const struct operation *op)
{
	int seen;

	if (!start(_metadata, s, op, &seen))
		return;
	EXPECT_EQ(OP_WAITS, seen) {
		TH_LOG("%s %s while a page is pinned that it covers", op->name,
		       outcome_text(seen));
	}
	EXPECT_EQ(0, scene_reuse_blocks(s, op));
	EXPECT_FALSE(run_ended(&s->run)) {
		TH_LOG("%s waited, but not for the pin to go", op->name);
	}
	finish(_metadata, s);
}

static void play_clear(struct __test_metadata *_metadata, struct scene *s,
		       const struct operation *op)
{
	int seen;

	if (!start(_metadata, s, op, &seen))
		return;
	EXPECT_EQ(OP_RETURNED, seen) {
		TH_LOG("%s %s for a page that it does not cover", op->name,
		       outcome_text(seen));
	}
	finish(_metadata, s);
}

/* One operation, with the pages inside, outside and straddling its range. */

FIXTURE(fsdax) {
	struct scene scene;
};

FIXTURE_VARIANT(fsdax) {
	const char *fs;
	size_t align;
	enum place place;
};

FIXTURE_VARIANT_ADD(fsdax, ext2_pte_inside) {
	.fs = "ext2", .align = PTE_SIZE, .place = INSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, ext2_pte_outside) {
	.fs = "ext2", .align = PTE_SIZE, .place = OUTSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, ext2_pte_straddling) {
	.fs = "ext2", .align = PTE_SIZE, .place = STRADDLING,
};

FIXTURE_VARIANT_ADD(fsdax, ext4_pte_inside) {
	.fs = "ext4", .align = PTE_SIZE, .place = INSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, ext4_pte_outside) {
	.fs = "ext4", .align = PTE_SIZE, .place = OUTSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, ext4_pte_straddling) {
	.fs = "ext4", .align = PTE_SIZE, .place = STRADDLING,
};

FIXTURE_VARIANT_ADD(fsdax, ext4_pmd_inside) {
	.fs = "ext4", .align = PMD_SIZE, .place = INSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, ext4_pmd_outside) {
	.fs = "ext4", .align = PMD_SIZE, .place = OUTSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, ext4_pmd_straddling) {
	.fs = "ext4", .align = PMD_SIZE, .place = STRADDLING,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_pte_inside) {
	.fs = "xfs", .align = PTE_SIZE, .place = INSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_pte_outside) {
	.fs = "xfs", .align = PTE_SIZE, .place = OUTSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_pte_straddling) {
	.fs = "xfs", .align = PTE_SIZE, .place = STRADDLING,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_pmd_inside) {
	.fs = "xfs", .align = PMD_SIZE, .place = INSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_pmd_outside) {
	.fs = "xfs", .align = PMD_SIZE, .place = OUTSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_pmd_straddling) {
	.fs = "xfs", .align = PMD_SIZE, .place = STRADDLING,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_reflink_pte_inside) {
	.fs = "xfs_reflink", .align = PTE_SIZE, .place = INSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_reflink_pte_outside) {
	.fs = "xfs_reflink", .align = PTE_SIZE, .place = OUTSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_reflink_pte_straddling) {
	.fs = "xfs_reflink", .align = PTE_SIZE, .place = STRADDLING,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_reflink_pmd_inside) {
	.fs = "xfs_reflink", .align = PMD_SIZE, .place = INSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_reflink_pmd_outside) {
	.fs = "xfs_reflink", .align = PMD_SIZE, .place = OUTSIDE,
};

FIXTURE_VARIANT_ADD(fsdax, xfs_reflink_pmd_straddling) {
	.fs = "xfs_reflink", .align = PMD_SIZE, .place = STRADDLING,
};

FIXTURE_SETUP(fsdax)
{
	set_up(_metadata, &self->scene, variant->fs, variant->align);
}

FIXTURE_TEARDOWN(fsdax)
{
	scene_clear(&self->scene);
}

static void play(struct __test_metadata *_metadata, struct scene *s,
		 const struct operation *op, enum place place)
{
	ASSERT_EQ(0, scene_pin(s, op, place));
	if (place == OUTSIDE)
		play_clear(_metadata, s, op);
	else
		play_covered(_metadata, s, op);
}

TEST_F_TIMEOUT(fsdax, truncate, TIMEOUT)
{
	play(_metadata, &self->scene, &op_truncate, variant->place);
}

TEST_F_TIMEOUT(fsdax, open_trunc, TIMEOUT)
{
	play(_metadata, &self->scene, &op_open_trunc, variant->place);
}

TEST_F_TIMEOUT(fsdax, punch_hole, TIMEOUT)
{
	play(_metadata, &self->scene, &op_punch_hole, variant->place);
}

TEST_F_TIMEOUT(fsdax, collapse_range, TIMEOUT)
{
	play(_metadata, &self->scene, &op_collapse_range, variant->place);
}

TEST_F_TIMEOUT(fsdax, insert_range, TIMEOUT)
{
	play(_metadata, &self->scene, &op_insert_range, variant->place);
}

TEST_F_TIMEOUT(fsdax, reflink_over_from_lower, TIMEOUT)
{
	play(_metadata, &self->scene, &op_reflink_over_from_lower,
	     variant->place);
}

TEST_F_TIMEOUT(fsdax, reflink_over_from_higher, TIMEOUT)
{
	play(_metadata, &self->scene, &op_reflink_over_from_higher,
	     variant->place);
}

TEST_F_TIMEOUT(fsdax, dedupe_over, TIMEOUT)
{
	play(_metadata, &self->scene, &op_dedupe_over, variant->place);
}

TEST_F_TIMEOUT(fsdax, unlink_close, TIMEOUT)
{
	play(_metadata, &self->scene, &op_unlink_close, variant->place);
}

TEST_F_TIMEOUT(fsdax, rename_over, TIMEOUT)
{
	play(_metadata, &self->scene, &op_rename_over, variant->place);
}

TEST_F_TIMEOUT(fsdax, unmount, TIMEOUT)
{
	play(_metadata, &self->scene, &op_unmount, variant->place);
}

/* The same with pages that nobody maps any more. */

FIXTURE(fsdax_unmapped) {
	struct scene scene;
};

FIXTURE_VARIANT(fsdax_unmapped) {
	const char *fs;
	size_t align;
};

FIXTURE_VARIANT_ADD(fsdax_unmapped, ext2_pte) {
	.fs = "ext2", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_unmapped, ext4_pte) {
	.fs = "ext4", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_unmapped, ext4_pmd) {
	.fs = "ext4", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_unmapped, xfs_pte) {
	.fs = "xfs", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_unmapped, xfs_pmd) {
	.fs = "xfs", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_unmapped, xfs_reflink_pte) {
	.fs = "xfs_reflink", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_unmapped, xfs_reflink_pmd) {
	.fs = "xfs_reflink", .align = PMD_SIZE,
};

FIXTURE_SETUP(fsdax_unmapped)
{
	set_up(_metadata, &self->scene, variant->fs, variant->align);
}

FIXTURE_TEARDOWN(fsdax_unmapped)
{
	scene_clear(&self->scene);
}

static void play_unmapped(struct __test_metadata *_metadata, struct scene *s,
			  const struct operation *op)
{
	ASSERT_EQ(0, scene_pin(s, op, INSIDE));
	file_unmap(&s->victim);
	play_covered(_metadata, s, op);
}

TEST_F_TIMEOUT(fsdax_unmapped, truncate, TIMEOUT)
{
	play_unmapped(_metadata, &self->scene, &op_truncate);
}

TEST_F_TIMEOUT(fsdax_unmapped, open_trunc, TIMEOUT)
{
	play_unmapped(_metadata, &self->scene, &op_open_trunc);
}

TEST_F_TIMEOUT(fsdax_unmapped, punch_hole, TIMEOUT)
{
	play_unmapped(_metadata, &self->scene, &op_punch_hole);
}

TEST_F_TIMEOUT(fsdax_unmapped, collapse_range, TIMEOUT)
{
	play_unmapped(_metadata, &self->scene, &op_collapse_range);
}

TEST_F_TIMEOUT(fsdax_unmapped, insert_range, TIMEOUT)
{
	play_unmapped(_metadata, &self->scene, &op_insert_range);
}

TEST_F_TIMEOUT(fsdax_unmapped, reflink_over_from_lower, TIMEOUT)
{
	play_unmapped(_metadata, &self->scene, &op_reflink_over_from_lower);
}

TEST_F_TIMEOUT(fsdax_unmapped, reflink_over_from_higher, TIMEOUT)
{
	play_unmapped(_metadata, &self->scene, &op_reflink_over_from_higher);
}

TEST_F_TIMEOUT(fsdax_unmapped, dedupe_over, TIMEOUT)
{
	play_unmapped(_metadata, &self->scene, &op_dedupe_over);
}

/* What the wait itself is like. */

FIXTURE(fsdax_wait) {
	struct scene scene;
};

FIXTURE_VARIANT(fsdax_wait) {
	const char *fs;
	size_t align;
};

FIXTURE_VARIANT_ADD(fsdax_wait, ext2_pte) {
	.fs = "ext2", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_wait, ext4_pte) {
	.fs = "ext4", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_wait, ext4_pmd) {
	.fs = "ext4", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_wait, xfs_pte) {
	.fs = "xfs", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_wait, xfs_pmd) {
	.fs = "xfs", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_wait, xfs_reflink_pte) {
	.fs = "xfs_reflink", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(fsdax_wait, xfs_reflink_pmd) {
	.fs = "xfs_reflink", .align = PMD_SIZE,
};

FIXTURE_SETUP(fsdax_wait)
{
	set_up(_metadata, &self->scene, variant->fs, variant->align);
}

FIXTURE_TEARDOWN(fsdax_wait)
{
	scene_clear(&self->scene);
}

/* A process that waits in @op dies when told to, and has changed nothing. */
static void play_killed(struct __test_metadata *_metadata, struct scene *s,
			const struct operation *op)
{
	struct stat st;
	int seen;

	ASSERT_EQ(0, scene_pin(s, op, INSIDE));
	if (!start(_metadata, s, op, &seen))
		return;
	ASSERT_EQ(OP_WAITS, seen) {
		TH_LOG("%s %s", op->name, outcome_text(seen));
	}
	EXPECT_TRUE(run_kill(&s->run));
	EXPECT_TRUE(WIFSIGNALED(s->run.status));
	EXPECT_EQ(0, fstat(s->victim.fd, &st));
	EXPECT_EQ(s->victim.size, (size_t)st.st_size);
	EXPECT_TRUE(pin_drop(&s->pin) == PIN_KEPT);
}

TEST_F_TIMEOUT(fsdax_wait, truncate_is_killable, TIMEOUT)
{
	play_killed(_metadata, &self->scene, &op_truncate);
}

TEST_F_TIMEOUT(fsdax_wait, punch_hole_is_killable, TIMEOUT)
{
	play_killed(_metadata, &self->scene, &op_punch_hole);
}

/* Whoever waits for an eviction can be killed; the blocks stay what they are. */
TEST_F_TIMEOUT(fsdax_wait, unlink_close_is_killable, TIMEOUT)
{
	struct scene *s = &self->scene;
	int seen;

	ASSERT_EQ(0, scene_pin(s, &op_unlink_close, INSIDE));
	ASSERT_TRUE(start(_metadata, s, &op_unlink_close, &seen));
	ASSERT_EQ(OP_WAITS, seen) {
		TH_LOG("unlink and close %s", outcome_text(seen));
	}
	EXPECT_TRUE(run_kill(&s->run));
	EXPECT_TRUE(WIFSIGNALED(s->run.status));
	EXPECT_EQ(0, scene_reuse_blocks(s, &op_unlink_close));
	EXPECT_TRUE(pin_drop(&s->pin) == PIN_KEPT);
}

/* Who exits with the file and the pipe open does not wait for itself. */
TEST_F_TIMEOUT(fsdax_wait, owner_exits, TIMEOUT)
{
	ASSERT_EQ(0, scene_prepare(&self->scene, &op_exit_with_pin));
	ASSERT_EQ(0, run_start(&self->scene, &op_exit_with_pin));
	EXPECT_EQ(0, run_finish(&self->scene.run));
}

/* Who closes the file and not the pipe does, but not beyond being killed. */
TEST_F_TIMEOUT(fsdax_wait, owner_is_killable, TIMEOUT)
{
	struct scene *s = &self->scene;
	int seen;

	ASSERT_TRUE(start(_metadata, s, &op_close_with_pin, &seen));
	EXPECT_EQ(OP_WAITS, seen);
	EXPECT_TRUE(run_kill(&s->run));
}

/* Neither does who exits as the last one to have the filesystem mounted. */
TEST_F_TIMEOUT(fsdax_wait, owner_exits_with_mount, TIMEOUT)
{
	ASSERT_EQ(0, scene_prepare(&self->scene, &op_exit_with_mount));
	ASSERT_EQ(0, run_start(&self->scene, &op_exit_with_mount));
	EXPECT_EQ(0, run_finish(&self->scene.run));
}

TEST_F_TIMEOUT(fsdax_wait, owner_unmounts_is_killable, TIMEOUT)
{
	struct scene *s = &self->scene;
	int seen;

	ASSERT_TRUE(start(_metadata, s, &op_unmount_with_pin, &seen));
	EXPECT_EQ(OP_WAITS, seen);
	EXPECT_TRUE(run_kill(&s->run));
}

/* What the scene has started waits for @pin, and @op does not wait for that. */
static void play_beside(struct __test_metadata *_metadata, struct scene *s,
			const struct operation *op, struct pin *pin)
{
	struct run waits = s->run;
	int seen;

	ASSERT_EQ(0, run_start(s, op));
	seen = run_observe(&s->run);
	EXPECT_EQ(OP_RETURNED, seen) {
		TH_LOG("%s %s", op->name, outcome_text(seen));
	}
	EXPECT_TRUE(pin_drop(pin) == PIN_KEPT);
	EXPECT_EQ(0, run_finish(&s->run));
	close(s->run.pidfd);
	s->run = waits;
	EXPECT_EQ(0, run_finish(&s->run));
}

/* A pin must not make a directory wait in which a file was renamed over. */
TEST_F_TIMEOUT(fsdax_wait, rename_over_leaves_directory, TIMEOUT)
{
	struct scene *s = &self->scene;
	int seen;

	ASSERT_EQ(0, scene_pin(s, &op_rename_over, INSIDE));
	ASSERT_TRUE(start(_metadata, s, &op_rename_over, &seen));
	EXPECT_EQ(OP_WAITS, seen);
	play_beside(_metadata, s, &op_create, &s->pin);
}

/*
 * Unmounting waits for a worker that waits for a deleted file. Meanwhile somebody
 * mounts the filesystem again, and leaves a pin of another file behind. That is
 * waited for, too, and with no lock that sync(2) needs.
 */
TEST_F_TIMEOUT(fsdax_wait, unmount_after_another_mount, TIMEOUT)
{
	struct scene *s = &self->scene;
	struct dax_file later = DAX_FILE_NONE;
	struct pin pin = PIN_NONE;
	int seen;

	ASSERT_EQ(0, scene_pin(s, &op_unlink_close, INSIDE));
	ASSERT_EQ(0, unlink(s->victim.path));
	/* Unlike close(2), munmap(2) does not wait. */
	close(s->victim.fd);
	s->victim.fd = -1;
	file_unmap(&s->victim);
	s->victim.ino = 0;	/* it is the worker that waits for its page */
	ASSERT_TRUE(start(_metadata, s, &op_unmount, &seen));
	ASSERT_EQ(OP_WAITS, seen);

	ASSERT_EQ(0, provider_mount(s->fs));
	ASSERT_EQ(0, pin_open(&pin));
	ASSERT_EQ(0, file_create(&later, provider_dir(s->fs), "created",
				 PTE_SIZE, 'c'));
	ASSERT_LE(0, file_map(&later, PTE_SIZE));
	ASSERT_EQ(0, pin_page(&pin, later.map, later.fill));
	file_close(&later);
	ASSERT_EQ(0, op_unmount.perform(s));

	EXPECT_TRUE(pin_drop(&s->pin) == PIN_KEPT);
	seen = run_observe(&s->run);
	ASSERT_EQ(OP_WAITS, seen);
	play_beside(_metadata, s, &op_sync, &pin);
	pin_close(&pin);
}

/* Closing an unlinked file waits for a pin, and @op does not wait for that. */
static void play_beside_eviction(struct __test_metadata *_metadata,
				 struct scene *s, const struct operation *op)
{
	int seen;

	ASSERT_EQ(0, scene_prepare(s, op));
	ASSERT_EQ(0, scene_pin(s, &op_unlink_close, INSIDE));
	ASSERT_TRUE(start(_metadata, s, &op_unlink_close, &seen));
	EXPECT_EQ(OP_WAITS, seen);
	play_beside(_metadata, s, op, &s->pin);
}

/* An inode that waits for a pin is unlinked and open, to who looks it up. */
TEST_F_TIMEOUT(fsdax_wait, unlink_close_leaves_handle, TIMEOUT)
{
	play_beside_eviction(_metadata, &self->scene, &op_open_by_handle);
}

/* Its dentry is gone from the directory. */
TEST_F_TIMEOUT(fsdax_wait, unlink_close_leaves_directory, TIMEOUT)
{
	play_beside_eviction(_metadata, &self->scene, &op_rmdir);
}

/* Two pipes hold the same page: the operation waits for the later one. */
static void play_held_twice(struct __test_metadata *_metadata, struct scene *s,
			    const struct operation *op)
{
	struct pin second = PIN_NONE;
	int seen;

	ASSERT_EQ(0, pin_open(&second));
	ASSERT_EQ(0, scene_pin(s, op, INSIDE));
	ASSERT_EQ(0, pin_page(&second, s->victim.map + s->from,
			      s->victim.fill));
	if (!start(_metadata, s, op, &seen))
		return;
	EXPECT_EQ(OP_WAITS, seen);
	EXPECT_TRUE(pin_drop(&second) == PIN_KEPT);
	seen = run_observe(&s->run);
	EXPECT_EQ(OP_WAITS, seen) {
		TH_LOG("%s goes on while one of two pins is left", op->name);
	}
	pin_close(&second);
	finish(_metadata, s);
}

TEST_F_TIMEOUT(fsdax_wait, truncate_held_twice, TIMEOUT)
{
	play_held_twice(_metadata, &self->scene, &op_truncate);
}

TEST_F_TIMEOUT(fsdax_wait, unlink_close_held_twice, TIMEOUT)
{
	play_held_twice(_metadata, &self->scene, &op_unlink_close);
}

/*
 * Writing to blocks that files share, while one of their pages is pinned. The
 * other file, the lower one, has never been mapped: nothing in memory says that
 * it has the block, too.
 */

FIXTURE(fsdax_cow) {
	struct scene scene;
};

FIXTURE_VARIANT(fsdax_cow) {
	bool again;	/* the other file is gone, but the next blocks are allocated */
};

FIXTURE_VARIANT_ADD(fsdax_cow, shared) {
	.again = false,
};

FIXTURE_VARIANT_ADD(fsdax_cow, unshared) {
	.again = true,
};

/* Its blocks go at once, the inode later. */
static int lower_remove(struct scene *s)
{
	int error = ftruncate(s->lower.fd, 0) || unlink(s->lower.path) ?
		    -errno : 0;

	file_close(&s->lower);
	return error;
}

FIXTURE_SETUP(fsdax_cow)
{
	struct scene *s = &self->scene;

	set_up(_metadata, s, "xfs_reflink", PTE_SIZE);
	ASSERT_EQ(0, ioctl(s->lower.fd, FICLONE, s->victim.fd));
	if (variant->again) {
		/* Blocks are allocated for the pages around this one as well. */
		s->victim.map[2 * s->unit + PTE_SIZE] = s->victim.fill;
		ASSERT_EQ(0, lower_remove(s));
	}
}

FIXTURE_TEARDOWN(fsdax_cow)
{
	scene_clear(&self->scene);
}

/* Where on the device the byte at @at of the victim is, or -1. */
static __s64 victim_block(struct scene *s, off_t at)
{
	char room[sizeof(struct fiemap) + sizeof(struct fiemap_extent)] = { 0 };
	struct fiemap *map = (struct fiemap *)room;

	map->fm_start = at;
	map->fm_length = 1;
	map->fm_extent_count = 1;
	if (ioctl(s->victim.fd, FS_IOC_FIEMAP, map) || !map->fm_mapped_extents)
		return -1;
	return map->fm_extents[0].fe_physical + at -
	       map->fm_extents[0].fe_logical;
}

static void play_cow(struct __test_metadata *_metadata, struct scene *s,
		     const struct operation *op)
{
	int seen;

	ASSERT_EQ(0, scene_pin(s, op, INSIDE));
	if (!start(_metadata, s, op, &seen))
		return;
	EXPECT_EQ(OP_WAITS, seen) {
		TH_LOG("%s %s while the page is pinned", op->name,
		       outcome_text(seen));
	}
	EXPECT_EQ(0, lower_remove(s));
	EXPECT_EQ(0, scene_reuse_blocks(s, op));
	finish(_metadata, s);
}

/* What is no longer shared is written to in place, and nobody has to wait. */
static void play_in_place(struct __test_metadata *_metadata, struct scene *s,
			  const struct operation *op)
{
	__s64 block = victim_block(s, 2 * s->unit);
	int seen;

	ASSERT_LT(0, block);
	ASSERT_EQ(0, scene_pin(s, op, INSIDE));
	if (!start(_metadata, s, op, &seen))
		return;
	EXPECT_EQ(OP_RETURNED, seen);
	EXPECT_EQ(block, victim_block(s, 2 * s->unit));
	finish(_metadata, s);
}

TEST_F_TIMEOUT(fsdax_cow, store, TIMEOUT)
{
	if (variant->again)
		play_in_place(_metadata, &self->scene, &op_store);
	else
		play_cow(_metadata, &self->scene, &op_store);
}

TEST_F_TIMEOUT(fsdax_cow, write, TIMEOUT)
{
	if (variant->again)
		play_in_place(_metadata, &self->scene, &op_write);
	else
		play_cow(_metadata, &self->scene, &op_write);
}

static void play_cow_killed(struct __test_metadata *_metadata, struct scene *s,
			    const struct operation *op)
{
	int seen;

	ASSERT_EQ(0, scene_pin(s, op, INSIDE));
	if (!start(_metadata, s, op, &seen))
		return;
	ASSERT_EQ(OP_WAITS, seen);
	EXPECT_TRUE(run_kill(&s->run));
	EXPECT_TRUE(WIFSIGNALED(s->run.status));
	EXPECT_TRUE(pin_drop(&s->pin) == PIN_KEPT);
}

/*
 * The first store allocates blocks for the pages around it as well. That the file
 * has another of them is to be flushed all the same, before the page is mapped.
 */
TEST_F_TIMEOUT(fsdax_cow, store_is_synchronous, TIMEOUT)
{
	struct dax_file *f = &self->scene.victim;
	struct counter flushed;
	char filter[64], *map;
	int error;

	if (variant->again)
		SKIP(return, "what is not shared is not copied");

	map = mmap(NULL, f->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED_VALIDATE | MAP_SYNC, f->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	map[0] = f->fill;
	ASSERT_EQ(0, fsync(f->fd));

	snprintf(filter, sizeof(filter), "ino == %lu", (unsigned long)f->ino);
	error = counter_open(&flushed, "fs_dax/dax_insert_pfn_mkwrite", filter);
	if (error == -ENOENT)
		SKIP(return, "no tracepoint");
	ASSERT_EQ(0, error);
	map[PTE_SIZE] = f->fill;
	EXPECT_EQ(1, counter_read(&flushed));
	counter_close(&flushed);
	EXPECT_EQ(0, munmap(map, f->size));
}

TEST_F_TIMEOUT(fsdax_cow, store_is_killable, TIMEOUT)
{
	if (variant->again)
		SKIP(return, "the block has one owner");
	play_cow_killed(_metadata, &self->scene, &op_store);
}

TEST_F_TIMEOUT(fsdax_cow, write_is_killable, TIMEOUT)
{
	if (variant->again)
		SKIP(return, "the block has one owner");
	play_cow_killed(_metadata, &self->scene, &op_write);
}

/* Where the other file has the page mapped, it waits for the pin. */
TEST_F_TIMEOUT(fsdax_cow, leaves_the_page_to_others, TIMEOUT)
{
	struct scene *s = &self->scene;
	char *other;
	int seen;

	if (variant->again)
		SKIP(return, "there is no other file any more");
	other = mmap(NULL, s->victim.size, PROT_READ, MAP_SHARED, s->lower.fd, 0);
	ASSERT_NE(MAP_FAILED, other);
	ASSERT_EQ(s->victim.fill,
		  __atomic_load_n(other + 2 * s->unit, __ATOMIC_RELAXED));

	ASSERT_EQ(0, scene_pin(s, &op_store, INSIDE));
	ASSERT_TRUE(start(_metadata, s, &op_store, &seen));
	EXPECT_EQ(OP_RETURNED, seen) {
		TH_LOG("a store %s", outcome_text(seen));
	}
	EXPECT_EQ(0, run_finish(&s->run));
	munmap(other, s->victim.size);

	/* Now it is the other file's to wait. */
	close(s->run.pidfd);
	file_close(&s->victim);
	s->victim = s->lower;
	s->lower.fd = -1;
	ASSERT_TRUE(start(_metadata, s, &op_punch_hole, &seen));
	EXPECT_EQ(OP_WAITS, seen);
	EXPECT_EQ(0, scene_reuse_blocks(s, &op_punch_hole));
	finish(_metadata, s);
}

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/*
 * A block that is exclusive is written to in place, also if the filesystem has
 * another one allocated and the page is part of a huge mapping.
 */
TEST_F_TIMEOUT(fsdax_cow, store_inside_huge_page, TIMEOUT)
{
	struct fsxattr attr = { .fsx_xflags = FS_XFLAG_COWEXTSIZE,
				.fsx_cowextsize = 2 * PMD_SIZE };
	struct scene *s = &self->scene;
	struct dax_file *f = &s->higher;
	long faults;

	if (!variant->again)
		SKIP(return, "the block is shared");
	ASSERT_EQ(0, file_write(f, 2 * PMD_SIZE));
	ASSERT_EQ(0, ioctl(f->fd, FS_IOC_FSSETXATTR, &attr));
	ASSERT_LE(0, file_map(f, PMD_SIZE));
	s->lower.fd = open(s->lower.path, O_CREAT | O_RDWR, 0600);
	ASSERT_LE(0, s->lower.fd);
	ASSERT_EQ(0, ioctl(s->lower.fd, FICLONE, f->fd));
	f->map[0] = f->fill;
	ASSERT_EQ(0, lower_remove(s));

	faults = minor_faults();
	for (size_t at = PMD_SIZE; at < 2 * PMD_SIZE; at += PTE_SIZE)
		ASSERT_EQ(f->fill,
			  __atomic_load_n(f->map + at, __ATOMIC_RELAXED));
	faults = minor_faults() - faults;
	if (faults > (long)(PMD_SIZE / PTE_SIZE / 4))
		SKIP(return, "%ld faults: not mapped by a huge page", faults);
	f->map[PMD_SIZE + 5 * PTE_SIZE] = '!';

	for (size_t at = PMD_SIZE; at < 2 * PMD_SIZE; at++)
		ASSERT_EQ(at == PMD_SIZE + 5 * PTE_SIZE ? '!' : f->fill,
			  f->map[at]);
	EXPECT_EQ(0, ftruncate(f->fd, 0));
}

/* The rest of the page that the file ended in is zeroed, in a block of its own. */
TEST_F_TIMEOUT(fsdax_cow, write_behind_end, TIMEOUT)
{
	struct scene *s = &self->scene;
	char page[PTE_SIZE] = "";
	int seen;

	if (variant->again)
		SKIP(return, "the block has one owner");
	s->victim.size -= PTE_SIZE / 2;
	ASSERT_EQ(0, ftruncate(s->victim.fd, s->victim.size));
	ASSERT_EQ(0, ftruncate(s->lower.fd, 0));
	ASSERT_EQ(0, ioctl(s->lower.fd, FICLONE, s->victim.fd));

	ASSERT_EQ(0, pin_page(&s->pin, s->victim.map + s->victim.size -
			      PTE_SIZE / 2, s->victim.fill));
	ASSERT_TRUE(start(_metadata, s, &op_write_beyond, &seen));
	EXPECT_EQ(OP_WAITS, seen) {
		TH_LOG("%s %s", op_write_beyond.name, outcome_text(seen));
	}
	EXPECT_EQ(0, lower_remove(s));
	EXPECT_EQ(0, scene_reuse_blocks(s, &op_write_beyond));
	EXPECT_EQ((ssize_t)PTE_SIZE, read(s->pin.pipe[0], page, PTE_SIZE));
	EXPECT_EQ(s->victim.fill, page[PTE_SIZE / 2 - 1]);
	EXPECT_EQ(0, page[PTE_SIZE / 2]);
	EXPECT_EQ(0, run_finish(&s->run));
}

/* Those who read the same page of the same file do not unmap it for each other. */
TEST_F_TIMEOUT(fsdax_cow, readers_share_the_page, TIMEOUT)
{
	struct scene *s = &self->scene;
	char *one = s->victim.map, *two;
	long before;

	two = mmap(NULL, s->victim.size, PROT_READ, MAP_SHARED, s->victim.fd, 0);
	ASSERT_NE(MAP_FAILED, two);
	for (size_t at = 0; at < s->victim.size; at += PTE_SIZE)
		ASSERT_EQ(s->victim.fill,
			  __atomic_load_n(one + at, __ATOMIC_RELAXED));
	for (size_t at = 0; at < s->victim.size; at += PTE_SIZE)
		ASSERT_EQ(s->victim.fill,
			  __atomic_load_n(two + at, __ATOMIC_RELAXED));
	before = minor_faults();
	for (size_t at = 0; at < s->victim.size; at += PTE_SIZE)
		ASSERT_EQ(s->victim.fill,
			  __atomic_load_n(one + at, __ATOMIC_RELAXED));
	/* Some faults are not the file's. */
	EXPECT_GT(s->victim.size / PTE_SIZE / 4,
		  (size_t)(minor_faults() - before));
	munmap(two, s->victim.size);
}

/* What is read from goes away under the copy: the same page, the next one. */
TEST_F_TIMEOUT(fsdax_cow, write_from_itself, TIMEOUT)
{
	struct scene *s = &self->scene;
	char *from = s->victim.map + s->unit;
	size_t len = s->unit;

	ASSERT_EQ((ssize_t)len, pwrite(s->victim.fd, from, len, s->unit));
	s->victim.map[0] = '!';
	ASSERT_EQ((ssize_t)len, pwrite(s->victim.fd, s->victim.map, len,
				       2 * s->unit + 1));
	EXPECT_EQ('!', s->victim.map[2 * s->unit + 1]);
	EXPECT_EQ(s->victim.fill, s->victim.map[2 * s->unit]);
	for (size_t at = 2; at < 2 * s->unit; at++)
		ASSERT_EQ(s->victim.fill, from[s->unit + at]);
}

/* The end of the memory to write from is the end of what is written. */
TEST_F_TIMEOUT(fsdax_cow, write_from_end_of_memory, TIMEOUT)
{
	struct scene *s = &self->scene;
	size_t len = 4 * PTE_SIZE;
	char *from;

	from = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, from);
	ASSERT_EQ(0, munmap(from + len, len));
	memset(from, s->victim.fill, len);

	ASSERT_EQ((ssize_t)len - 100, pwrite(s->victim.fd, from + 100, 2 * len,
					     2 * s->unit + 7));
	ASSERT_EQ(-1, pwrite(s->victim.fd, from + len, len, 0));
	EXPECT_EQ(EFAULT, errno);
	for (size_t at = 0; at < s->victim.size; at++)
		ASSERT_EQ(s->victim.fill, s->victim.map[at]);
	munmap(from, len);
}

/*
 * What is longer than what a device has next to each other in memory is copied
 * and compared piece by piece. Each page holds something else.
 */

#define STRIPED_LEN (PMD_SIZE / 2)
#define STRIPED_PAGES (STRIPED_LEN / PTE_SIZE)

FIXTURE(fsdax_striped) {
	struct scene scene;
	struct dax_file *file, *other;
	char *old, *new;	/* of twice that length */
};

FIXTURE_VARIANT(fsdax_striped) {
	const char *fs;
};

FIXTURE_VARIANT_ADD(fsdax_striped, xfs) {
	.fs = "xfs_striped",
};

FIXTURE_SETUP(fsdax_striped)
{
	/* What is written to one half after the other is next to each other. */
	struct fsxattr attr = { .fsx_xflags = FS_XFLAG_COWEXTSIZE,
				.fsx_cowextsize = 2 * STRIPED_LEN };
	struct scene *s = &self->scene;

	self->file = &s->higher;
	self->other = &s->lower;
	self->old = malloc(2 * STRIPED_LEN);
	self->new = malloc(2 * STRIPED_LEN);
	ASSERT_NE(NULL, self->old);
	ASSERT_NE(NULL, self->new);
	for (size_t page = 0; page < 2 * STRIPED_PAGES; page++) {
		memset(self->old + page * PTE_SIZE, 1 + page % 101, PTE_SIZE);
		memset(self->new + page * PTE_SIZE, 128 + page % 103, PTE_SIZE);
	}

	set_up(_metadata, s, variant->fs, PTE_SIZE);
	if (_metadata->exit_code)
		return;
	ASSERT_EQ(0, file_write(self->file, 2 * STRIPED_LEN));
	ASSERT_EQ(2 * (ssize_t)STRIPED_LEN,
		  pwrite(self->file->fd, self->old, 2 * STRIPED_LEN, 0));
	ASSERT_EQ(0, ioctl(self->file->fd, FS_IOC_FSSETXATTR, &attr));
	ASSERT_EQ(0, ftruncate(self->other->fd, 0));
	ASSERT_EQ(0, ioctl(self->other->fd, FICLONE, self->file->fd));
}

FIXTURE_TEARDOWN(fsdax_striped)
{
	scene_clear(&self->scene);
	free(self->new);
	free(self->old);
}

static bool holds(struct dax_file *f, const char *data)
{
	static char read_back[2 * STRIPED_LEN];

	return pread(f->fd, read_back, sizeof(read_back), 0) ==
	       sizeof(read_back) && !memcmp(read_back, data, sizeof(read_back));
}

TEST_F_TIMEOUT(fsdax_striped, write, TIMEOUT)
{
	const size_t at = STRIPED_LEN / 2 + 1;

	ASSERT_EQ((ssize_t)STRIPED_LEN,
		  pwrite(self->file->fd, self->new + STRIPED_LEN, STRIPED_LEN,
			 STRIPED_LEN));
	ASSERT_EQ((ssize_t)STRIPED_LEN,
		  pwrite(self->file->fd, self->new, STRIPED_LEN, 0));
	EXPECT_TRUE(holds(self->file, self->new));
	EXPECT_TRUE(holds(self->other, self->old));

	/* Neither are the first and the last page copied from elsewhere. */
	ASSERT_EQ(0, ioctl(self->other->fd, FICLONE, self->file->fd));
	ASSERT_EQ((ssize_t)STRIPED_LEN,
		  pwrite(self->file->fd, self->old, STRIPED_LEN, at));
	EXPECT_TRUE(holds(self->other, self->new));
	memcpy(self->new + at, self->old, STRIPED_LEN);
	EXPECT_TRUE(holds(self->file, self->new));
}

TEST_F_TIMEOUT(fsdax_striped, unshare, TIMEOUT)
{
	for (int half = 1; half >= 0; half--)
		ASSERT_EQ(0, fallocate(self->file->fd, FALLOC_FL_UNSHARE_RANGE,
				       half * STRIPED_LEN, STRIPED_LEN));
	EXPECT_TRUE(holds(self->file, self->old));
	ASSERT_EQ(2 * (ssize_t)STRIPED_LEN,
		  pwrite(self->file->fd, self->new, 2 * STRIPED_LEN, 0));
	EXPECT_TRUE(holds(self->file, self->new));
	EXPECT_TRUE(holds(self->other, self->old));
}

TEST_F_TIMEOUT(fsdax_striped, dedupe, TIMEOUT)
{
	const size_t last = 2 * STRIPED_LEN - PTE_SIZE;
	char room[sizeof(struct file_dedupe_range) +
		  sizeof(struct file_dedupe_range_info)] = { 0 };
	struct file_dedupe_range *range = (struct file_dedupe_range *)room;

	ASSERT_EQ(0, ftruncate(self->other->fd, 0));
	ASSERT_EQ(2 * (ssize_t)STRIPED_LEN,
		  pwrite(self->other->fd, self->old, 2 * STRIPED_LEN, 0));
	range->src_length = 2 * STRIPED_LEN;
	range->dest_count = 1;
	range->info[0].dest_fd = self->other->fd;
	ASSERT_EQ(0, ioctl(self->file->fd, FIDEDUPERANGE, range));
	EXPECT_EQ(FILE_DEDUPE_RANGE_SAME, range->info[0].status);
	EXPECT_EQ(2 * STRIPED_LEN, range->info[0].bytes_deduped);

	ASSERT_EQ((ssize_t)PTE_SIZE,
		  pwrite(self->other->fd, self->new, PTE_SIZE, last));
	memcpy(self->new, self->old, last);
	memset(self->new + last, 128, PTE_SIZE);
	ASSERT_EQ(0, ioctl(self->file->fd, FIDEDUPERANGE, range));
	EXPECT_EQ(FILE_DEDUPE_RANGE_DIFFERS, range->info[0].status);
	EXPECT_TRUE(holds(self->file, self->old));
	EXPECT_TRUE(holds(self->other, self->new));
}

TEST_HARNESS_MAIN
