// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "pin.h"

#define CHUNK (1024 * 1024UL)
#define STEP_MIN 4096

static char chunk[CHUNK];

/*
 * Write the file's byte up to @size. Bytes in the file by then, or -errno. A
 * filesystem may find too little room for a long write, and enough for a short.
 */
static ssize_t file_extend(struct dax_file *f, size_t size)
{
	size_t done = 0, step = CHUNK;
	ssize_t n;

	memset(chunk, f->fill, sizeof(chunk));
	while (done < size) {
		n = size - done < step ? size - done : step;
		n = pwrite(f->fd, chunk, n, done);
		if (n >= 0)
			done += n;
		else if (errno != ENOSPC)
			return -errno;
		else if (step > STEP_MIN)
			step /= 2;
		else
			return done;
	}
	return done;
}

int file_write(struct dax_file *f, size_t size)
{
	ssize_t done;

	/* In one go where possible: large extents make large mappings. */
	if (fallocate(f->fd, 0, 0, size) && errno != EOPNOTSUPP)
		return -errno;
	done = file_extend(f, size);
	if (done < 0)
		return done;
	if ((size_t)done != size)
		return -ENOSPC;
	f->size = size;
	return fsync(f->fd) ? -errno : 0;
}

int file_create(struct dax_file *f, const char *dir, const char *name,
		size_t size, char fill)
{
	struct stat st;

	f->fill = fill;
	snprintf(f->path, sizeof(f->path), "%s/%s", dir, name);
	f->fd = open(f->path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	if (f->fd < 0 || fstat(f->fd, &st))
		return -errno;
	f->ino = st.st_ino;
	return size ? file_write(f, size) : 0;
}

int file_create_memory(struct dax_file *f, size_t size, char fill)
{
	f->fill = fill;
	f->path[0] = '\0';
	f->fd = memfd_create("dax-selftest", MFD_CLOEXEC);
	if (f->fd < 0)
		return -errno;
	return file_write(f, size);
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

long file_map(struct dax_file *f, size_t align)
{
	size_t page = sysconf(_SC_PAGESIZE);
	long before;
	char *at;

	f->reserved = f->size + align;
	f->reservation = mmap(NULL, f->reserved, PROT_NONE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->reservation == MAP_FAILED) {
		f->reservation = NULL;
		return -errno;
	}
	at = (char *)(((uintptr_t)f->reservation + align - 1) / align * align);
	at = mmap(at, f->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		  f->fd, 0);
	if (at == MAP_FAILED)
		return -errno;
	f->map = at;

	before = faults();
	for (size_t i = 0; i < f->size; i += page)
		at[i] = f->fill;
	return faults() - before;
}

/* Give up the address space around the mapping. */
static void file_crop(struct dax_file *f)
{
	char *end = f->map + f->size, *last = f->reservation + f->reserved;

	if (f->map > f->reservation)
		munmap(f->reservation, f->map - f->reservation);
	if (last > end)
		munmap(end, last - end);
	f->reservation = f->map;
	f->reserved = f->size;
}

int file_move(struct dax_file *f, size_t align, size_t skew)
{
	size_t reserved = f->size + 2 * align;
	char *room, *to;
	int error;

	file_crop(f);
	/* What is around it keeps the page tables of others away. */
	room = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	if (room == MAP_FAILED)
		return -errno;
	to = (char *)(((uintptr_t)room + align - 1) / align * align) + skew;
	if (mremap(f->map, f->size, f->size, MREMAP_MAYMOVE | MREMAP_FIXED,
		   to) != to) {
		error = -errno;
		munmap(room, reserved);
		return error;
	}
	f->map = to;
	f->reservation = room;
	f->reserved = reserved;
	return 0;
}

void file_unmap(struct dax_file *f)
{
	if (f->reservation)
		munmap(f->reservation, f->reserved);
	f->reservation = NULL;
	f->map = NULL;
}

void file_close(struct dax_file *f)
{
	file_unmap(f);
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

int file_fill_and_empty(struct dax_file *f)
{
	ssize_t done;

	/* Blocks freed a moment ago can be waiting for a transaction commit. */
	if (syncfs(f->fd))
		return -errno;
	done = file_extend(f, SIZE_MAX);
	if (done < 0)
		return done;
	return ftruncate(f->fd, 0) ? -errno : 0;
}

const char *pin_content_text(enum pin_content content)
{
	switch (content) {
	case PIN_KEPT:
		return "what was pinned";
	case PIN_ZEROED:
		return "zeroes";
	case PIN_FOREIGN:
		return "another file's data";
	default:
		return "too little";
	}
}

int pin_open(struct pin *pin)
{
	pin->pages = 0;
	return pipe2(pin->pipe, O_CLOEXEC | O_NONBLOCK) ? -errno : 0;
}

int pin_page(struct pin *pin, const char *page, char fill)
{
	struct iovec iov = {
		.iov_base = (void *)page,
		.iov_len = sysconf(_SC_PAGESIZE),
	};
	ssize_t n = vmsplice(pin->pipe[1], &iov, 1, 0);

	if (n < 0)
		return -errno;
	if ((size_t)n != iov.iov_len || pin->pages == PIN_PAGES_MAX)
		return -EIO;
	pin->fill[pin->pages++] = fill;
	return 0;
}

static enum pin_content page_content(const char *page, size_t len, char fill)
{
	bool kept = true, zero = true;

	for (size_t i = 0; i < len; i++) {
		kept &= page[i] == fill;
		zero &= page[i] == 0;
	}
	return kept ? PIN_KEPT : zero ? PIN_ZEROED : PIN_FOREIGN;
}

enum pin_content pin_drop(struct pin *pin)
{
	size_t page = sysconf(_SC_PAGESIZE);
	enum pin_content worst = PIN_KEPT, content;

	for (unsigned int i = 0; i < pin->pages; i++) {
		ssize_t n = read(pin->pipe[0], chunk, page);

		if (n != (ssize_t)page)
			worst = PIN_LOST;
		if (n <= 0)
			break;
		content = page_content(chunk, n, pin->fill[i]);
		if (content > worst)
			worst = content;
	}
	pin->pages = 0;
	return worst;
}

void pin_close(struct pin *pin)
{
	for (int i = 0; i < 2; i++) {
		if (pin->pipe[i] >= 0)
			close(pin->pipe[i]);
		pin->pipe[i] = -1;
	}
	pin->pages = 0;
}
