/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_SOAK_H
#define SELFTESTS_DAX_SOAK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#include "../kselftest.h"
#include "crowd.h"
#include "device.h"
#include "provider.h"

/* What a round is on and allows; operations say which of it they need. */
enum {
	ON_FILE = 1 << 0,
	ON_DEVICE = 1 << 1,	/* of device-dax */
	SMALL = 1 << 2,		/* mappings that are off alignment */
	SYNC = 1 << 3,		/* MAP_SYNC */
	FALLOCATE = 1 << 4,
	REFLINK = 1 << 5,
	DIRECT_IO = 1 << 6,	/* on a disk */
	FILTERED = 1 << 7,	/* memory failures, which all are ignored */
	POISON = 1 << 8,	/* memory failures */
	ALONE = 1 << 9,		/* for one worker only */
};

/* What becomes of a device that was removed under the workers. */
enum sequel {
	STAYS_AWAY,
	COMES_BACK,
	BECOMES_RAM,	/* then comes back */
};

/* Everything about a round follows from the seed and the round's number. */
struct round {
	unsigned long nr;
	__u64 seed;
	const struct provider *fs;	/* NULL for device-dax */
	size_t align;			/* of device-dax */
	unsigned int allows;
	bool injects;
	unsigned int removal;		/* in which of the crowd's rounds, or 0 */
	bool stubborn;			/* pins outlast the removal's patience */
	enum sequel sequel;
	bool lends;			/* is System RAM afterwards */
	const char *map;		/* of the block device afterwards */
};

#define OUTCOMES 8
#define OPERATIONS_MAX 40

struct tally {
	unsigned long outcomes[OUTCOMES];
	unsigned long injected;
};

/* In memory that all processes share. */
struct soak {
	unsigned long seed;
	unsigned long minutes, first, rounds_max;
	bool want_injection, injecting, filtering, tools;
	char scratch[PATH_MAX];		/* for direct I/O, or empty */

	/* For who watches. */
	const char *stage;
	long stage_since;
	unsigned long rounds, removals, switches;
	bool failed;
	struct tally tallies[OPERATIONS_MAX];
	struct {
		unsigned long injected, refused;
	} renewal;			/* unbinding in between */

	/* Of the round that is being played. */
	struct round round;
	char dir[PATH_MAX];		/* of its files */
	char node[PATH_MAX];		/* of its device-dax device */
	struct device device;
	bool removing;
	long held_until;		/* by shelves */
};

extern struct soak *soak;

void soak_stage(const char *what);
void __printf(1, 2) soak_fails(const char *format, ...);

/* Plan round @nr, and play what is planned. */
void round_plan(struct round *r, unsigned long nr);
void round_play(void);

/* Remove the device for good. */
void round_last(void);

/* A worker for all operations, and what it does not take for a mistake. */
extern const struct job job_soak;
bool soak_excuses(const struct worker *w, int error);
int soak_files_make(void);	/* in an empty directory; 0 or an errno */

/* The table of operations, by number. NULL beyond the last. */
const char *operation_name(unsigned int i);
const char *outcome_name(unsigned int i);

#define PAGE_4K 4096UL
#define HUGE_2M (2UL << 20)

/* That all workers work on. */
#define SOAK_FILE "soak"
#define SOAK_SIZE (3 * HUGE_2M)

#endif
