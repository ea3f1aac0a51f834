/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_PIN_H
#define SELFTESTS_DAX_PIN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * A file of one repeated byte, so that whoever looks at a page of it can tell
 * whose data that is.
 */
struct dax_file {
	char path[PATH_MAX];
	int fd;
	ino_t ino;
	size_t size;
	char fill;
	char *map;
	size_t reserved;	/* address space around map, for its alignment */
	char *reservation;
};

#define DAX_FILE_NONE { .fd = -1 }

int file_create(struct dax_file *f, const char *dir, const char *name,
		size_t size, char fill);
int file_create_memory(struct dax_file *f, size_t size, char fill);
int file_write(struct dax_file *f, size_t size);

/*
 * Map the file at a multiple of @align and write to every page of it. Return
 * the number of page faults that this took, or -errno.
 */
long file_map(struct dax_file *f, size_t align);

/*
 * Move what is mapped, as it is, to an address @skew bytes after a multiple of
 * @align. 0 or -errno.
 */
int file_move(struct dax_file *f, size_t align, size_t skew);
void file_unmap(struct dax_file *f);
void file_close(struct dax_file *f);	/* unmaps, too */

/* Write until the filesystem is full, then give the blocks back. */
int file_fill_and_empty(struct dax_file *f);

/*
 * Pages held by a pipe: vmsplice(2) takes a reference on each, and reading the
 * pipe drops it. What the pipe returns is what those pages hold by then.
 */
#define PIN_PAGES_MAX 8

struct pin {
	int pipe[2];
	unsigned int pages;
	char fill[PIN_PAGES_MAX];
};

#define PIN_NONE { .pipe = { -1, -1 } }

enum pin_content {
	PIN_KEPT,	/* every page holds what it held */
	PIN_ZEROED,
	PIN_FOREIGN,	/* another file's data */
	PIN_LOST,	/* the pipe did not return the pages */
};

const char *pin_content_text(enum pin_content content);

int pin_open(struct pin *pin);
int pin_page(struct pin *pin, const char *page, char fill);
enum pin_content pin_drop(struct pin *pin);
void pin_close(struct pin *pin);

#endif
