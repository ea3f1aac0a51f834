// SPDX-License-Identifier: GPL-2.0
/*
 * A device goes away while files of it are mapped, pinned, open or being given
 * up. Unbinding it from its driver has to wait for pins and for nothing else;
 * whoever touches the memory afterwards gets SIGBUS, whatever the memory is used
 * for by then; and what is left of the files must not reach it any more, even if
 * the device is back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <linux/const.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "../../../../mm/gup_test.h"
#include "../kselftest_harness.h"
#include "mapped.h"
#include "operation.h"
#include "provided.h"
#include "ram.h"
#include "stall.h"
#include "touch.h"
#include "view.h"

#define TIMEOUT 240
#define LIMIT_MS 20000	/* for what has to come sooner or later */
#define POLL_MS 10

/* Pages of large devices that are looked at. */
#define SAMPLE 2048

#define ASIDE_MAX 4

struct stage {
	struct scene scene;
	long taint;
	struct stall stall;
	unsigned int nr_aside;
	struct run aside[ASIDE_MAX];	/* what goes on besides scene.run */
};

static bool wait_until(bool (*reached)(void *), void *arg)
{
	for (int ms = 0; ms < LIMIT_MS; ms += POLL_MS) {
		if (reached(arg))
			return true;
		usleep(POLL_MS * 1000);
	}
	return reached(arg);
}

/* Setting up: the victim is mapped, and has been written to by its mapping. */

static size_t step_of(const struct dax_file *f)
{
	size_t step = f->size / SAMPLE;

	return step > PTE_SIZE ? step : PTE_SIZE;
}

/* Map the whole file wherever its alignment allows. */
static int file_map_anywhere(struct dax_file *f)
{
	char *map = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 f->fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	f->map = map;
	f->reservation = map;
	f->reserved = f->size;
	return 0;
}

/* A second owner for the victim's blocks, which has them mapped as well. */
static int twin_make(struct scene *s)
{
	struct census c;
	int error;

	if (ioctl(s->lower.fd, FICLONE, s->victim.fd))
		return -errno;
	s->lower.size = s->victim.size;
	s->lower.fill = s->victim.fill;
	error = file_map_anywhere(&s->lower);
	if (error)
		return error;
	c = touch_all(s->lower.map, s->lower.size, PTE_SIZE, s->lower.fill);
	if (c.kept != c.pages)
		return -EIO;
	c = touch_all(s->victim.map, s->victim.size, PTE_SIZE, s->victim.fill);
	return c.kept == c.pages ? 0 : -EIO;
}

static void set_up(struct __test_metadata *_metadata, struct stage *st,
		   const char *provider, size_t align)
{
	static const struct stall no_stall = STALL_NONE;
	struct scene *s = &st->scene;
	bool huge = align > PTE_SIZE;
	char why[REASON_MAX] = "";
	long faults;

	st->stall = no_stall;
	st->taint = view_taint();
	/* XFS with rmapbt sends it to all who map a file. */
	signal(SIGBUS, SIG_IGN);
	if (!provided(_metadata, scene_up(s, provider, align, why), why))
		return;
	faults = scene_map(s);
	ASSERT_LE(0, faults) {
		scene_clear(s);
	}
	if (scene_mapped_huge(s, faults) != huge) {
		scene_clear(s);
		SKIP(return, "%ld faults: not mapped in units of %zu", faults,
		     align);
	}
	/* Nobody has written all of a device. */
	if (!s->fs)
		memset(s->victim.map, s->victim.fill,
		       s->victim.size < PMD_SIZE ? s->victim.size : PMD_SIZE);
}

/* Tearing down: the device is bound. */

static void run_close(struct run *run)
{
	if (run_finish(run) < 0)
		run_kill(run);
	if (run->pidfd >= 0)
		close(run->pidfd);
}

static void expect_no_warning(struct __test_metadata *_metadata,
			      const struct stage *st)
{
	EXPECT_EQ(st->taint, view_taint()) {
		TH_LOG("the kernel has warned: see its log");
	}
}

static void tear_down(struct __test_metadata *_metadata, struct stage *st)
{
	struct scene *s = &st->scene;
	int ended;

	pin_close(&s->pin);
	stall_down(&st->stall);
	for (unsigned int i = 0; i < st->nr_aside; i++)
		run_close(&st->aside[i]);
	ended = run_finish(&s->run);
	EXPECT_LE(0, ended);
	/* While it is being unbound, binding it would wait for that. */
	if (ended < 0)
		return;
	EXPECT_EQ(0, scene_restore(s));
	expect_no_warning(_metadata, st);
}

/* What a case does. */

static void unbind(struct __test_metadata *_metadata, struct scene *s)
{
	int seen;

	ASSERT_EQ(0, run_start(s, &op_unbind));
	seen = run_finish(&s->run);
	ASSERT_EQ(0, seen) {
		TH_LOG("unbinding %s", seen < 0 ? "does not end" :
						  strerror(seen));
	}
	EXPECT_FALSE(device_bound(&s->device));
}

static void start_aside(struct __test_metadata *_metadata, struct stage *st,
			const struct operation *op)
{
	struct scene *s = &st->scene;
	struct run main = s->run;

	ASSERT_NE(ASIDE_MAX, (int)st->nr_aside);
	ASSERT_EQ(0, run_start(s, op));
	st->aside[st->nr_aside++] = s->run;
	s->run = main;
}

static void expect_gone(struct __test_metadata *_metadata, char *map,
			const struct dax_file *f)
{
	struct census c = touch_all(map, f->size, step_of(f), f->fill);
	size_t writable = touch_writable(map, f->size, step_of(f), f->fill);

	EXPECT_EQ(c.pages, c.gone) {
		TH_LOG("%zu pages can be read, %zu of them are not the file's",
		       c.pages - c.gone, c.other);
	}
	EXPECT_EQ(0UL, writable);
}

static void expect_unmapped(struct __test_metadata *_metadata, struct scene *s)
{
	expect_gone(_metadata, s->victim.map, &s->victim);
	if (s->lower.map)
		expect_gone(_metadata, s->lower.map, &s->lower);
}

static void expect_kept(struct __test_metadata *_metadata,
			const struct dax_file *f)
{
	struct census c = touch_all(f->map, f->size, step_of(f), f->fill);

	EXPECT_EQ(c.pages, c.kept) {
		TH_LOG("%zu pages raise SIGBUS, %zu hold something else",
		       c.gone, c.other);
	}
}

static void expect_pin_kept(struct __test_metadata *_metadata, struct scene *s)
{
	int content = pin_drop(&s->pin);

	EXPECT_EQ(PIN_KEPT, content) {
		TH_LOG("the pipe returned %s", pin_content_text(content));
	}
}

static bool victim_gone(void *arg)
{
	const struct scene *s = arg;
	char byte;

	return !touch_read(s->victim.map, &byte);
}

/* The kernel gets nothing from the mapping either, and puts nothing in it. */
static void expect_no_access(struct __test_metadata *_metadata, struct scene *s)
{
	char *map = s->victim.map, byte = 0;

	EXPECT_EQ(-1, write(s->pin.pipe[1], map, 1));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(1, write(s->pin.pipe[1], &byte, 1));
	EXPECT_EQ(-1, read(s->pin.pipe[0], map, 1));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(1, read(s->pin.pipe[0], &byte, 1));
	EXPECT_EQ(-EFAULT, pin_page(&s->pin, map, s->victim.fill));
	EXPECT_EQ(-1, madvise(map, s->align, MADV_POPULATE_READ));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, madvise(map, s->align, MADV_POPULATE_WRITE));
	EXPECT_EQ(EFAULT, errno);
}

static void expect_no_data(struct __test_metadata *_metadata, struct scene *s)
{
	char byte = s->victim.fill;

	EXPECT_EQ(-1, pwrite(s->victim.fd, &byte, 1, 0));
	EXPECT_EQ(-1, pread(s->victim.fd, &byte, 1, 0));
	/* Mapping it once more fails, or is of no use. */
	file_unmap(&s->victim);
	if (!file_map_anywhere(&s->victim))
		expect_gone(_metadata, s->victim.map, &s->victim);
}

/* All of the victim can be read that was once flushed. */
static void expect_file_kept(struct __test_metadata *_metadata,
			     struct dax_file *f)
{
	size_t done = 0, bad = 0;
	char buffer[PTE_SIZE];

	while (pread(f->fd, buffer, sizeof(buffer), done) == sizeof(buffer)) {
		for (size_t i = 0; i < sizeof(buffer); i++)
			bad += buffer[i] != f->fill;
		done += sizeof(buffer);
	}
	EXPECT_EQ(f->size, done);
	EXPECT_EQ(0UL, bad);
}

/* Bound again, the device is what it was, and the victim can be mapped again. */
static void expect_back(struct __test_metadata *_metadata, struct scene *s)
{
	struct dax_file *f = &s->victim;

	scene_close(s);
	if (s->fs)
		ASSERT_EQ(0, provider_unmount(s->fs));
	ASSERT_EQ(0, device_bind(&s->device));
	if (s->fs)
		ASSERT_EQ(0, provider_mount(s->fs));
	f->fd = open(f->path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, f->fd);
	if (s->fs)
		expect_file_kept(_metadata, f);
	ASSERT_EQ(0, file_map_anywhere(f));
	expect_kept(_metadata, f);
	EXPECT_LT(0UL, touch_writable(f->map, f->size, step_of(f), f->fill));
	if (s->fs)
		EXPECT_EQ(0, fsync(f->fd));
}

/* Every kind of device, and of what maps it. */

FIXTURE(removal) {
	struct stage stage;
};

FIXTURE_VARIANT(removal) {
	const char *provider;
	size_t align;
	bool shared;
};

FIXTURE_VARIANT_ADD(removal, ext2_pte) {
	.provider = "ext2", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(removal, ext4_pte) {
	.provider = "ext4", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(removal, ext4_pmd) {
	.provider = "ext4", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(removal, xfs_pte) {
	.provider = "xfs", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(removal, xfs_pmd) {
	.provider = "xfs", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(removal, xfs_rmap_pmd) {
	.provider = "xfs_rmap", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(removal, xfs_reflink_shared) {
	.provider = "xfs_reflink", .align = PTE_SIZE, .shared = true,
};

FIXTURE_VARIANT_ADD(removal, ext4_linear_pmd) {
	.provider = "ext4_linear", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(removal, xfs_striped_pte) {
	.provider = "xfs_striped", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(removal, devdax_4k) {
	.provider = "devdax", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(removal, devdax_2m) {
	.provider = "devdax", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(removal, devdax_1g) {
	.provider = "devdax", .align = 512 * PMD_SIZE,
};

FIXTURE_SETUP(removal)
{
	set_up(_metadata, &self->stage, variant->provider, variant->align);
	if (_metadata->exit_code || !variant->shared)
		return;
	ASSERT_EQ(0, twin_make(&self->stage.scene)) {
		scene_clear(&self->stage.scene);
	}
}

FIXTURE_TEARDOWN(removal)
{
	tear_down(_metadata, &self->stage);
}

/* A process that has inherited the mapping, and its own page tables for it. */

static int heir_prepare(void *arg)
{
	struct dax_file *f = &((struct scene *)arg)->victim;
	struct census c = touch_all(f->map, f->size, step_of(f), f->fill);

	return c.kept != c.pages;
}

static int heir_finish(void *arg)
{
	struct dax_file *f = &((struct scene *)arg)->victim;
	struct census c = touch_all(f->map, f->size, step_of(f), f->fill);

	return c.gone != c.pages;
}

TEST_F_TIMEOUT(removal, mapped, TIMEOUT)
{
	struct scene *s = &self->stage.scene;
	struct child heir;

	ASSERT_EQ(0, child_start(&heir, heir_prepare, heir_finish, s));
	unbind(_metadata, s);
	expect_unmapped(_metadata, s);
	EXPECT_EQ(0, child_end(&heir));
	expect_no_access(_metadata, s);
	expect_no_data(_metadata, s);
	expect_back(_metadata, s);
}

/* What /dev/kmsg says from now on. */

static int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

struct report {
	int kmsg;
	char text[512];
};

static bool kmsg_says(void *arg)
{
	struct report *report = arg;
	char record[8192];
	ssize_t n;

	while ((n = read(report->kmsg, record, sizeof(record) - 1)) > 0) {
		record[n] = '\0';
		if (strstr(record, report->text))
			return true;
	}
	return false;
}

/* The one that memunmap_pages() is to print, of a page that is pinned. */
static void report_expect(struct report *report, const struct scene *s,
			  const char *page)
{
	unsigned long pfn = view_page(page) & VIEW_PFN;

	pfn -= pfn % (s->align / PTE_SIZE);
	report->kmsg = kmsg_open();
	snprintf(report->text, sizeof(report->text),
		 "memremap: %s: waiting for 1 busy folios, the first at pfn %#lx",
		 s->device.name, pfn);
}

/* Whoever waits has unmapped the pages, and says what it waits for. */
static void expect_waits(struct __test_metadata *_metadata, struct scene *s,
			 struct report *report)
{
	int seen = run_observe(&s->run);

	ASSERT_EQ(OP_WAITS, seen) {
		TH_LOG("with a page pinned, it %s", outcome_text(seen));
	}
	EXPECT_TRUE(wait_until(victim_gone, s));
	expect_unmapped(_metadata, s);
	EXPECT_TRUE(wait_until(kmsg_says, report)) {
		TH_LOG("nothing said '%s'", report->text);
	}
	EXPECT_EQ((int)OP_WAITS, (int)run_observe(&s->run));
}

static void play_pinned(struct __test_metadata *_metadata, struct scene *s,
			const struct operation *op)
{
	struct report report;

	report_expect(&report, s, s->victim.map + 2 * s->unit);
	ASSERT_LE(0, report.kmsg);
	ASSERT_EQ(0, scene_pin(s, op, INSIDE));
	ASSERT_EQ(0, run_start(s, op));
	expect_waits(_metadata, s, &report);
	expect_pin_kept(_metadata, s);
	EXPECT_EQ(0, run_finish(&s->run));
}

TEST_F_TIMEOUT(removal, pinned, TIMEOUT)
{
	play_pinned(_metadata, &self->stage.scene, &op_unbind);
	expect_back(_metadata, &self->stage.scene);
}

/* The page is in the hands of another device, as far as the kernel knows. */
TEST_F_TIMEOUT(removal, under_direct_io, TIMEOUT)
{
	struct stall *stall = &self->stage.stall;
	struct scene *s = &self->stage.scene;
	char *page = s->victim.map + 2 * s->unit;
	char why[REASON_MAX] = "";
	struct report report;

	/* Nobody has written all of a device. */
	if (!s->fs)
		memset(page, s->victim.fill, PTE_SIZE);
	if (!provided(_metadata, stall_up(stall, page, PTE_SIZE, why), why))
		return;
	report_expect(&report, s, page);
	ASSERT_LE(0, report.kmsg);
	ASSERT_EQ(0, run_start(s, &op_unbind));
	expect_waits(_metadata, s, &report);
	EXPECT_EQ(-EIO, stall_down(stall));
	EXPECT_EQ(0, run_finish(&s->run));
	expect_back(_metadata, s);
}

/*
 * What can be done to what is left of a file. It may fail: what matters is what
 * it reaches for.
 */
static void give_up(struct scene *s)
{
	struct dax_file *f = &s->victim;
	int failed = 0;

	if (!f->map && file_map_anywhere(f))
		failed++;
	if (f->map)
		touch_writable(f->map, f->size, step_of(f), '!');
	failed += pwrite(f->fd, "!", 1, 0) < 0;
	failed += fsync(f->fd) < 0;
	failed += ftruncate(f->fd, s->unit) < 0;
	if (s->fs)
		failed += unlink(f->path) < 0;
	ksft_print_msg("%d operations failed\n", failed);
}

/* The file has pages that nobody uses. */
TEST_F_TIMEOUT(removal, open, TIMEOUT)
{
	struct scene *s = &self->stage.scene;

	file_unmap(&s->victim);
	file_unmap(&s->lower);
	unbind(_metadata, s);
	give_up(s);
	scene_close(s);
	if (s->fs)
		EXPECT_EQ(0, provider_unmount(s->fs));
}

/* Processes that are at it all the time. */

struct traffic {
	bool gone;	/* the device: nothing may succeed from now on */
	bool stop;
	unsigned long done, refused;
	unsigned long late;
	unsigned long wrong;	/* pins of something else */
};

static struct traffic *traffic;

static void count(bool gone, bool succeeded)
{
	unsigned long *counter = &traffic->refused;

	if (succeeded)
		counter = gone ? &traffic->late : &traffic->done;
	__atomic_fetch_add(counter, 1, __ATOMIC_SEQ_CST);
}

static int keep_going(struct scene *s, bool (*act)(struct scene *, char *))
{
	size_t size = s->victim.size < PMD_SIZE ? s->victim.size : PMD_SIZE;

	for (size_t at = 0; !__atomic_load_n(&traffic->stop, __ATOMIC_SEQ_CST);
	     at = (at + PTE_SIZE) % size) {
		bool gone = __atomic_load_n(&traffic->gone, __ATOMIC_SEQ_CST);

		count(gone, act(s, s->victim.map + at));
	}
	return 0;
}

static bool load_one(struct scene *s, char *at)
{
	char byte;

	if (!touch_read(at, &byte))
		return false;
	if (byte != s->victim.fill)
		__atomic_fetch_add(&traffic->wrong, 1, __ATOMIC_SEQ_CST);
	return true;
}

static bool store_one(struct scene *s, char *at)
{
	return touch_write(at, s->victim.fill);
}

static bool pin_one(struct scene *s, char *at)
{
	if (pin_page(&s->pin, at, s->victim.fill))
		return false;
	if (pin_drop(&s->pin) != PIN_KEPT)
		__atomic_fetch_add(&traffic->wrong, 1, __ATOMIC_SEQ_CST);
	return true;
}

static int keep_loading(struct scene *s)
{
	return keep_going(s, load_one);
}

static int keep_storing(struct scene *s)
{
	return keep_going(s, store_one);
}

static int keep_pinning(struct scene *s)
{
	return pin_open(&s->pin) ? errno : keep_going(s, pin_one);
}

static const struct operation op_keep_loading = {
	.name = "keep loading", .perform = keep_loading,
};

static const struct operation op_keep_storing = {
	.name = "keep storing", .perform = keep_storing,
};

static const struct operation op_keep_pinning = {
	.name = "keep pinning", .perform = keep_pinning,
};

#define OFTEN 1000

static bool done_often(void *arg)
{
	return __atomic_load_n(&traffic->done, __ATOMIC_SEQ_CST) > OFTEN;
}

/* Those that began before the device was gone have come to their end. */
static bool refused_often(void *arg)
{
	unsigned long *before = arg;

	return __atomic_load_n(&traffic->refused, __ATOMIC_SEQ_CST) >
		*before + OFTEN;
}

static void play_traffic(struct __test_metadata *_metadata, struct stage *st,
			 const struct operation *one,
			 const struct operation *other)
{
	unsigned long before;

	traffic = mmap(NULL, sizeof(*traffic), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, traffic);
	start_aside(_metadata, st, one);
	start_aside(_metadata, st, other);
	EXPECT_TRUE(wait_until(done_often, NULL));
	unbind(_metadata, &st->scene);

	__atomic_store_n(&traffic->gone, true, __ATOMIC_SEQ_CST);
	before = __atomic_load_n(&traffic->refused, __ATOMIC_SEQ_CST);
	EXPECT_TRUE(wait_until(refused_often, &before));
	__atomic_store_n(&traffic->stop, true, __ATOMIC_SEQ_CST);
	for (unsigned int i = 0; i < st->nr_aside; i++)
		EXPECT_EQ(0, run_finish(&st->aside[i]));
	EXPECT_EQ(0UL, traffic->late);
	EXPECT_EQ(0UL, traffic->wrong);
}

TEST_F_TIMEOUT(removal, under_loads_and_stores, TIMEOUT)
{
	play_traffic(_metadata, &self->stage, &op_keep_storing,
		     &op_keep_loading);
}

TEST_F_TIMEOUT(removal, under_pins_and_stores, TIMEOUT)
{
	play_traffic(_metadata, &self->stage, &op_keep_pinning,
		     &op_keep_storing);
}

/* What only filesystems have. */

FIXTURE(removal_fs) {
	struct stage stage;
};

FIXTURE_VARIANT(removal_fs) {
	const char *provider;
	size_t align;
};

FIXTURE_VARIANT_ADD(removal_fs, ext2_pte) {
	.provider = "ext2", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(removal_fs, ext4_pmd) {
	.provider = "ext4", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(removal_fs, xfs_pte) {
	.provider = "xfs", .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(removal_fs, ext4_linear_pmd) {
	.provider = "ext4_linear", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(removal_fs, xfs_striped_pte) {
	.provider = "xfs_striped", .align = PTE_SIZE,
};

FIXTURE_SETUP(removal_fs)
{
	set_up(_metadata, &self->stage, variant->provider, variant->align);
}

FIXTURE_TEARDOWN(removal_fs)
{
	tear_down(_metadata, &self->stage);
}

/* The pages are the file's until it is written to, and then the process's. */
TEST_F_TIMEOUT(removal_fs, mapped_privately, TIMEOUT)
{
	struct dax_file f = self->stage.scene.victim;
	size_t copied = f.size / 2;
	struct census c;

	f.map = mmap(NULL, f.size, PROT_READ | PROT_WRITE, MAP_PRIVATE, f.fd, 0);
	ASSERT_NE(MAP_FAILED, f.map);
	expect_kept(_metadata, &f);
	memset(f.map + copied, PRIVATE, PTE_SIZE);

	unbind(_metadata, &self->stage.scene);
	c = touch_all(f.map, f.size, PTE_SIZE, PRIVATE);
	EXPECT_EQ(1UL, c.kept);
	EXPECT_EQ(c.pages - 1, c.gone);
	for (size_t i = 0; i < PTE_SIZE; i++)
		ASSERT_EQ(PRIVATE, f.map[copied + i]);
	EXPECT_EQ(1UL, touch_writable(f.map, f.size, PTE_SIZE, PRIVATE));
	munmap(f.map, f.size);
}

/* Mapped off alignment, by small entries, and locked in memory. */
TEST_F_TIMEOUT(removal_fs, mapped_and_locked, TIMEOUT)
{
	struct dax_file *f = &self->stage.scene.victim;
	char *map = address_space(f->size, PTE_SIZE);

	ASSERT_NE(NULL, map);
	ASSERT_EQ(map, mmap(map, f->size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_FIXED, f->fd, 0));
	ASSERT_EQ(0, mlock(map, f->size));
	unbind(_metadata, &self->stage.scene);
	expect_gone(_metadata, map, f);
	expect_gone(_metadata, f->map, f);
	EXPECT_EQ(0, munmap(map, f->size));
}

/* No directory leads to the filesystem any more. */
TEST_F_TIMEOUT(removal_fs, mapped_and_detached, TIMEOUT)
{
	struct scene *s = &self->stage.scene;

	ASSERT_EQ(0, umount2(provider_dir(s->fs), MNT_DETACH));
	unbind(_metadata, s);
	expect_gone(_metadata, s->victim.map, &s->victim);
}

/* No directory leads to the file any more. */
TEST_F_TIMEOUT(removal_fs, mapped_and_unlinked, TIMEOUT)
{
	struct scene *s = &self->stage.scene;

	ASSERT_EQ(0, unlink(s->victim.path));
	unbind(_metadata, s);
	expect_gone(_metadata, s->victim.map, &s->victim);
}

/* Part of the page is the file's. The store that fails must not truncate it. */
TEST_F_TIMEOUT(removal_fs, mapped_to_mid_page, TIMEOUT)
{
	struct dax_file *f = &self->stage.scene.victim;

	f->size = PTE_SIZE / 2;
	ASSERT_EQ(0, ftruncate(f->fd, f->size));
	ASSERT_TRUE(touch_write(f->map, f->fill));
	unbind(_metadata, &self->stage.scene);
	EXPECT_FALSE(touch_write(f->map, f->fill));
}

/*
 * The device comes back while a file of its past is open. The same kind of
 * filesystem on it has the same kind of file in the same place: that is whose
 * pages the old file must not reach. As in sysfs the names of filesystems are
 * those of their block devices, this one needs another one.
 */
static void play_bound_again(struct __test_metadata *_metadata, struct scene *s)
{
	struct provider fs = *s->fs;
	char why[REASON_MAX] = "";
	struct scene again;

	fs.name = "again";
	if (!fs.table)
		fs.table = "0 1048576 linear @ 0";
	unbind(_metadata, s);
	ASSERT_EQ(0, device_bind(&s->device));
	if (!provided(_metadata, provider_up(&fs, why), why))
		return;
	ASSERT_EQ(0, scene_build(&again, &fs, s->align));
	ASSERT_LE(0, scene_map(&again));

	give_up(s);
	scene_close(s);
	EXPECT_EQ(0, provider_unmount(s->fs));
	expect_kept(_metadata, &again.victim);
	expect_file_kept(_metadata, &again.victim);

	/* What is mapped now is found as well. */
	again.device = s->device;
	unbind(_metadata, &again);
	expect_gone(_metadata, again.victim.map, &again.victim);
	scene_close(&again);
	EXPECT_EQ(0, provider_unmount(&fs));
}

TEST_F_TIMEOUT(removal_fs, mapped_bound_again, TIMEOUT)
{
	play_bound_again(_metadata, &self->stage.scene);
}

TEST_F_TIMEOUT(removal_fs, open_bound_again, TIMEOUT)
{
	file_unmap(&self->stage.scene.victim);
	play_bound_again(_metadata, &self->stage.scene);
}

/* A file is being given up, and waits for the same pin. */

static void start_waiter(struct __test_metadata *_metadata, struct stage *st,
			 const struct operation *op)
{
	struct scene *s = &st->scene;

	ASSERT_EQ(0, scene_pin(s, op, INSIDE));
	ASSERT_EQ(0, scene_prepare(s, op));
	start_aside(_metadata, st, op);
	ASSERT_EQ((int)OP_WAITS, (int)run_observe(&st->aside[0])) {
		TH_LOG("%s does not wait", op->name);
	}
	ASSERT_EQ(0, run_start(s, &op_unbind));
	ASSERT_EQ((int)OP_WAITS, (int)run_observe(&s->run)) {
		TH_LOG("unbinding does not wait");
	}
}

static void play_waiter(struct __test_metadata *_metadata, struct stage *st,
			const struct operation *op)
{
	int ended;

	start_waiter(_metadata, st, op);
	expect_pin_kept(_metadata, &st->scene);
	ended = run_finish(&st->aside[0]);
	/* It is fine to fail now, but not in giving up an inode. */
	EXPECT_LE(0, ended) {
		TH_LOG("%s does not end", op->name);
	}
	if (op->evicts)
		EXPECT_EQ(0, ended);
	EXPECT_EQ(0, run_finish(&st->scene.run));
}

static void play_waiter_killed(struct __test_metadata *_metadata,
			       struct stage *st, const struct operation *op)
{
	start_waiter(_metadata, st, op);
	EXPECT_TRUE(run_kill(&st->aside[0])) {
		TH_LOG("%s does not end", op->name);
	}
	EXPECT_EQ((int)OP_WAITS, (int)run_observe(&st->scene.run));
	expect_pin_kept(_metadata, &st->scene);
	EXPECT_EQ(0, run_finish(&st->scene.run));
}

TEST_F_TIMEOUT(removal_fs, truncate_waits, TIMEOUT)
{
	play_waiter(_metadata, &self->stage, &op_truncate);
}

TEST_F_TIMEOUT(removal_fs, unlink_close_waits, TIMEOUT)
{
	play_waiter(_metadata, &self->stage, &op_unlink_close);
}

TEST_F_TIMEOUT(removal_fs, unmount_waits, TIMEOUT)
{
	play_waiter(_metadata, &self->stage, &op_unmount);
}

TEST_F_TIMEOUT(removal_fs, truncate_is_killed, TIMEOUT)
{
	play_waiter_killed(_metadata, &self->stage, &op_truncate);
}

TEST_F_TIMEOUT(removal_fs, unlink_close_is_killed, TIMEOUT)
{
	play_waiter_killed(_metadata, &self->stage, &op_unlink_close);
}

TEST_F_TIMEOUT(removal_fs, unmount_is_killed, TIMEOUT)
{
	play_waiter_killed(_metadata, &self->stage, &op_unmount);
}

/*
 * Nobody tells a filesystem on a device-mapper device that what is below is
 * gone. It finds out, and must not say that data is safe that was not flushed.
 */

FIXTURE(removal_mapper) {
	struct stage stage;
};

FIXTURE_VARIANT(removal_mapper) {
	const char *provider;
	size_t align;
};

FIXTURE_VARIANT_ADD(removal_mapper, ext4_linear_pmd) {
	.provider = "ext4_linear", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(removal_mapper, xfs_striped_pte) {
	.provider = "xfs_striped", .align = PTE_SIZE,
};

FIXTURE_SETUP(removal_mapper)
{
	set_up(_metadata, &self->stage, variant->provider, variant->align);
}

FIXTURE_TEARDOWN(removal_mapper)
{
	tear_down(_metadata, &self->stage);
}

static void expect_unflushed(struct __test_metadata *_metadata,
			     struct scene *s)
{
	EXPECT_EQ(-1, fsync(s->victim.fd));
	EXPECT_EQ(EIO, errno);
}

TEST_F_TIMEOUT(removal_mapper, fsync_mapped, TIMEOUT)
{
	struct scene *s = &self->stage.scene;

	unbind(_metadata, s);
	expect_unflushed(_metadata, s);
}

TEST_F_TIMEOUT(removal_mapper, fsync_open, TIMEOUT)
{
	struct scene *s = &self->stage.scene;

	ASSERT_EQ(0, fsync(s->victim.fd));
	s->victim.map[0] = s->victim.fill;
	file_unmap(&s->victim);
	unbind(_metadata, s);
	expect_unflushed(_metadata, s);
}

/* What is mapped by a table that has been replaced is found as well. */
TEST_F_TIMEOUT(removal_mapper, table_reloaded, TIMEOUT)
{
	struct scene *s = &self->stage.scene;

	ASSERT_EQ(0, provider_reload(s->fs));
	expect_kept(_metadata, &s->victim);
	play_pinned(_metadata, s, &op_unbind);
	expect_back(_metadata, s);
}

/*
 * Unmounted while it is frozen, a filesystem is shut down by who thaws it: not
 * while a page is pinned, and without a lock that sync(2) waits for.
 */
TEST_F_TIMEOUT(removal_mapper, resumed_after_unmount, TIMEOUT)
{
	struct scene *s = &self->stage.scene;

	ASSERT_EQ(0, scene_pin(s, &op_unmount, INSIDE));
	scene_close(s);
	ASSERT_EQ(0, provider_suspend(s->fs));
	EXPECT_EQ(0, provider_unmount(s->fs));
	ASSERT_EQ(0, provider_resume(s->fs));
	ASSERT_EQ(0, run_start(s, &op_sync));
	EXPECT_EQ(0, run_finish(&s->run));
	expect_pin_kept(_metadata, s);
}

/* What only device-dax devices allow. */

FIXTURE(removal_devdax) {
	struct stage stage;
	int gup_test;
};

FIXTURE_VARIANT(removal_devdax) {
	size_t align;
};

FIXTURE_VARIANT_ADD(removal_devdax, devdax_4k) {
	.align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(removal_devdax, devdax_2m) {
	.align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(removal_devdax, devdax_1g) {
	.align = 512 * PMD_SIZE,
};

FIXTURE_SETUP(removal_devdax)
{
	self->gup_test = -1;
	set_up(_metadata, &self->stage, "devdax", variant->align);
}

FIXTURE_TEARDOWN(removal_devdax)
{
	if (self->gup_test >= 0) {
		/* Its last user can be a process that unbinds. */
		ioctl(self->gup_test, PIN_LONGTERM_TEST_STOP);
		close(self->gup_test);
	}
	tear_down(_metadata, &self->stage);
}

/* Entries that were moved are found, and drop each reference that they have. */
TEST_F_TIMEOUT(removal_devdax, moved, TIMEOUT)
{
	struct scene *s = &self->stage.scene;
	struct dax_file *f = &s->victim;

	EXPECT_LT(0UL, touch_writable(f->map, f->size, step_of(f), f->fill));
	ASSERT_EQ(0, file_move(f, variant->align, 0));
	expect_kept(_metadata, f);
	unbind(_metadata, s);
	expect_unmapped(_metadata, s);
	expect_no_access(_metadata, s);
	expect_back(_metadata, s);
}

/* There nothing of a device can be mapped. */
TEST_F_TIMEOUT(removal_devdax, moved_off_alignment, TIMEOUT)
{
	struct scene *s = &self->stage.scene;

	if (variant->align == PTE_SIZE)
		SKIP(return, "a page is the unit");
	ASSERT_EQ(0, file_move(&s->victim, variant->align, variant->align / 2));
	expect_gone(_metadata, s->victim.map, &s->victim);
	unbind(_metadata, s);
	expect_unmapped(_metadata, s);
	expect_back(_metadata, s);
}

/* A pin that lasts, as of memory that hardware is told to use. */
TEST_F_TIMEOUT(removal_devdax, pinned_longterm, TIMEOUT)
{
	struct scene *s = &self->stage.scene;
	struct pin_longterm_test pin = {
		.addr = (uintptr_t)s->victim.map, .size = PTE_SIZE,
		.flags = PIN_LONGTERM_TEST_FLAG_USE_WRITE |
			 PIN_LONGTERM_TEST_FLAG_USE_FAST,
	};
	struct report report;
	char page[PTE_SIZE];
	__u64 to = (uintptr_t)page;

	self->gup_test = open("/sys/kernel/debug/gup_test", O_RDWR | O_CLOEXEC);
	if (self->gup_test < 0)
		SKIP(return, "no gup_test in debugfs (CONFIG_GUP_TEST)");
	ASSERT_EQ(0, ioctl(self->gup_test, PIN_LONGTERM_TEST_START, &pin));
	report_expect(&report, s, s->victim.map);
	ASSERT_LE(0, report.kmsg);
	ASSERT_EQ(0, run_start(s, &op_unbind));
	expect_waits(_metadata, s, &report);

	EXPECT_EQ(0, ioctl(self->gup_test, PIN_LONGTERM_TEST_READ, &to));
	for (size_t i = 0; i < PTE_SIZE; i++)
		ASSERT_EQ(s->victim.fill, page[i]);
	EXPECT_EQ(0, ioctl(self->gup_test, PIN_LONGTERM_TEST_STOP));
	EXPECT_EQ(0, run_finish(&s->run));
	expect_back(_metadata, s);
}

/* The node of a device without a driver is of no use to anybody. */
TEST_F_TIMEOUT(removal_devdax, open_unbound, TIMEOUT)
{
	struct scene *s = &self->stage.scene;
	struct dax_file late = s->victim;

	unbind(_metadata, s);
	late.fd = open(late.path, O_RDWR | O_CLOEXEC);
	if (late.fd < 0)
		return;
	EXPECT_NE(0, file_map_anywhere(&late));
	close(late.fd);
}

/*
 * The device comes back while it is open and mapped from before. What the
 * mapping shows then is for the device to say, but it must not be harmed by it,
 * nor when the file is closed and the device goes once more.
 */
TEST_F_TIMEOUT(removal_devdax, mapped_bound_again, TIMEOUT)
{
	struct scene *s = &self->stage.scene;
	struct dax_file *old = &s->victim, new = s->victim;

	unbind(_metadata, s);
	expect_gone(_metadata, old->map, old);
	ASSERT_EQ(0, device_bind(&s->device));
	new.fd = open(new.path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, new.fd);
	ASSERT_EQ(0, file_map_anywhere(&new));
	expect_kept(_metadata, &new);
	EXPECT_EQ(0UL, touch_all(old->map, old->size, step_of(old),
				 old->fill).other);
	file_close(old);
	expect_kept(_metadata, &new);
	unbind(_metadata, s);
	expect_gone(_metadata, new.map, &new);
	file_close(&new);
}

/*
 * A tool is told to make something else of a device, which it takes from its
 * driver for that.
 */

static int become_ram_perform(struct scene *s)
{
	const char * const argv[] = { "daxctl", "reconfigure-device", "-m",
				      "system-ram", s->device.name, NULL };

	return become_tool(argv);
}

static int become_block_perform(struct scene *s)
{
	const char * const argv[] = { "ndctl", "create-namespace", "-f", "-e",
				      getenv("DAX_NAMESPACE"), "-m", "fsdax",
				      NULL };

	return become_tool(argv);
}

static int disable_perform(struct scene *s)
{
	const char * const argv[] = { "ndctl", "disable-namespace",
				      getenv("DAX_NAMESPACE"), NULL };

	return become_tool(argv);
}

static const struct operation op_become_ram = {
	.name = "becoming RAM", .scope = SCOPE_FILE, .syscall = SYS_write,
	.perform = become_ram_perform,
};

static const struct operation op_become_block = {
	.name = "becoming a block device", .scope = SCOPE_FILE,
	.syscall = SYS_write, .perform = become_block_perform,
};

static const struct operation op_disable = {
	.name = "disabling the namespace", .scope = SCOPE_FILE,
	.syscall = SYS_write, .perform = disable_perform,
};

FIXTURE(reconfiguration) {
	struct stage stage;
	struct ram ram;
};

FIXTURE_VARIANT(reconfiguration) {
	const struct operation *op;
	size_t align;
};

FIXTURE_VARIANT_ADD(reconfiguration, devdax_4k_to_ram) {
	.op = &op_become_ram, .align = PTE_SIZE,
};

FIXTURE_VARIANT_ADD(reconfiguration, devdax_2m_to_ram) {
	.op = &op_become_ram, .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(reconfiguration, devdax_2m_to_block) {
	.op = &op_become_block, .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(reconfiguration, devdax_2m_to_nothing) {
	.op = &op_disable, .align = PMD_SIZE,
};

FIXTURE_SETUP(reconfiguration)
{
	if (!getenv("DAX_NAMESPACE"))
		SKIP(return, "DAX_NAMESPACE is not set");
	set_up(_metadata, &self->stage, "devdax", variant->align);
}

FIXTURE_TEARDOWN(reconfiguration)
{
	struct scene *s = &self->stage.scene;
	char why[REASON_MAX] = "";

	pin_close(&s->pin);
	EXPECT_LE(0, run_finish(&s->run));
	scene_close(s);
	if (self->ram.path[0])
		EXPECT_EQ(0, ram_down(&self->ram));
	EXPECT_EQ((int)PROVIDED, (int)block_up(why)) {
		TH_LOG("%s", why);
	}
	expect_no_warning(_metadata, &self->stage);
}

/* The tool has done what it was told to, and the memory is nobody's. */
static void expect_reconfigured(struct __test_metadata *_metadata,
				struct stage *st, struct ram *ram,
				const struct operation *op)
{
	struct scene *s = &st->scene;
	struct child tenant;

	EXPECT_FALSE(device_bound(&s->device));
	expect_unmapped(_metadata, s);
	if (op != &op_become_ram)
		return;
	ram_find(ram, s->victim.path);
	ASSERT_EQ(0, tenant_enter(&tenant, ram));
	expect_unmapped(_metadata, s);
	EXPECT_EQ(0, tenant_leave(&tenant));
}

TEST_F_TIMEOUT(reconfiguration, mapped, TIMEOUT)
{
	struct scene *s = &self->stage.scene;

	ASSERT_EQ(0, run_start(s, variant->op));
	ASSERT_EQ(0, run_finish(&s->run));
	expect_reconfigured(_metadata, &self->stage, &self->ram, variant->op);
}

TEST_F_TIMEOUT(reconfiguration, pinned, TIMEOUT)
{
	play_pinned(_metadata, &self->stage.scene, variant->op);
	expect_reconfigured(_metadata, &self->stage, &self->ram, variant->op);
}

/*
 * The memory becomes another device, then RAM that another process has, and a
 * device again, while who has it mapped from before looks at it.
 */

FIXTURE(conversion) {
	struct stage stage;
	struct dax_file device;	/* of the device that it becomes */
	struct ram ram;
};

FIXTURE_VARIANT(conversion) {
	const char *provider;
	size_t align;
	bool shared;
};

FIXTURE_VARIANT_ADD(conversion, ext4_linear_pmd) {
	.provider = "ext4_linear", .align = PMD_SIZE,
};

FIXTURE_VARIANT_ADD(conversion, xfs_shared) {
	.provider = "xfs_large", .align = PTE_SIZE, .shared = true,
};

FIXTURE_VARIANT_ADD(conversion, devdax_2m) {
	.provider = "devdax", .align = PMD_SIZE,
};

FIXTURE_SETUP(conversion)
{
	static const struct dax_file none = DAX_FILE_NONE;

	self->device = none;
	if (!getenv("DAX_NAMESPACE"))
		SKIP(return, "DAX_NAMESPACE is not set");
	set_up(_metadata, &self->stage, variant->provider, variant->align);
	if (_metadata->exit_code || !variant->shared)
		return;
	ASSERT_EQ(0, twin_make(&self->stage.scene)) {
		scene_clear(&self->stage.scene);
	}
}

/* The names that the device had are those of another one, or of none. */
FIXTURE_TEARDOWN(conversion)
{
	struct scene *s = &self->stage.scene;
	char why[REASON_MAX] = "";

	file_close(&self->device);
	scene_close(s);
	EXPECT_LE(0, run_finish(&s->run));
	pin_close(&s->pin);
	if (self->ram.path[0])
		EXPECT_EQ(0, ram_down(&self->ram));
	if (s->fs && provider_mounted(s->fs))
		EXPECT_EQ(0, provider_unmount(s->fs));
	EXPECT_EQ((int)PROVIDED, (int)block_up(why)) {
		TH_LOG("%s", why);
	}
	expect_no_warning(_metadata, &self->stage);
}

/* RAM consists of blocks: what precedes a device's first one remains unused. */
static size_t memory_block(void)
{
	FILE *f = fopen("/sys/devices/system/memory/block_size_bytes", "r");
	size_t size;

	if (!f)
		return 0;
	if (fscanf(f, "%zx", &size) != 1)
		size = 0;
	fclose(f);
	return size;
}

/* Map enough of a device that some of it will be RAM. */
static void map_blocks(struct __test_metadata *_metadata, struct dax_file *f)
{
	size_t block = memory_block();

	if (!block)
		return;
	file_unmap(f);
	f->size = 2 * block;
	ASSERT_EQ(0, file_map_anywhere(f));
	ASSERT_EQ(0UL, touch_all(f->map, f->size, step_of(f), f->fill).gone) {
		TH_LOG("the device has less than %zu bytes", f->size);
	}
}

/* The page frames of the victim. */
static size_t frames_of(const struct dax_file *f, uint64_t *pfns)
{
	size_t n = 0;

	for (size_t at = 0; at < f->size && n < SAMPLE; at += step_of(f))
		pfns[n++] = view_page(f->map + at) & VIEW_PFN;
	return n;
}

/* Map some of the device that the memory is by now. */
static void device_map(struct __test_metadata *_metadata, struct dax_file *f)
{
	f->fill = 'd';
	f->size = 4 * PMD_SIZE;
	f->fd = open(f->path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, f->fd);
	ASSERT_EQ(0, file_map_anywhere(f));
	EXPECT_LT(0UL, touch_writable(f->map, f->size, step_of(f), f->fill));
	expect_kept(_metadata, f);
}

static void become_device(struct __test_metadata *_metadata,
			  struct dax_file *device)
{
	char why[REASON_MAX] = "";

	if (!provided(_metadata, devdax_up(PMD_SIZE, device->path,
					   sizeof(device->path), why), why))
		return;
	device_map(_metadata, device);
}

/* By the time it returns, some of the frames are the tenant's. */
static void become_ram(struct __test_metadata *_metadata, struct ram *ram,
		       const char *path, struct child *tenant)
{
	char why[REASON_MAX] = "";

	if (!provided(_metadata, ram_up(ram, path, why), why))
		return;
	ASSERT_EQ(0, tenant_enter(tenant, ram));
}

TEST_F_TIMEOUT(conversion, twice, 2 * TIMEOUT)
{
	struct scene *s = &self->stage.scene;
	struct dax_file *device = &self->device;
	uint64_t pfns[SAMPLE];
	struct child tenant;
	size_t frames;

	if (!s->fs)
		map_blocks(_metadata, &s->victim);
	frames = frames_of(&s->victim, pfns);
	unbind(_metadata, s);
	for (int i = 0; i < 2; i++) {
		become_device(_metadata, device);
		if (_metadata->exit_code)
			return;
		expect_unmapped(_metadata, s);

		become_ram(_metadata, &self->ram, device->path, &tenant);
		if (_metadata->exit_code)
			return;
		EXPECT_LT(0UL, frames_of_processes(pfns, frames));
		expect_unmapped(_metadata, s);
		expect_gone(_metadata, device->map, device);
		EXPECT_EQ(0, tenant_leave(&tenant));
		file_close(device);

		ASSERT_EQ(0, ram_down(&self->ram));
		self->ram.path[0] = '\0';
		expect_unmapped(_metadata, s);
	}
}

TEST_HARNESS_MAIN
