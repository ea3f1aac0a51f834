/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_MAPPED_H
#define SELFTESTS_DAX_MAPPED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "pin.h"
#include "provider.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_HWPOISON
#define MADV_HWPOISON 100
#endif
#ifndef MADV_SOFT_OFFLINE
#define MADV_SOFT_OFFLINE 101
#endif

#define PTE_SIZE 4096L
#define PMD_SIZE (2L << 20)
#define PMD_PAGES 512

/* What maps the file, and what the DAX core keeps for it. */
enum unit {
	UNIT_PTE,	/* PTEs, and entries of one page */
	UNIT_PMD,	/* PMDs, and entries of that size */
	UNIT_MIXED,	/* PTEs, and entries of a PMD's size */
};

/*
 * A file and a mapping of all of it, MAP_SHARED, writable, populated, and
 * aligned to a PMD whatever maps it.  If it is shared it has a twin that all its
 * blocks belong to as well, and that is mapped for reading.
 */
struct mapped {
	const struct provider *fs;
	enum unit unit;
	bool shared;
	size_t size;
	struct dax_file file, twin;
	char *map, *twin_map;
};

/*
 * Make file @name and map it; the twin's name is @name with a "-twin".  0 or
 * -errno; also after an error, mapped_close() undoes it, without deleting files.
 */
int mapped_open(struct mapped *m, const char *name, size_t size);
void mapped_close(struct mapped *m);
void mapped_delete(struct mapped *m);

/* Unmap the file; its twin stays mapped. */
void mapped_unmap(struct mapped *m);

/*
 * Map @len bytes from @at of the file once more, in the same units if they are
 * to be @skew bytes off alignment, which is 0 unless a PTE mapping is wanted.
 * NULL and errno on failure.
 */
char *mapped_again(const struct mapped *m, off_t at, size_t len, int prot,
		   int flags, size_t skew);

/* Address space of @len bytes, @skew bytes after a multiple of PMD_SIZE. */
char *address_space(size_t len, size_t skew);

/*
 * Every page of a file tells its number in the file and who wrote it, from its
 * first byte to its last.
 */
#define ORIGINAL 'o'
#define CHANGED 'c'
#define PRIVATE 'p'

void pages_fill(char *at, size_t first, size_t pages, char who);

/* Pages at @at that are not, from its page @first on, the file's by @who. */
int pages_differ(const char *at, size_t first, size_t pages, char who);

/* The same, as read(2) sees the file; all of them after an error. */
int pages_differ_in(int fd, size_t first, size_t pages, char who);
int pages_write(int fd, size_t first, size_t pages, char who);

/* Touch every page so that it is mapped, for writing without changing it. */
void pages_touch(char *at, size_t first, size_t pages, bool write);

/* Whether the byte can be read and written, without a signal if not. */
bool can_read(const char *at);
bool can_write(char *at);

/*
 * A process that has done @prepare() when child_start() returns, then waits,
 * and does @finish() when child_end() tells it to.  What these return, 0 for
 * success, is what start and end return; -1 if the child ended otherwise.
 */
struct child {
	pid_t pid;
	int go;
};

int child_start(struct child *c, int (*prepare)(void *), int (*finish)(void *),
		void *arg);
int child_end(struct child *c);

#endif
