// SPDX-License-Identifier: GPL-2.0
/*
 * Whoever gets at the pages of a process by their address has to find the right
 * ones behind a DAX mapping, too, and to let go of them: get_user_pages() in all
 * its forms, direct I/O, pipes, debuggers, other processes and core dumps.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <linux/const.h>
#include <linux/elf.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "../../../../mm/gup_test.h"
#include "mapped_fixture.h"

/* get_user_pages() itself, by a driver that exists for its tests. */

#define GUP_TEST "/sys/kernel/debug/gup_test"
#define FOLL_WRITE 0x01

/*
 * Take the pages of a range, @per_call at a time, and give them back. Pages that
 * were taken; after a call that took less than asked for, it goes no further.
 */
static long gup(int fd, unsigned long cmd, const char *from, size_t pages,
		unsigned int per_call, bool write)
{
	struct gup_test args = {
		.addr = (uintptr_t)from,
		.size = pages * PTE_SIZE,
		.nr_pages_per_call = per_call,
		.gup_flags = write ? FOLL_WRITE : 0,
	};

	return ioctl(fd, cmd, &args) ? -errno : (long)(args.size / PTE_SIZE);
}

static void play_gup(struct __test_metadata *_metadata, struct mapped *m,
		     unsigned long cmd)
{
	static const unsigned int per_call[] = { 1, 7, 512 };
	/* So that calls for 512 pages go across the border of PMDs. */
	long first = 300, pages = PAGES - first;
	char *from = m->map + first * PTE_SIZE;
	int fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		SKIP(return, "no " GUP_TEST " (CONFIG_GUP_TEST)");
	for (size_t i = 0; i < ARRAY_SIZE(per_call); i++) {
		EXPECT_EQ(pages, gup(fd, cmd, from, pages, per_call[i], false));
		EXPECT_EQ(pages, gup(fd, cmd, from, pages, per_call[i], true));
	}
	/* What is not mapped has to be first. */
	EXPECT_EQ(0, madvise(m->map, SIZE, MADV_DONTNEED));
	EXPECT_EQ(PAGES, gup(fd, cmd, m->map, PAGES, 7, false));
	EXPECT_EQ(0, madvise(m->map, SIZE, MADV_DONTNEED));
	EXPECT_EQ(PAGES, gup(fd, cmd, m->map, PAGES, 512, true));
	if (!m->shared)
		EXPECT_EQ(huge(m, SIZE), view_huge(m->map, SIZE));
	close(fd);
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, ORIGINAL));
}

TEST_F_TIMEOUT(mapped, get_fast, TIMEOUT)
{
	play_gup(_metadata, &self->m, GUP_FAST_BENCHMARK);
}

TEST_F_TIMEOUT(mapped, get, TIMEOUT)
{
	play_gup(_metadata, &self->m, GUP_BASIC_TEST);
}

TEST_F_TIMEOUT(mapped, pin_fast, TIMEOUT)
{
	play_gup(_metadata, &self->m, PIN_FAST_BENCHMARK);
}

TEST_F_TIMEOUT(mapped, pin, TIMEOUT)
{
	play_gup(_metadata, &self->m, PIN_BASIC_TEST);
}

/* Pages of a mapping that is not writable cannot be taken for writing. */
TEST_F_TIMEOUT(mapped, pin_for_writing_is_refused, TIMEOUT)
{
	static const unsigned long cmds[] = {
		GUP_FAST_BENCHMARK, GUP_BASIC_TEST, PIN_FAST_BENCHMARK,
		PIN_BASIC_TEST,
	};
	struct mapped *m = &self->m;
	int fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		SKIP(return, "no " GUP_TEST " (CONFIG_GUP_TEST)");
	ASSERT_EQ(0, mprotect(m->map, SIZE, PROT_READ));
	for (size_t i = 0; i < ARRAY_SIZE(cmds); i++) {
		EXPECT_EQ(0, gup(fd, cmds[i], m->map, 7, 7, true));
		EXPECT_EQ(PAGES, gup(fd, cmds[i], m->map, PAGES, 512, false));
	}
	close(fd);
}

/* What the kernel prints about such a page must not make it stumble. */
static void play_dump(struct __test_metadata *_metadata, struct mapped *m,
		      unsigned int flags)
{
	struct gup_test args = {
		.addr = (uintptr_t)m->map,
		.size = SIZE,
		.nr_pages_per_call = PAGES,
		.test_flags = flags,
		.which_pages = { 1, PMD_PAGES, PMD_PAGES + 1, PAGES },
	};
	int fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		SKIP(return, "no " GUP_TEST " (CONFIG_GUP_TEST)");
	EXPECT_EQ(0, ioctl(fd, DUMP_USER_PAGES_TEST, &args));
	close(fd);
	/* It takes back the numbers of pages that it did not get. */
	EXPECT_EQ(1U, args.which_pages[0]);
	EXPECT_EQ(1U * PMD_PAGES, args.which_pages[1]);
	EXPECT_EQ(PMD_PAGES + 1U, args.which_pages[2]);
	EXPECT_EQ(1U * PAGES, args.which_pages[3]);
}

TEST_F_TIMEOUT(mapped, dump_got, TIMEOUT)
{
	play_dump(_metadata, &self->m, 0);
}

TEST_F_TIMEOUT(mapped, dump_pinned, TIMEOUT)
{
	play_dump(_metadata, &self->m, GUP_TEST_FLAG_DUMP_PAGES_USE_PIN);
}

/*
 * Nobody may hold a page of a file for as long as he likes, as the filesystem
 * could not take its block back.
 */
static int pin_longterm(int fd, const char *from, size_t pages,
			unsigned int flags)
{
	struct pin_longterm_test args = {
		.addr = (uintptr_t)from,
		.size = pages * PTE_SIZE,
		.flags = flags,
	};

	if (ioctl(fd, PIN_LONGTERM_TEST_START, &args))
		return -errno;
	ioctl(fd, PIN_LONGTERM_TEST_STOP);
	return 0;
}

TEST_F_TIMEOUT(mapped, pin_longterm_is_refused, TIMEOUT)
{
	struct mapped *m = &self->m;
	int fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		SKIP(return, "no " GUP_TEST " (CONFIG_GUP_TEST)");
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int flags = 0;

		if (i & 1)
			flags |= PIN_LONGTERM_TEST_FLAG_USE_WRITE;
		if (i & 2)
			flags |= PIN_LONGTERM_TEST_FLAG_USE_FAST;
		EXPECT_EQ(-EOPNOTSUPP, pin_longterm(fd, m->map, 1, flags));
		EXPECT_EQ(-EOPNOTSUPP, pin_longterm(fd, m->map, PAGES, flags));
	}
	EXPECT_EQ(0, gup(fd, PIN_LONGTERM_BENCHMARK, m->map, 7, 7, false));
	EXPECT_EQ(0, gup(fd, PIN_LONGTERM_BENCHMARK, m->map, 7, 7, true));
	close(fd);
}

TEST_F_TIMEOUT(mapped, pin_longterm_private_is_refused, TIMEOUT)
{
	struct mapped *m = &self->m;
	int fd = open(GUP_TEST, O_RDWR | O_CLOEXEC);
	char *map;

	if (fd < 0)
		SKIP(return, "no " GUP_TEST " (CONFIG_GUP_TEST)");
	map = mapped_again(m, 0, SIZE, PROT_READ, MAP_PRIVATE, 0);
	ASSERT_NE(NULL, map);
	EXPECT_EQ(-EOPNOTSUPP, pin_longterm(fd, map, 7, 0));
	EXPECT_EQ(-EOPNOTSUPP, pin_longterm(fd, map, 7,
					    PIN_LONGTERM_TEST_FLAG_USE_FAST));
	munmap(map, SIZE);
	close(fd);
}

/* Buffers of io_uring are such pins. */
TEST_F_TIMEOUT(mapped, io_uring_buffer_is_refused, TIMEOUT)
{
	struct io_uring_params params = { 0 };
	struct iovec iov = {
		.iov_base = self->m.map + ACROSS * PTE_SIZE,
		.iov_len = ACROSS_PAGES * PTE_SIZE,
	};
	int fd = syscall(SYS_io_uring_setup, 4, &params);

	if (fd < 0)
		SKIP(return, "no io_uring: %s", strerror(errno));
	EXPECT_EQ(-1, syscall(SYS_io_uring_register, fd,
			      IORING_REGISTER_BUFFERS, &iov, 1));
	EXPECT_EQ(EOPNOTSUPP, errno);
	close(fd);
}

/* Direct I/O, to a file of the same filesystem and to one of a block device. */

#define TMPFS_SUPER_MAGIC 0x01021994

static int direct_open(const char *dir)
{
	char path[PATH_MAX + 16];
	struct statfs st;
	int fd;

	snprintf(path, sizeof(path), "%s/other", dir);
	fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_DIRECT | O_CLOEXEC,
		  0600);
	if (fd < 0)
		return -errno;
	unlink(path);
	/* It accepts O_DIRECT, and copies. */
	if (!fstatfs(fd, &st) && st.f_type == TMPFS_SUPER_MAGIC) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

/* Read and write the range of the file @fd, from and to the same of @map. */
static void play_direct_range(struct __test_metadata *_metadata, int fd,
			      char *map, long from, long len)
{
	ASSERT_EQ(len, pwrite(fd, map + from, len, from));
	ASSERT_EQ(len, pread(fd, map + from, len, from));
}

static void play_direct(struct __test_metadata *_metadata, struct mapped *m,
			const char *dir)
{
	int fd = direct_open(dir);

	if (fd == -EINVAL)
		SKIP(return, "no direct I/O in %s", dir);
	ASSERT_LE(0, fd);
	/* Off the mapping. */
	ASSERT_EQ(SIZE, pwrite(fd, m->map, SIZE, 0));
	EXPECT_EQ(0, pages_differ_in(fd, 0, PAGES, ORIGINAL));
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, ORIGINAL));
	/* Parts of pages. */
	play_direct_range(_metadata, fd, m->map, 512, 1024);
	play_direct_range(_metadata, fd, m->map, ACROSS * PTE_SIZE + 512,
			  ACROSS_PAGES * PTE_SIZE);
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, ORIGINAL));
	EXPECT_EQ(0, pages_differ_in(fd, 0, PAGES, ORIGINAL));
	/* Into the mapping, which is not there by then. */
	ASSERT_EQ(0, pages_write(fd, 0, PAGES, CHANGED));
	ASSERT_EQ(0, madvise(m->map, SIZE, MADV_DONTNEED));
	ASSERT_EQ(SIZE, pread(fd, m->map, SIZE, 0));
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, CHANGED));
	EXPECT_EQ(0, pages_differ_in(m->file.fd, 0, PAGES, CHANGED));
	close(fd);
}

TEST_F_TIMEOUT(mapped, direct_io_same_fs, TIMEOUT)
{
	play_direct(_metadata, &self->m, provider_dir(self->m.fs));
}

TEST_F_TIMEOUT(mapped, direct_io_other_fs, TIMEOUT)
{
	play_direct(_metadata, &self->m, "/var/tmp");
}

/* What is written is in memory that has to be faulted in all the time. */

#define FLEETING_PAGES 128

struct fleeting {
	char *page;
	bool stop;
};

static void *keep_unmapping(void *arg)
{
	struct fleeting *f = arg;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED))
		madvise(f->page, PTE_SIZE, MADV_DONTNEED);
	return NULL;
}

TEST_F_TIMEOUT(mapped, write_from_fleeting_memory, TIMEOUT)
{
	struct fleeting f = { .stop = false };
	pthread_t thread;
	long done;

	f.page = mmap(NULL, PTE_SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, f.page);
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_unmapping, &f));
	for (done = 0; done < FLEETING_PAGES; done++) {
		pages_fill(f.page, done, 1, CHANGED);
		if (pwrite(self->m.file.fd, f.page, PTE_SIZE,
			   done * PTE_SIZE) != PTE_SIZE)
			break;
	}
	EXPECT_EQ(FLEETING_PAGES, done) {
		TH_LOG("writing page %ld: %s", done, strerror(errno));
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, pages_differ(self->m.map, 0, FLEETING_PAGES, CHANGED));
	munmap(f.page, PTE_SIZE);
}

/* A MAP_PRIVATE mapping gets its own pages, and the file keeps its data. */
TEST_F_TIMEOUT(mapped, direct_io_into_private, TIMEOUT)
{
	struct mapped *m = &self->m;
	int fd = direct_open("/var/tmp");
	long len = ACROSS_PAGES * PTE_SIZE, at = ACROSS * PTE_SIZE;
	char *map;

	if (fd == -EINVAL)
		SKIP(return, "no direct I/O in /var/tmp");
	ASSERT_LE(0, fd);
	map = mapped_again(m, 0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(NULL, map);
	pages_touch(map, 0, PAGES, false);
	ASSERT_EQ(0, pages_write(fd, 0, PAGES, PRIVATE));
	ASSERT_EQ(len, pread(fd, map + at, len, at));
	EXPECT_EQ(0, pages_differ(map, 0, ACROSS, ORIGINAL));
	EXPECT_EQ(0, pages_differ(map + at, ACROSS, ACROSS_PAGES, PRIVATE));
	EXPECT_EQ(0, pages_differ(map + at + len, ACROSS + ACROSS_PAGES,
				  PAGES - ACROSS - ACROSS_PAGES, ORIGINAL));
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, ORIGINAL));
	munmap(map, SIZE);
	close(fd);
}

/* Pages in a pipe. */

/* Put pages of the mapping at @map, from page @first of the file, into a pipe. */
static ssize_t pipe_pages(int ends[2], char *map, size_t pages)
{
	struct iovec iov = { .iov_base = map, .iov_len = pages * PTE_SIZE };

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -1;
	return vmsplice(ends[1], &iov, 1, 0);
}

/* Read one page from it; 0 if it holds what it should. */
static int piped_differ(int ends[2], size_t page, char who)
{
	static char buffer[PTE_SIZE];

	memset(buffer, 0, sizeof(buffer));
	if (read(ends[0], buffer, PTE_SIZE) != PTE_SIZE)
		return 1;
	return pages_differ(buffer, page, 1, who);
}

static void pipe_close(int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

/* A pipe holds the page, not what was in it; a shared one is left to the twin. */
TEST_F_TIMEOUT(mapped, vmsplice, TIMEOUT)
{
	struct mapped *m = &self->m;
	char *at = m->map + ACROSS * PTE_SIZE;
	int ends[2];

	ASSERT_EQ(ACROSS_PAGES * PTE_SIZE,
		  pipe_pages(ends, at, ACROSS_PAGES));
	pages_fill(at, ACROSS, 1, CHANGED);
	EXPECT_EQ(0, piped_differ(ends, ACROSS, m->shared ? ORIGINAL : CHANGED));
	for (size_t i = 1; i < ACROSS_PAGES; i++)
		EXPECT_EQ(0, piped_differ(ends, ACROSS + i, ORIGINAL));
	pipe_close(ends);
	EXPECT_EQ(0, pages_differ(at, ACROSS, 1, CHANGED));
}

TEST_F_TIMEOUT(mapped, vmsplice_outlives_mapping, TIMEOUT)
{
	struct mapped *m = &self->m;
	int ends[2];

	ASSERT_EQ(ACROSS_PAGES * PTE_SIZE,
		  pipe_pages(ends, m->map + ACROSS * PTE_SIZE, ACROSS_PAGES));
	mapped_unmap(m);
	for (size_t i = 0; i < ACROSS_PAGES; i++)
		EXPECT_EQ(0, piped_differ(ends, ACROSS + i, ORIGINAL));
	pipe_close(ends);
}

/* fork(2) while pages are held. */

struct forked {
	struct mapped *m;
	char *map;
};

static int forked_writes(void *arg)
{
	struct forked *f = arg;
	char *at = f->map + ACROSS * PTE_SIZE;

	if (pages_differ(f->map, 0, PAGES, ORIGINAL))
		return 1;
	pages_fill(at, ACROSS, ACROSS_PAGES, CHANGED);
	return pages_differ(at, ACROSS, ACROSS_PAGES, CHANGED) ? 2 : 0;
}

/* What the parent wrote in between, or not. */
static int forked_sees_parent(void *arg)
{
	struct forked *f = arg;

	return pages_differ(f->map + PART * PTE_SIZE, PART, PART_PAGES, CHANGED);
}

static int forked_keeps_own(void *arg)
{
	struct forked *f = arg;

	return pages_differ(f->map + PART * PTE_SIZE, PART, PART_PAGES,
			    ORIGINAL) ||
		pages_differ(f->map + ACROSS * PTE_SIZE, ACROSS, ACROSS_PAGES,
			     CHANGED);
}

TEST_F_TIMEOUT(mapped, fork_shared, TIMEOUT)
{
	struct mapped *m = &self->m;
	struct forked f = { .m = m, .map = m->map };
	char *at = m->map + ACROSS * PTE_SIZE;
	struct child child;
	int ends[2];

	ASSERT_EQ(ACROSS_PAGES * PTE_SIZE,
		  pipe_pages(ends, at, ACROSS_PAGES));
	ASSERT_EQ(0, child_start(&child, forked_writes, forked_sees_parent, &f));
	EXPECT_EQ(0, pages_differ(at, ACROSS, ACROSS_PAGES, CHANGED));
	pages_fill(m->map + PART * PTE_SIZE, PART, PART_PAGES, CHANGED);
	EXPECT_EQ(0, child_end(&child));
	for (size_t i = 0; i < ACROSS_PAGES; i++)
		EXPECT_EQ(0, piped_differ(ends, ACROSS + i,
					  m->shared ? ORIGINAL : CHANGED));
	pipe_close(ends);
	EXPECT_EQ(0, pages_differ_in(m->file.fd, ACROSS, ACROSS_PAGES, CHANGED));
}

/* Of a MAP_PRIVATE mapping, the child's writes are its own, as the parent's. */
TEST_F_TIMEOUT(mapped, fork_private, TIMEOUT)
{
	struct mapped *m = &self->m;
	struct forked f = { .m = m };
	struct child child;
	int ends[2];
	char *at;

	f.map = mapped_again(m, 0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(NULL, f.map);
	pages_touch(f.map, 0, PAGES, false);
	EXPECT_EQ(huge(m, SIZE), view_huge(f.map, SIZE));
	at = f.map + ACROSS * PTE_SIZE;
	ASSERT_EQ(ACROSS_PAGES * PTE_SIZE,
		  pipe_pages(ends, at, ACROSS_PAGES));
	ASSERT_EQ(0, child_start(&child, forked_writes, forked_keeps_own, &f));
	EXPECT_EQ(0, pages_differ(f.map, 0, PAGES, ORIGINAL));
	pages_fill(f.map + PART * PTE_SIZE, PART, PART_PAGES, PRIVATE);
	EXPECT_EQ(0, child_end(&child));
	EXPECT_EQ(0, pages_differ(f.map + PART * PTE_SIZE, PART, PART_PAGES,
				  PRIVATE));
	for (size_t i = 0; i < ACROSS_PAGES; i++)
		EXPECT_EQ(0, piped_differ(ends, ACROSS + i, ORIGINAL));
	pipe_close(ends);
	munmap(f.map, SIZE);
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, ORIGINAL));
}

/* Pages of a MAP_PRIVATE mapping that are its own before the fork. */
TEST_F_TIMEOUT(mapped, fork_private_written, TIMEOUT)
{
	struct mapped *m = &self->m;
	struct forked f = { .m = m };
	size_t after = PART + PART_PAGES;
	struct child child;
	char *at;

	f.map = mapped_again(m, 0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(NULL, f.map);
	pages_touch(f.map, 0, PAGES, false);
	at = f.map + PART * PTE_SIZE;
	pages_fill(at, PART, PART_PAGES, ORIGINAL);
	ASSERT_EQ(0, child_start(&child, forked_writes, forked_keeps_own, &f));
	pages_fill(at, PART, PART_PAGES, PRIVATE);
	EXPECT_EQ(0, child_end(&child));
	EXPECT_EQ(0, pages_differ(at, PART, PART_PAGES, PRIVATE));
	EXPECT_EQ(0, pages_differ(f.map, 0, PART, ORIGINAL));
	EXPECT_EQ(0, pages_differ(f.map + after * PTE_SIZE, after,
				  PAGES - after, ORIGINAL));
	munmap(f.map, SIZE);
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, ORIGINAL));
}

/* Another process's memory. */

static int maps_all(void *arg)
{
	struct forked *f = arg;

	pages_touch(f->map, 0, PAGES, false);
	return 0;
}

/*
 * What a mapping should hold after parts of its pages were changed from outside.
 * Whoever does that does not have the mapping's pages at hand by its own address.
 */
static char image[SIZE];

static void image_reset(void)
{
	pages_fill(image, 0, PAGES, ORIGINAL);
}

static void image_change(size_t from, size_t len)
{
	static char text[PTE_SIZE];
	size_t end = from + len, n;

	for (size_t at = from; at < end; at += n) {
		n = PTE_SIZE - at % PTE_SIZE;
		if (n > end - at)
			n = end - at;
		pages_fill(text, at / PTE_SIZE, 1, CHANGED);
		memcpy(image + at, text + at % PTE_SIZE, n);
	}
}

static int was_changed(void *arg)
{
	struct forked *f = arg;

	return memcmp(f->map, image, SIZE) ? 1 : 0;
}

static void play_process_vm(struct __test_metadata *_metadata, struct forked *f)
{
	static char buffer[SIZE];
	long from = ACROSS * PTE_SIZE + 512;
	long len = ACROSS_PAGES * PTE_SIZE - 1024;
	struct iovec local = { .iov_base = buffer, .iov_len = SIZE };
	struct iovec remote = { .iov_base = f->map, .iov_len = SIZE };
	struct child child;

	image_reset();
	image_change(from, len);
	ASSERT_EQ(0, child_start(&child, maps_all, was_changed, f));
	EXPECT_EQ(SIZE, process_vm_readv(child.pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(0, pages_differ(buffer, 0, PAGES, ORIGINAL));

	local = (struct iovec){ .iov_base = image + from, .iov_len = len };
	remote = (struct iovec){ .iov_base = f->map + from, .iov_len = len };
	EXPECT_EQ(len, process_vm_writev(child.pid, &local, 1, &remote, 1, 0));
	EXPECT_EQ(0, child_end(&child));
}

TEST_F_TIMEOUT(mapped, process_vm_shared, TIMEOUT)
{
	struct mapped *m = &self->m;
	struct forked f = { .m = m, .map = m->map };

	play_process_vm(_metadata, &f);
	EXPECT_EQ(0, was_changed(&f));
}

TEST_F_TIMEOUT(mapped, process_vm_private, TIMEOUT)
{
	struct mapped *m = &self->m;
	struct forked f = { .m = m };

	f.map = mapped_again(m, 0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
	ASSERT_NE(NULL, f.map);
	play_process_vm(_metadata, &f);
	EXPECT_EQ(0, pages_differ(f.map, 0, PAGES, ORIGINAL));
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, ORIGINAL));
	munmap(f.map, SIZE);
}

/* A debugger, which may also write where the process cannot. */

static const size_t poked[] = { ACROSS, PMD_PAGES, PAGES - 1 };

#define POKED_FROM 1024		/* in each of these pages */
#define POKED_LEN 512

/* Read all words of a page of the stopped process, and change some. */
static bool poke_page(pid_t pid, const char *map, size_t page)
{
	static char buffer[PTE_SIZE];
	size_t at = page * PTE_SIZE, end;
	long *words = (long *)buffer, new;

	for (size_t i = 0; i < PTE_SIZE / sizeof(long); i++) {
		errno = 0;
		words[i] = ptrace(PTRACE_PEEKDATA, pid,
				  map + at + i * sizeof(long), NULL);
		if (errno)
			return false;
	}
	if (pages_differ(buffer, page, 1, ORIGINAL))
		return false;
	at += POKED_FROM;
	for (end = at + POKED_LEN; at < end; at += sizeof(new)) {
		memcpy(&new, image + at, sizeof(new));
		if (ptrace(PTRACE_POKEDATA, pid, map + at, (void *)new))
			return false;
	}
	return true;
}

static void play_ptrace(struct __test_metadata *_metadata, struct forked *f)
{
	struct child child;
	int status;

	image_reset();
	for (size_t i = 0; i < ARRAY_SIZE(poked); i++)
		image_change(poked[i] * PTE_SIZE + POKED_FROM, POKED_LEN);
	ASSERT_EQ(0, child_start(&child, maps_all, was_changed, f));
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, child.pid, NULL, NULL));
	ASSERT_EQ(0, ptrace(PTRACE_INTERRUPT, child.pid, NULL, NULL));
	ASSERT_EQ(child.pid, waitpid(child.pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	for (size_t i = 0; i < ARRAY_SIZE(poked); i++)
		EXPECT_TRUE(poke_page(child.pid, f->map, poked[i]));
	EXPECT_EQ(0, ptrace(PTRACE_DETACH, child.pid, NULL, NULL));
	EXPECT_EQ(0, child_end(&child));
}

TEST_F_TIMEOUT(mapped, ptrace_shared, TIMEOUT)
{
	struct forked f = { .m = &self->m, .map = self->m.map };

	play_ptrace(_metadata, &f);
	EXPECT_EQ(0, was_changed(&f));
}

TEST_F_TIMEOUT(mapped, ptrace_private, TIMEOUT)
{
	struct mapped *m = &self->m;
	struct forked f = { .m = m };

	f.map = mapped_again(m, 0, SIZE, PROT_READ, MAP_PRIVATE, 0);
	ASSERT_NE(NULL, f.map);
	play_ptrace(_metadata, &f);
	EXPECT_EQ(0, pages_differ(f.map, 0, PAGES, ORIGINAL));
	EXPECT_EQ(0, pages_differ(m->map, 0, PAGES, ORIGINAL));
	munmap(f.map, SIZE);
}

/* Core dumps, in which a process decides whether DAX mappings are. */

#define CORE_PATTERN "/proc/sys/kernel/core_pattern"
#define FILTER_DAX_PRIVATE _BITUL(7)
#define FILTER_DAX_SHARED _BITUL(8)

struct core {
	int fd;
	struct elf64_phdr segment;	/* of the mapping that it was taken for */
};

static int core_pattern_read(char *pattern, size_t len)
{
	int fd = open(CORE_PATTERN, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, pattern, len - 1);
	close(fd);
	pattern[n > 0 ? n : 0] = '\0';
	return n < 0 ? -EIO : 0;
}

static int core_pattern_write(const char *pattern)
{
	int fd = open(CORE_PATTERN, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, pattern, strlen(pattern));
	close(fd);
	return n == (ssize_t)strlen(pattern) ? 0 : -EIO;
}

/* In the child. */
static void die(unsigned long filter)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "%#lx", filter) < 0 ||
	    setrlimit(RLIMIT_CORE, &unlimited))
		_exit(1);
	close(fd);
	signal(SIGABRT, SIG_DFL);
	abort();
}

/* Have a child die and its core written. Its pid, or -errno. */
static int core_make(const char *pattern, unsigned long filter)
{
	char before[256];
	int status = 0, error;
	pid_t pid;

	error = core_pattern_read(before, sizeof(before));
	if (!error)
		error = core_pattern_write(pattern);
	if (error)
		return error;
	pid = fork();
	if (!pid)
		die(filter);
	if (pid < 0 || waitpid(pid, &status, 0) != pid ||
	    !WIFSIGNALED(status) || !WCOREDUMP(status))
		error = -EIO;
	core_pattern_write(before);
	return error ? error : pid;
}

/* Find what the core has of the mapping at @map. */
static int core_find(struct core *c, const char *map)
{
	struct elf64_phdr *p = &c->segment;
	struct elf64_hdr header;
	size_t at;

	if (pread(c->fd, &header, sizeof(header), 0) != sizeof(header))
		return -EIO;
	for (int i = 0; i < header.e_phnum; i++) {
		at = header.e_phoff + i * sizeof(*p);
		if (pread(c->fd, p, sizeof(*p), at) != sizeof(*p))
			return -EIO;
		if (p->p_type == PT_LOAD && p->p_vaddr == (uintptr_t)map)
			return p->p_memsz == SIZE ? 0 : -ERANGE;
	}
	return -ENODATA;
}

/* Dump this process with its mapping at @map. 0 or -errno. */
static int core_take(struct core *c, const char *map, unsigned long filter)
{
	char path[PATH_MAX];
	int pid;

	snprintf(path, sizeof(path), "%s/core.%%p", getenv("DAX_DIR"));
	pid = core_make(path, filter);
	if (pid < 0)
		return pid;
	snprintf(path, sizeof(path), "%s/core.%d", getenv("DAX_DIR"), pid);
	c->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (c->fd < 0)
		return -errno;
	unlink(path);
	return core_find(c, map);
}

static bool core_exists(void)
{
	return !access(CORE_PATTERN, W_OK);
}

/* Pages of the mapping that are not in the core as they should be. */
static int core_differs(const struct core *c, size_t first, size_t pages,
			char who)
{
	static char buffer[PTE_SIZE];
	size_t at;
	int bad = 0;

	for (size_t i = first; i < first + pages; i++) {
		at = c->segment.p_offset + i * PTE_SIZE;
		if (pread(c->fd, buffer, PTE_SIZE, at) != PTE_SIZE)
			return pages;
		bad += pages_differ(buffer, i, 1, who);
	}
	return bad;
}

static void play_core_without(struct __test_metadata *_metadata, char *map,
			      unsigned long filter)
{
	struct core core;

	if (!core_exists())
		SKIP(return, "no core dumps (CONFIG_COREDUMP)");
	ASSERT_EQ(0, core_take(&core, map, filter));
	EXPECT_EQ(0UL, core.segment.p_filesz);
	close(core.fd);
}

TEST_F_TIMEOUT(mapped, core_without_shared, TIMEOUT)
{
	play_core_without(_metadata, self->m.map, FILTER_DAX_PRIVATE);
}

TEST_F_TIMEOUT(mapped, core_without_private, TIMEOUT)
{
	char *map = mapped_again(&self->m, 0, SIZE, PROT_READ, MAP_PRIVATE, 0);

	ASSERT_NE(NULL, map);
	pages_touch(map, 0, PAGES, false);
	play_core_without(_metadata, map, FILTER_DAX_SHARED);
	munmap(map, SIZE);
}

TEST_F_TIMEOUT(mapped, core_with_shared, TIMEOUT)
{
	struct core core;

	if (!core_exists())
		SKIP(return, "no core dumps (CONFIG_COREDUMP)");
	ASSERT_EQ(0, core_take(&core, self->m.map, FILTER_DAX_SHARED));
	EXPECT_EQ(core.segment.p_memsz, core.segment.p_filesz);
	EXPECT_EQ(0, core_differs(&core, 0, PAGES, ORIGINAL));
	close(core.fd);
}

TEST_F_TIMEOUT(mapped, core_with_private, TIMEOUT)
{
	size_t after = PART + PART_PAGES;
	struct core core;
	char *map;

	if (!core_exists())
		SKIP(return, "no core dumps (CONFIG_COREDUMP)");
	map = mapped_again(&self->m, 0, SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE, 0);
	ASSERT_NE(NULL, map);
	pages_touch(map, 0, PAGES, false);
	pages_fill(map + PART * PTE_SIZE, PART, PART_PAGES, PRIVATE);
	ASSERT_EQ(0, core_take(&core, map, FILTER_DAX_PRIVATE));
	EXPECT_EQ(core.segment.p_memsz, core.segment.p_filesz);
	EXPECT_EQ(0, core_differs(&core, 0, PART, ORIGINAL));
	EXPECT_EQ(0, core_differs(&core, PART, PART_PAGES, PRIVATE));
	EXPECT_EQ(0, core_differs(&core, after, PAGES - after, ORIGINAL));
	close(core.fd);
	munmap(map, SIZE);
}

TEST_HARNESS_MAIN
