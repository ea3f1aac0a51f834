// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../kselftest.h"
#include "operation.h"

#define VICTIM 'v'
#define NEIGHBOUR 'n'
#define INTRUDER 'X'
#define SOURCE 's'

static size_t page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

/*
 * Four units of which the operation covers the second and third; when pages
 * straddle its start, it starts in the middle of one, and of a huge mapping.
 * They are not too small, as a filesystem keeps its last few blocks unused.
 */
#define UNITS 4
#define UNIT_MIN (256 * 1024UL)

/*
 * Three empty files, told apart by the order of their inode numbers: that is
 * the order in which two of them are locked.
 */
static int numbered_create(struct scene *s, const char *dir)
{
	struct dax_file *files[] = { &s->lower, &s->victim, &s->higher }, swap;
	static const char * const names[] = { "one", "two", "three" };
	int error = 0;

	for (int i = 0; i < 3 && !error; i++) {
		error = file_create(files[i], dir, names[i], 0, 0);
		for (int j = i; j && files[j]->ino < files[j - 1]->ino; j--) {
			swap = *files[j];
			*files[j] = *files[j - 1];
			*files[j - 1] = swap;
		}
	}
	s->lower.fill = SOURCE;
	s->victim.fill = VICTIM;
	s->higher.fill = SOURCE;
	return error;
}

static void scene_empty(struct scene *s, const struct provider *fs, size_t align)
{
	static const struct dax_file none = DAX_FILE_NONE;
	static const struct pin no_pin = PIN_NONE;

	s->fs = fs;
	s->align = align;
	s->unit = align > UNIT_MIN ? align : UNIT_MIN;
	s->pin = no_pin;
	s->run = (struct run){ .pidfd = -1, .done = true };
	s->victim = none;
	s->neighbour = none;
	s->intruder = none;
	s->lower = none;
	s->higher = none;
}

int scene_build(struct scene *s, const struct provider *fs, size_t align)
{
	const char *dir = provider_dir(fs);
	int error;

	scene_empty(s, fs, align);
	error = numbered_create(s, dir);
	if (!error)
		error = file_write(&s->victim, UNITS * s->unit);
	if (!error)
		error = file_create(&s->neighbour, dir, "neighbour",
				    page_size(), NEIGHBOUR);
	if (!error)
		error = file_create(&s->intruder, dir, "intruder", 0, INTRUDER);
	return error ? error : pin_open(&s->pin);
}

/* A device may be no larger than one mapping of this alignment. */
#define LARGE_ALIGN (1024UL << 20)
/* The ranges of a device that run_region.sh makes meet in the middle. */
#define DEVICE_UNIT_MIN (2UL << 20)

static int scene_build_device(struct scene *s, const char *path, size_t align)
{
	struct dax_file *f = &s->victim;

	scene_empty(s, NULL, align);
	if (s->unit < DEVICE_UNIT_MIN)
		s->unit = DEVICE_UNIT_MIN;
	f->size = align < LARGE_ALIGN ? UNITS * s->unit : align;
	s->unit = f->size / UNITS;
	f->fill = VICTIM;
	snprintf(f->path, sizeof(f->path), "%s", path);
	f->fd = open(path, O_RDWR | O_CLOEXEC);
	return f->fd < 0 ? -errno : pin_open(&s->pin);
}

static void files_remove(const struct provider *fs)
{
	static const char * const names[] = {
		"one", "two", "three", "neighbour", "intruder", "created",
	};
	char path[PATH_MAX + 16];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", provider_dir(fs),
			 names[i]);
		unlink(path);
	}
}

void scene_close(struct scene *s)
{
	file_close(&s->victim);
	file_close(&s->neighbour);
	file_close(&s->intruder);
	file_close(&s->lower);
	file_close(&s->higher);
}

void scene_clear(struct scene *s)
{
	pin_close(&s->pin);
	if (run_finish(&s->run) < 0)
		run_kill(&s->run);
	if (s->run.pidfd >= 0)
		close(s->run.pidfd);
	scene_close(s);
	if (!s->fs)
		return;
	if (!provider_mounted(s->fs))
		provider_mount(s->fs);
	files_remove(s->fs);
}

int scene_restore(struct scene *s)
{
	if (device_bound(&s->device)) {
		scene_clear(s);
		return 0;
	}
	pin_close(&s->pin);
	scene_close(s);
	if (s->fs && provider_mounted(s->fs))
		provider_unmount(s->fs);
	return device_bind(&s->device);
}

static enum provision scene_up_device(struct scene *s, size_t align, int *error,
				      char *why)
{
	char path[NAME_MAX];
	enum provision made = devdax_up(align, path, sizeof(path), why);

	if (made == PROVIDED)
		*error = scene_build_device(s, path, align);
	return made;
}

static enum provision scene_up_fs(struct scene *s, const struct provider *fs,
				  size_t align, int *error, char *why)
{
	enum provision made = provider_up(fs, why);

	if (made == PROVIDED)
		*error = scene_build(s, fs, align);
	return made;
}

enum provision scene_up(struct scene *s, const char *name, size_t align,
			char *why)
{
	const struct provider *fs = provider_find(name);
	enum provision made;
	int error;

	if (fs)
		made = scene_up_fs(s, fs, align, &error, why);
	else
		made = scene_up_device(s, align, &error, why);
	if (made != PROVIDED)
		return made;
	if (!error)
		error = device_find(&s->device, fs ? getenv("DAX_DEV") :
						     s->victim.path);
	if (!error)
		return PROVIDED;
	scene_clear(s);
	return say(BROKEN, why, "scene", strerror(-error));
}

long scene_map(struct scene *s)
{
	return file_map(&s->victim, s->align);
}

bool scene_mapped_huge(const struct scene *s, long faults)
{
	/* Some faults are not the file's: leave room for them. */
	return faults < (long)(s->victim.size / page_size()) / 2;
}

/* The page at @at of the victim; the neighbour's only one when @at is negative. */
static int scene_pin_page(struct scene *s, off_t at)
{
	struct dax_file *f = at < 0 ? &s->neighbour : &s->victim;
	long faults;

	if (!f->map) {
		faults = file_map(f, page_size());
		if (faults < 0)
			return faults;
	}
	if (!s->fs)	/* nobody has written all of a device */
		memset(f->map + at, f->fill, page_size());
	return pin_page(&s->pin, f->map + (at < 0 ? 0 : at), f->fill);
}

#define NO_PAGE ((off_t)-1)

int scene_pin(struct scene *s, const struct operation *op, enum place place)
{
	bool whole = op->scope == SCOPE_FILE || op->scope == SCOPE_FS;
	off_t page = page_size(), end, pages[2];
	int error = 0, n = 0;

	s->place = place;
	s->from = s->unit;
	if (place == STRADDLING)
		s->from += s->unit / 2;
	end = 3 * (off_t)s->unit;
	s->len = end - s->from;

	/* No page of any file of a filesystem is outside of its unmounting. */
	if (op->scope == SCOPE_FS) {
		file_close(&s->neighbour);
		error = file_create_memory(&s->neighbour, page, NEIGHBOUR);
	}

	if (place == INSIDE)
		pages[n++] = 2 * s->unit;
	else if (whole)
		pages[n++] = NO_PAGE;
	else
		pages[n++] = s->from - page;

	if (place == STRADDLING)
		pages[n++] = whole ? (off_t)s->victim.size - page : s->from;
	else if (place == OUTSIDE && op->scope == SCOPE_RANGE)
		pages[n++] = end;

	for (int i = 0; i < n && !error; i++)
		error = scene_pin_page(s, pages[i]);
	return error;
}

int scene_prepare(struct scene *s, const struct operation *op)
{
	if (op->evicts) {
		file_close(&s->victim);
		file_close(&s->lower);
	}
	return op->prepare ? op->prepare(s) : 0;
}

int scene_reuse_blocks(struct scene *s, const struct operation *op)
{
	int error = 0;

	if (op->scope == SCOPE_FS) {
		/* Nobody gets at the blocks before it is mounted again. */
		if (!s->run.done)
			return 0;
		error = provider_mount(s->fs);
		if (!error && unlink(s->victim.path))
			error = -errno;
		if (!error)
			error = file_create(&s->intruder, provider_dir(s->fs),
					    "intruder", 0, INTRUDER);
	}
	return error ? error : file_fill_and_empty(&s->intruder);
}
