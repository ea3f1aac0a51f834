// SPDX-License-Identifier: GPL-2.0
/*
 * A device-dax device hands out its memory in units of its alignment, has no
 * blocks to free, and keeps a pinned page whatever happens to the mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "../kselftest_harness.h"
#include "mapped.h"
#include "pin.h"
#include "provided.h"
#include "provider.h"
#include "uffd.h"
#include "view.h"

#define BEFORE 'b'
#define AFTER 'a'

FIXTURE(devdax) {
	struct dax_file device;
	struct pin pin;
	size_t page;
	long taint;
};

FIXTURE_VARIANT(devdax) {
	size_t align;
};

FIXTURE_VARIANT_ADD(devdax, 4k) {
	.align = 4UL << 10,
};

FIXTURE_VARIANT_ADD(devdax, 2m) {
	.align = 2UL << 20,
};

FIXTURE_VARIANT_ADD(devdax, 1g) {
	.align = 1UL << 30,
};

/* Map one unit of the device; its first and last page hold @fill. */
static int device_map(struct dax_file *f, size_t align, char fill)
{
	char *map = mmap(NULL, align, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd,
			 0);
	size_t page = sysconf(_SC_PAGESIZE);

	if (map == MAP_FAILED)
		return -errno;
	memset(map, fill, page);
	memset(map + align - page, fill, page);
	f->map = map;
	f->size = align;
	f->reservation = map;
	f->reserved = align;
	return 0;
}

FIXTURE_SETUP(devdax)
{
	static const struct dax_file none = DAX_FILE_NONE;
	static const struct pin no_pin = PIN_NONE;
	struct dax_file *device = &self->device;
	char why[REASON_MAX] = "";

	*device = none;
	self->pin = no_pin;
	self->page = sysconf(_SC_PAGESIZE);
	self->taint = view_taint();
	if (!provided(_metadata,
		      devdax_up(variant->align, device->path,
				sizeof(device->path), why), why))
		return;
	device->fd = open(device->path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, device->fd);
	ASSERT_EQ(0, device_map(device, variant->align, BEFORE));
	ASSERT_EQ(0, pin_open(&self->pin));
	ASSERT_EQ(0, pin_page(&self->pin, device->map, BEFORE));
	ASSERT_EQ(0, pin_page(&self->pin,
			      device->map + variant->align - self->page,
			      BEFORE));
}

FIXTURE_TEARDOWN(devdax)
{
	pin_close(&self->pin);
	file_close(&self->device);
	EXPECT_EQ(self->taint, view_taint()) {
		TH_LOG("the kernel has warned: see its log");
	}
}

static void expect_kept(struct __test_metadata *_metadata, struct pin *pin)
{
	int content = pin_drop(pin);

	EXPECT_EQ(PIN_KEPT, content) {
		TH_LOG("the pipe returned %s", pin_content_text(content));
	}
}

TEST_F(devdax, munmap)
{
	file_unmap(&self->device);
	expect_kept(_metadata, &self->pin);
}

TEST_F(devdax, close)
{
	file_close(&self->device);
	expect_kept(_metadata, &self->pin);
}

/* The last user of a mapping can be one that does not know of the pin. */
TEST_F(devdax, exit)
{
	pid_t pid = fork();
	int status;

	ASSERT_LE(0, pid);
	if (!pid) {
		pin_close(&self->pin);
		_exit(self->device.map[0] != BEFORE);
	}
	file_close(&self->device);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	expect_kept(_metadata, &self->pin);
}

/* What is pinned is the device's page, not a copy of it. */
TEST_F(devdax, write_through_new_mapping)
{
	file_unmap(&self->device);
	ASSERT_EQ(0, device_map(&self->device, variant->align, AFTER));
	for (unsigned int i = 0; i < self->pin.pages; i++)
		self->pin.fill[i] = AFTER;
	expect_kept(_metadata, &self->pin);
}

/* Each page can be pinned again once its pin is gone. */
TEST_F(devdax, pin_again)
{
	for (int i = 0; i < 64; i++) {
		expect_kept(_metadata, &self->pin);
		ASSERT_EQ(0, pin_page(&self->pin, self->device.map, BEFORE));
		file_unmap(&self->device);
		ASSERT_EQ(0, device_map(&self->device, variant->align, BEFORE));
	}
	expect_kept(_metadata, &self->pin);
}

TEST_F(devdax, truncate_is_refused)
{
	EXPECT_EQ(-1, ftruncate(self->device.fd, 0));
	EXPECT_EQ(EINVAL, errno);
	expect_kept(_metadata, &self->pin);
}

TEST_F(devdax, fallocate_is_refused)
{
	EXPECT_EQ(-1, fallocate(self->device.fd, FALLOC_FL_PUNCH_HOLE |
				FALLOC_FL_KEEP_SIZE, 0, variant->align));
	EXPECT_EQ(ENODEV, errno);
	expect_kept(_metadata, &self->pin);
}

TEST_F(devdax, open_trunc_changes_nothing)
{
	int fd = open(self->device.path, O_RDWR | O_TRUNC | O_CLOEXEC);

	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_EQ(BEFORE, self->device.map[0]);
	expect_kept(_metadata, &self->pin);
}

/* The node is unlinked; the device and its memory stay. */
TEST_F(devdax, unlink_close)
{
	char node[] = "/dev/dax-selftest-XXXXXX";
	struct stat st;
	int fd;

	ASSERT_EQ(0, fstat(self->device.fd, &st));
	fd = mkstemp(node);
	ASSERT_LE(0, fd);
	close(fd);
	ASSERT_EQ(0, unlink(node));
	ASSERT_EQ(0, mknod(node, S_IFCHR | 0600, st.st_rdev));

	file_close(&self->device);
	self->device.fd = open(node, O_RDWR | O_CLOEXEC);
	EXPECT_LE(0, self->device.fd);
	EXPECT_EQ(0, unlink(node));
	ASSERT_EQ(0, device_map(&self->device, variant->align, BEFORE));
	file_close(&self->device);
	expect_kept(_metadata, &self->pin);
}

/* One entry maps a whole unit: touching its second half faults no more. */
TEST_F(devdax, one_fault_maps_a_unit)
{
	struct rusage before, after;

	file_unmap(&self->device);
	ASSERT_EQ(0, device_map(&self->device, variant->align, BEFORE));
	getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < variant->align; i += variant->align / 64)
		self->device.map[i] = BEFORE;
	getrusage(RUSAGE_SELF, &after);
	EXPECT_GT(32, after.ru_minflt - before.ru_minflt);
	expect_kept(_metadata, &self->pin);
}

/* A mapping has to be made of whole units. */
TEST_F(devdax, part_of_a_unit_is_refused)
{
	void *map;

	if (variant->align == self->page)
		SKIP(return, "a page is the unit");
	map = mmap(NULL, variant->align - self->page, PROT_READ, MAP_SHARED,
		   self->device.fd, 0);
	EXPECT_EQ(MAP_FAILED, map);
	EXPECT_EQ(EINVAL, errno);
}

/*
 * Device memory between anonymous pages: what goes over a range goes from one to
 * the other and back.
 */

#define NEIGHBOUR 'n'

/* Map a unit again, with a page of the other kind on each side. */
static char *map_among_others(struct dax_file *f, size_t align, size_t page)
{
	size_t reserved = 2 * align + 2 * page;
	char *room, *map;

	file_unmap(f);
	room = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (room == MAP_FAILED)
		return NULL;
	f->reservation = room;
	f->reserved = reserved;
	map = (char *)(((uintptr_t)room + page + align - 1) / align * align);
	if (mprotect(map - page, align + 2 * page, PROT_READ | PROT_WRITE) ||
	    mmap(map, align, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 f->fd, 0) == MAP_FAILED)
		return NULL;
	memset(map - page, NEIGHBOUR, page);
	memset(map + align, NEIGHBOUR, page);
	f->map = map;
	f->size = align;
	return map;
}

/* Two pages, read by way of pinning them, of which the first begins at @at. */
static void expect_pair(struct __test_metadata *_metadata, char *at,
			size_t page, char first, char second)
{
	char copy[2 * page];
	struct iovec to = { .iov_base = copy, .iov_len = sizeof(copy) };
	struct iovec from = { .iov_base = at, .iov_len = sizeof(copy) };

	ASSERT_EQ((ssize_t)sizeof(copy),
		  process_vm_readv(getpid(), &to, 1, &from, 1, 0));
	for (size_t i = 0; i < page; i++) {
		ASSERT_EQ(first, copy[i]);
		ASSERT_EQ(second, copy[page + i]);
	}
}

/* Pin both in one call. */
static void pin_pair(struct __test_metadata *_metadata, struct pin *pin,
		     char *at, size_t page, char first, char second)
{
	struct iovec both = { .iov_base = at, .iov_len = 2 * page };

	ASSERT_EQ((ssize_t)both.iov_len, vmsplice(pin->pipe[1], &both, 1, 0));
	pin->fill[pin->pages++] = first;
	pin->fill[pin->pages++] = second;
}

TEST_F(devdax, between_anonymous_pages)
{
	size_t align = variant->align, page = self->page;
	char *map = map_among_others(&self->device, align, page);
	char *front, *end;

	ASSERT_NE(NULL, map);
	front = map - page;
	end = map + align;
	expect_pair(_metadata, front, page, NEIGHBOUR, BEFORE);
	expect_pair(_metadata, end - page, page, BEFORE, NEIGHBOUR);
	pin_pair(_metadata, &self->pin, front, page, NEIGHBOUR, BEFORE);
	pin_pair(_metadata, &self->pin, end - page, page, BEFORE, NEIGHBOUR);

	ASSERT_EQ(0, mprotect(front, align + 2 * page, PROT_READ));
	EXPECT_FALSE(can_write(front));
	EXPECT_FALSE(can_write(map));
	EXPECT_FALSE(can_write(end));
	ASSERT_EQ(0, mprotect(front, align + 2 * page, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(can_write(front));
	EXPECT_TRUE(can_write(map));
	EXPECT_TRUE(can_write(end));

	/* Anonymous pages are given up, and others come when they are touched. */
	ASSERT_EQ(0, madvise(front, align + 2 * page, MADV_DONTNEED));
	expect_pair(_metadata, front, page, 0, BEFORE);
	expect_pair(_metadata, end - page, page, BEFORE, 0);

	ASSERT_EQ(0, munmap(front, align + 2 * page));
	expect_kept(_metadata, &self->pin);
}

static void expect_filled(struct __test_metadata *_metadata, const char *map,
			  size_t align, char fill)
{
	EXPECT_EQ(fill, map[0]);
	EXPECT_EQ(fill, map[align - 1]);
}

/*
 * mremap(2): RssFile tells what is mapped, and how often, if not to a page.
 * smaps would make a PUD's entry go, as does all that looks for smaller ones.
 */

/* Units that are mapped, where RssFile is @none without any. */
static long units_mapped(size_t align, long none)
{
	long kb = view_status_kb("RssFile") - none, unit = align / 1024;

	return (kb + unit / 2) / unit;
}

/* Map the unit once more. RssFile without it. */
static long map_counted(struct __test_metadata *_metadata, struct dax_file *f,
			size_t align)
{
	long none;

	file_unmap(f);
	none = view_status_kb("RssFile");
	EXPECT_LT(0, none);
	EXPECT_EQ(0, device_map(f, align, BEFORE));
	EXPECT_EQ(1, units_mapped(align, none));
	return none;
}

/* The entry moves: it is there without a page fault, and only there. */
TEST_F(devdax, mremap_moves_aligned)
{
	struct dax_file *f = &self->device;
	size_t align = variant->align;
	char *from;
	long none;

	if (align == self->page)
		SKIP(return, "RssFile does not tell single pages");
	none = map_counted(_metadata, f, align);
	from = f->map;
	ASSERT_EQ(0, file_move(f, align, 0));
	EXPECT_FALSE(can_read(from));
	EXPECT_EQ(1, units_mapped(align, none));
	expect_filled(_metadata, f->map, align, BEFORE);
	EXPECT_TRUE(can_write(f->map));
	EXPECT_EQ(1, units_mapped(align, none));
	file_unmap(f);
	EXPECT_EQ(0, units_mapped(align, none));
	expect_kept(_metadata, &self->pin);
}

/* The entry is dropped, and no other can be where the mapping is now. */
TEST_F(devdax, mremap_moves_off_alignment)
{
	struct dax_file *f = &self->device;
	size_t align = variant->align;
	char *from;
	long none;

	if (align == self->page)
		SKIP(return, "a page is the unit");
	none = map_counted(_metadata, f, align);
	from = f->map;
	ASSERT_EQ(0, file_move(f, align, align / 2));
	EXPECT_FALSE(can_read(from));
	EXPECT_FALSE(can_read(f->map));
	EXPECT_FALSE(can_read(f->map + align - 1));
	EXPECT_EQ(0, units_mapped(align, none));

	/* It can be moved back. */
	ASSERT_EQ(0, file_move(f, align, 0));
	expect_filled(_metadata, f->map, align, BEFORE);
	EXPECT_EQ(1, units_mapped(align, none));
	file_unmap(f);
	EXPECT_EQ(0, units_mapped(align, none));
	expect_kept(_metadata, &self->pin);
}

/* Nobody is told of writes to the mapping, and nothing is to be taken back. */
TEST_F(devdax, userfaultfd_comes_and_goes)
{
	char *map = self->device.map;
	int fd = uffd_open(UFFD_FEATURE_WP_ASYNC);

	if (fd < 0)
		SKIP(return, "no asynchronous write protection (CONFIG_PTE_MARKER_UFFD_WP)");
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, uffd_register(fd, map, variant->align,
					   UFFDIO_REGISTER_MODE_WP));
		expect_filled(_metadata, map, variant->align, BEFORE);
		EXPECT_TRUE(can_write(map));
		/* At last it goes by being closed. */
		EXPECT_EQ(0, i ? close(fd) :
			  uffd_unregister(fd, map, variant->align));
		expect_filled(_metadata, map, variant->align, BEFORE);
		EXPECT_TRUE(can_write(map));
	}
	expect_kept(_metadata, &self->pin);
}

/* The last byte of the last range that @device has of its region, or -1. */
static long device_end(const char *device)
{
	long end = -1, next;
	char path[PATH_MAX];

	for (int i = 0; ; i++) {
		snprintf(path, sizeof(path),
			 "/sys/bus/dax/devices/%s/mapping%d/end", device, i);
		next = view_number(path);
		if (next < 0)
			return end;
		end = next;
	}
}

/* Its driver has pages for what it had at first. */
TEST_F(devdax, in_use_takes_no_more_memory)
{
	const char *name = strrchr(self->device.path, '/') + 1;
	char sizes[PATH_MAX], path[PATH_MAX], range[64];
	long end = device_end(name), size;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/dax/devices/%s/mapping", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		SKIP(return, "a device of all memory of its region");
	snprintf(sizes, sizeof(sizes), "/sys/bus/dax/devices/%s/size", name);
	size = view_number(sizes);
	ASSERT_LE(0, end);

	/* The unit behind it, if that is free. */
	snprintf(range, sizeof(range), "%lx-%lx", end + 1, end + variant->align);
	EXPECT_EQ(-1, write(fd, range, strlen(range)));
	EXPECT_EQ(EBUSY, errno);
	EXPECT_EQ(size, view_number(sizes));
	close(fd);
	expect_kept(_metadata, &self->pin);
}

TEST_HARNESS_MAIN
