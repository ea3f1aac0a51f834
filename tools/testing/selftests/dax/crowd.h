/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SELFTESTS_DAX_CROWD_H
#define SELFTESTS_DAX_CROWD_H

#include <pthread.h>
#include <stdbool.h>
#include <linux/types.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "pin.h"

#ifndef MAP_SHARED_VALIDATE
#define MAP_SHARED_VALIDATE 0x03
#endif
#ifndef MAP_SYNC
#define MAP_SYNC 0x80000
#endif

/*
 * A crowd of workers does its jobs to one file. Workers are threads of two
 * processes, so that some share page tables and others do not. They go through
 * rounds, each of which all of them begin at the same time.
 *
 * A worker says in shared memory what it is doing, and who looks after the crowd
 * neither has the file open nor waits for anything but time: it can tell who is
 * stuck.
 */
#define CROWD_TEAMS 2
#define CROWD_WORKERS_MAX 32

struct worker;

struct job {
	const char *name;
	unsigned int teams;	/* how many teams have a worker for it */
	unsigned int batch;	/* times per round */
	void (*act)(struct worker *w);
};

/* A file's mappings, in one team. NULL where there is no such mapping. */
struct maps {
	int fd;
	char *aligned;	/* as the huge pages of the file */
	char *skewed;	/* one page off, so that every mapping is a small one */
	char *copied;	/* a private one, aligned */
	char *synced;	/* MAP_SYNC, aligned */
};

struct worker {
	struct crowd *crowd;
	const struct job *job;
	unsigned int team;
	struct maps *maps;
	pthread_t thread;
	struct pin pin;
	__u64 random;
	unsigned int round;
	__u64 whose;		/* the file worked on, 0 for the crowd's */

	/* For whoever looks after the crowd. */
	pid_t tid;
	const char *what;
	off_t at;
	size_t len;
	long since;		/* ms, 0 when not at work */
	unsigned long acts;	/* of its job, from the first round on */
	unsigned long done, refused, sigbus;
	int error;		/* of what was refused last */
	char failure[160];
};

struct crowd {
	const char *path;
	size_t size;
	bool map_sync, fallocates;	/* what the filesystem is able to do */
	bool device;		/* of device-dax: private to nobody, no size */
	bool huge_only;		/* what it maps */
	unsigned long seed;
	unsigned int rounds;
	unsigned int stall;	/* seconds after which a worker is stuck */

	/*
	 * Where somebody sees to it that things fail: may this be why? SIGBUS is
	 * EFAULT, or EHWPOISON if there was a page but it is lost.
	 */
	bool (*excuses)(const struct worker *w, int error);
	int (*prepare)(void);	/* done by each team before it begins */

	pid_t pids[CROWD_TEAMS];
	unsigned int ended;	/* teams */
	pthread_barrier_t round_start, all_unmapped;
	struct worker closer;	/* who truncates the file in the end */
	unsigned int nr;
	struct worker workers[CROWD_WORKERS_MAX];
};

/* In memory that is shared with children. NULL if there is none. */
struct crowd *crowd_create(void);
void crowd_hire(struct crowd *c, const struct job *job);

/*
 * Have every job done, then unmap the file and truncate it to nothing. False,
 * after a report, if a worker got stuck or a team did not end well.
 */
bool crowd_run(struct crowd *c);

/* Acts of all workers but those who do @but. */
unsigned long crowd_acts(const struct crowd *c, const struct job *but);

/* What a worker found wrong first, or NULL. */
const char *crowd_failure(const struct crowd *c);

/* Called by workers. */
__u64 worker_random(struct worker *w, __u64 below);
bool worker_excused(const struct worker *w, int error);
void worker_begins(struct worker *w, const char *what, off_t at, size_t len);
void worker_ends(struct worker *w, int error);	/* an errno, or 0 */
void worker_fails(struct worker *w, const char *why);

/* Map a file @skew bytes beyond a multiple of the size of a huge page, or NULL. */
char *map_skewed(int fd, size_t size, int flags, size_t skew);

long now_ms(void);

/* Sequences that a seed tells, and that differ much if seeds differ little. */
__u64 seed_mix(__u64 seed);
__u64 seed_draw(__u64 *state, __u64 below);

#endif
