// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "mapped.h"
#include "view.h"

#define WORDS (PTE_SIZE / sizeof(uint64_t))
#define CHUNK_PAGES 256UL

/* The exit status of a child that its parent does not hear of. */
#define EXIT_LOST 127

static uint64_t word(char who, size_t page, size_t i)
{
	return (uint64_t)who << 56 | (uint64_t)page << 16 | i;
}

void pages_fill(char *at, size_t first, size_t pages, char who)
{
	uint64_t *words = (uint64_t *)at;

	for (size_t page = first; page < first + pages; page++)
		for (size_t i = 0; i < WORDS; i++)
			*words++ = word(who, page, i);
}

static bool page_differs(const char *at, size_t page, char who)
{
	const uint64_t *words = (const uint64_t *)at;
	uint64_t bad = 0;

	for (size_t i = 0; i < WORDS; i++)
		bad |= words[i] ^ word(who, page, i);
	return bad;
}

int pages_differ(const char *at, size_t first, size_t pages, char who)
{
	int bad = 0;

	for (size_t i = 0; i < pages; i++)
		bad += page_differs(at + i * PTE_SIZE, first + i, who);
	return bad;
}

/* Aligned, for files that are open with O_DIRECT. */
static alignas(PTE_SIZE) char chunk[CHUNK_PAGES * PTE_SIZE];

static size_t chunk_pages(size_t left)
{
	return left < CHUNK_PAGES ? left : CHUNK_PAGES;
}

int pages_differ_in(int fd, size_t first, size_t pages, char who)
{
	size_t n;
	int bad = 0;

	for (size_t done = 0; done < pages; done += n) {
		n = chunk_pages(pages - done);
		if (pread(fd, chunk, n * PTE_SIZE, (first + done) * PTE_SIZE) !=
		    (ssize_t)(n * PTE_SIZE))
			return pages;
		bad += pages_differ(chunk, first + done, n, who);
	}
	return bad;
}

int pages_write(int fd, size_t first, size_t pages, char who)
{
	size_t n;

	for (size_t done = 0; done < pages; done += n) {
		n = chunk_pages(pages - done);
		pages_fill(chunk, first + done, n, who);
		if (pwrite(fd, chunk, n * PTE_SIZE,
			   (first + done) * PTE_SIZE) != (ssize_t)(n * PTE_SIZE))
			return errno ? -errno : -EIO;
	}
	return 0;
}

void pages_touch(char *at, size_t first, size_t pages, bool write)
{
	for (size_t i = 0; i < pages; i++) {
		uint64_t *p = (uint64_t *)(at + i * PTE_SIZE);

		if (write)
			*p = word(ORIGINAL, first + i, 0);
		else
			__atomic_load_n(p, __ATOMIC_RELAXED);
	}
}

/* A pipe copies from and to memory, which fails where a load would get a signal. */
static bool passes_pipe(const char *from, char *to)
{
	int ends[2];
	bool passes;

	if (pipe2(ends, O_CLOEXEC))
		return false;
	passes = write(ends[1], from, 1) == 1 && read(ends[0], to, 1) == 1;
	close(ends[0]);
	close(ends[1]);
	return passes;
}

bool can_read(const char *at)
{
	char byte;

	return passes_pipe(at, &byte);
}

bool can_write(char *at)
{
	return passes_pipe(at, at);
}

char *address_space(size_t len, size_t skew)
{
	size_t room = len + 2 * PMD_SIZE;
	char *all, *at, *end;

	all = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		return NULL;
	at = (char *)(((uintptr_t)all + PMD_SIZE - 1) / PMD_SIZE * PMD_SIZE);
	at += skew;
	end = at + len;
	if (at > all)
		munmap(all, at - all);
	if (all + room > end)
		munmap(end, all + room - end);
	return at;
}

static char *map(int fd, off_t from, size_t len, int prot, int flags, size_t skew)
{
	char *at = address_space(len, skew);

	if (!at)
		return NULL;
	if (mmap(at, len, prot, flags | MAP_FIXED, fd, from) == MAP_FAILED) {
		munmap(at, len);
		return NULL;
	}
	return at;
}

char *mapped_again(const struct mapped *m, off_t at, size_t len, int prot,
		   int flags, size_t skew)
{
	char *again = map(m->file.fd, at, len, prot, flags, skew);

	if (again && m->unit == UNIT_MIXED &&
	    madvise(again, len, MADV_NOHUGEPAGE)) {
		munmap(again, len);
		return NULL;
	}
	return again;
}

/*
 * What is mapped first decides on the size of the entries that the DAX core
 * keeps: a mapping off alignment takes small ones, and no larger ones can be put
 * over them later.
 */
static int entries_make(struct mapped *m, int fd)
{
	bool huge = m->unit != UNIT_PTE;
	long expected = huge ? m->size : 0;
	long found;
	char *at;

	at = map(fd, 0, m->size, PROT_READ, MAP_SHARED, huge ? 0 : PTE_SIZE);
	if (!at)
		return -errno;
	for (size_t i = 0; i < m->size; i += PMD_SIZE)
		pages_touch(at + i, i / PTE_SIZE, 1, false);
	found = view_huge(at, m->size);
	munmap(at, m->size);
	if (found < 0)
		return found;
	return found == expected ? 0 : -ENOTBLK;
}

static int file_make(struct dax_file *f, const char *dir, const char *name,
		     size_t size)
{
	int error = file_create(f, dir, name, 0, ORIGINAL);

	if (!error && fallocate(f->fd, 0, 0, size))
		error = -errno;
	if (!error)
		error = pages_write(f->fd, 0, size / PTE_SIZE, ORIGINAL);
	if (!error && fsync(f->fd))
		error = -errno;
	return error;
}

/* A second owner for all blocks of the file, which maps them as well. */
static int twin_make(struct mapped *m, const char *name)
{
	char twin[NAME_MAX];
	int error;

	snprintf(twin, sizeof(twin), "%s-twin", name);
	error = file_create(&m->twin, provider_dir(m->fs), twin, 0, ORIGINAL);
	if (!error && (ioctl(m->twin.fd, FICLONE, m->file.fd) ||
		       fsync(m->twin.fd)))
		error = -errno;
	if (!error)
		error = entries_make(m, m->twin.fd);
	if (error)
		return error;
	m->twin_map = map(m->twin.fd, 0, m->size, PROT_READ, MAP_SHARED, 0);
	if (!m->twin_map)
		return -errno;
	pages_touch(m->twin_map, 0, m->size / PTE_SIZE, false);
	return 0;
}

int mapped_open(struct mapped *m, const char *name, size_t size)
{
	static const struct dax_file none = DAX_FILE_NONE;
	int error;

	m->size = size;
	m->file = none;
	m->twin = none;
	m->map = NULL;
	m->twin_map = NULL;
	error = file_make(&m->file, provider_dir(m->fs), name, size);
	if (!error && m->shared)
		error = twin_make(m, name);
	if (!error)
		error = entries_make(m, m->file.fd);
	if (error)
		return error;
	m->map = mapped_again(m, 0, size, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
	if (!m->map)
		return -errno;
	/* Writing to a shared block makes it the file's own. */
	pages_touch(m->map, 0, size / PTE_SIZE, !m->shared);
	return 0;
}

void mapped_unmap(struct mapped *m)
{
	if (m->map)
		munmap(m->map, m->size);
	m->map = NULL;
}

void mapped_close(struct mapped *m)
{
	mapped_unmap(m);
	if (m->twin_map)
		munmap(m->twin_map, m->size);
	m->twin_map = NULL;
	file_close(&m->file);
	file_close(&m->twin);
}

void mapped_delete(struct mapped *m)
{
	if (m->file.path[0])
		unlink(m->file.path);
	if (m->twin.path[0])
		unlink(m->twin.path);
}

/* In the child. It must not outlive a test that is killed. */
static void child_run(int ready, int go, int (*prepare)(void *),
		      int (*finish)(void *), void *arg)
{
	char status, byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	status = prepare ? prepare(arg) : 0;
	if (write(ready, &status, 1) != 1)
		_exit(EXIT_LOST);
	while (read(go, &byte, 1) < 0 && errno == EINTR)
		;
	_exit(finish ? finish(arg) : 0);
}

static int child_status(int pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status) == EXIT_LOST ? -1 : WEXITSTATUS(status);
}

int child_start(struct child *c, int (*prepare)(void *), int (*finish)(void *),
		void *arg)
{
	int ready[2], go[2];
	char status;
	ssize_t n;

	if (pipe2(ready, O_CLOEXEC))
		return -1;
	if (pipe2(go, O_CLOEXEC)) {
		close(ready[0]);
		close(ready[1]);
		return -1;
	}
	c->pid = fork();
	if (!c->pid) {
		close(go[1]);
		child_run(ready[1], go[0], prepare, finish, arg);
	}
	close(ready[1]);
	close(go[0]);
	c->go = go[1];
	n = c->pid > 0 ? read(ready[0], &status, 1) : -1;
	close(ready[0]);
	return n == 1 ? status : -1;
}

int child_end(struct child *c)
{
	close(c->go);
	return c->pid > 0 ? child_status(c->pid) : -1;
}
