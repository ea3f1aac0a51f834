/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_PROVIDER_H
#define SELFTESTS_DAX_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A provider is something that maps persistent memory into a process: a
 * filesystem mounted with DAX on $DAX_DEV, or a device-dax character device.
 *
 * Making one available ends in one of three ways, and the text says why.
 */
enum provision {
	PROVIDED,
	LACKING,	/* the machine cannot: skip */
	BROKEN,		/* it should have worked: fail */
};

#define REASON_MAX 256

#define MKFS_DEV "@"

struct provider {
	const char *name;
	const char *fstype;
	const char *options;	/* mount(2) data that turns DAX on */
	bool huge_faults;	/* maps 2M extents with one entry */
	bool image;	/* not written to; mkfs puts files there, and ballast */
	const char *table;	/* of device-mapper; "@" stands for $DAX_DEV */
	const char *mkfs[20];	/* MKFS_DEV stands for the block device */
};

const struct provider *provider_find(const char *name);

/*
 * Leave @fs mounted and empty but for its ballast; make it if need be. Where
 * there is no $DAX_DEV, $DAX_NAMESPACE, when set, is made a block device.
 */
enum provision provider_up(const struct provider *fs, char *why);

/* Mount @fs again, with what it holds. 0 or -errno. */
int provider_mount(const struct provider *fs);
int provider_unmount(const struct provider *fs);

/* Of one on device-mapper: freeze it, thaw it, load its table. 0 or -errno. */
int provider_suspend(const struct provider *fs);
int provider_resume(const struct provider *fs);
int provider_reload(const struct provider *fs);

bool provider_mounted(const struct provider *fs);

/* Unmount every provider. 0, or -EBUSY if somebody uses one. */
int provider_down(void);

/* Where @fs is mounted; valid until the next call. */
const char *provider_dir(const struct provider *fs);

/*
 * Path of a device-dax device whose alignment is @align. $DAX_NAMESPACE, when
 * set, is reconfigured if there is none.
 */
enum provision devdax_up(size_t align, char *path, size_t len, char *why);

/* Make $DAX_NAMESPACE the block device $DAX_DEV if it is not. */
enum provision block_up(char *why);

/* How something ended; for @why, with @detail, which may be NULL. */
enum provision say(enum provision p, char *why, const char *what,
		   const char *detail);

/* Run a tool to its end. Exit status, or TOOL_MISSING. */
#define TOOL_MISSING 127

int run_tool(const char * const argv[]);

/* Run it in place of this process. TOOL_MISSING if that fails. */
int become_tool(const char * const argv[]);

/* A device-mapper device; its node is MAPPER and the name. */
#define MAPPER "/dev/mapper/"

enum provision mapper_create(const char *name, const char *table, char *why);
int mapper_do(const char *what, const char *name);	/* 0 if that worked */
void mapper_remove(const char *name);

#endif
