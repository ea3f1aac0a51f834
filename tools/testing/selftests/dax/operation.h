/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_OPERATION_H
#define SELFTESTS_DAX_OPERATION_H

#include <stdbool.h>
#include <sys/types.h>

#include "counter.h"
#include "device.h"
#include "pin.h"
#include "provider.h"

/* Where the pinned pages are, seen from the range that is operated on. */
enum place {
	INSIDE,
	OUTSIDE,	/* right next to it */
	STRADDLING,	/* the last page before it and the first of it */
};

/* What an operation takes blocks away from, or moves them within. */
enum scope {
	SCOPE_RANGE,	/* a byte range of the victim */
	SCOPE_TAIL,	/* from the start of that range to the end of the file */
	SCOPE_FILE,	/* the whole victim */
	SCOPE_FS,	/* every inode of the filesystem */
};

struct scene;

/* Of an operation that is to wait in a page fault; as /proc/PID/syscall has it. */
#define NO_SYSCALL -1

struct operation {
	const char *name;
	enum scope scope;
	long syscall;		/* the system call that has to wait */
	bool evicts;		/* takes the last reference to the inode */
	int (*prepare)(struct scene *s);
	int (*perform)(struct scene *s);	/* in a process of its own */
};

extern const struct operation op_truncate, op_open_trunc;
extern const struct operation op_punch_hole, op_collapse_range, op_insert_range;
extern const struct operation op_unlink_close, op_rename_over, op_unmount;
extern const struct operation op_reflink_over_from_lower;
extern const struct operation op_reflink_over_from_higher, op_dedupe_over;
extern const struct operation op_write, op_store, op_write_beyond;
extern const struct operation op_create, op_rmdir, op_open_by_handle;
extern const struct operation op_sync;
extern const struct operation op_exit_with_pin, op_close_with_pin;
extern const struct operation op_unmount_with_pin, op_exit_with_mount;
extern const struct operation op_unbind;

/* An operation under way. */
struct run {
	pid_t pid;
	int pidfd;
	long syscall;
	struct counter waits;	/* that began for pages of the victim */
	long long observed;	/* of these */
	bool done;
	int status;	/* of waitpid(2), once done */
};

/*
 * The victim is operated on, the neighbour is another file of the filesystem,
 * the intruder takes the blocks that the victim loses. The other two replace
 * the victim or parts of it; they have inode numbers below and above its own.
 */
struct scene {
	const struct provider *fs;	/* NULL on a device-dax device */
	struct device device;	/* for op_unbind: what there is to unbind */
	size_t align;	/* what one page table entry is to map */
	size_t unit;	/* of the file, in terms of operations */
	enum place place;
	off_t from, len;
	struct dax_file victim, neighbour, intruder, lower, higher;
	struct pin pin;
	struct run run;
};

/* Build the files of a scene on @fs, which is up. 0 or -errno. */
int scene_build(struct scene *s, const struct provider *fs, size_t align);

/*
 * Make a provider available and build a scene on it, of which op_unbind knows
 * what to unbind. If @name is "devdax", the only file, the victim, is a device
 * of that alignment, and operations of filesystems are not for it.
 */
enum provision scene_up(struct scene *s, const char *name, size_t align,
			char *why);
void scene_clear(struct scene *s);

/*
 * The same if the device may be unbound: it is bound again, and what has become
 * of its filesystem is not mounted any more. 0 or -errno.
 */
int scene_restore(struct scene *s);
void scene_close(struct scene *s);	/* its files, and their mappings */

/* Map the victim. Faults taken, or -errno. */
long scene_map(struct scene *s);
bool scene_mapped_huge(const struct scene *s, long faults);

/* Pin pages at @place of the range that @op covers. 0 or -errno. */
int scene_pin(struct scene *s, const struct operation *op, enum place place);

/* Let go of whatever would keep @op from taking the last reference. */
int scene_prepare(struct scene *s, const struct operation *op);

/* Have another file written to every block that is free. 0 or -errno. */
int scene_reuse_blocks(struct scene *s, const struct operation *op);

enum outcome {
	OP_RETURNED,
	OP_WAITS,	/* asleep in the expected system call, and stays so */
	OP_BUSY,	/* neither, for a long time: it spins */
};

const char *outcome_text(enum outcome outcome);

int run_start(struct scene *s, const struct operation *op);

/* What it does from now on: has a wait begun that it is in? */
enum outcome run_observe(struct run *run);

/* Whether it has ended by now. */
bool run_ended(struct run *run);

/* Wait for the end. 0, the operation's errno, or -1 when it does not end. */
int run_finish(struct run *run);

/* Kill the process; true when that ends it. */
bool run_kill(struct run *run);

#endif
