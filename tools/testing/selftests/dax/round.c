// SPDX-License-Identifier: GPL-2.0
/*
 * A round of the soak: a filesystem on a pmem device, or a device-dax device;
 * workers that use it; in most rounds the removal of the device under them. In
 * the end nobody has anything open, and the device is removed, of which a kernel
 * with CONFIG_DEBUG_VM says if anything is left in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "inject.h"
#include "lend.h"
#include "shelf.h"
#include "soak.h"
#include "view.h"
#include "work.h"

#define WORKERS 4	/* of each team */
#define CROWD_ROUNDS 8

/* Seconds after which a worker is stuck. Removal may wait for stubborn pins. */
#define STALL 120

/* Longer than the kernel waits without saying whom it waits for. */
#define STUBBORN_MS 7000

/* Of the memory that a device lends. */
#define USE (192UL << 20)

/* An allocation that fails is one of the next 2^n, n below this. */
#define NTH_BITS 10

static const char * const filesystems[] = {
	"ext2", "ext4", "xfs", "xfs_reflink", "xfs_rmap",
};

static const char * const sequels[] = {
	[STAYS_AWAY] = "stays away", [COMES_BACK] = "comes back",
	[BECOMES_RAM] = "becomes RAM",
};

/* Plan */

static unsigned int fs_allows(const char *name)
{
	unsigned int allows = ON_FILE | SMALL;

	if (strcmp(name, "ext2"))
		allows |= SYNC | FALLOCATE;
	if (!strcmp(name, "xfs_reflink") || !strcmp(name, "xfs_rmap"))
		allows |= REFLINK;
	return allows;
}

static unsigned int poison_allows(__u64 kind)
{
	switch (kind) {
	case 0:
		return soak->filtering ? FILTERED : 0;
	case 1:
		return POISON;
	default:
		return 0;
	}
}

static enum sequel some_sequel(__u64 *random)
{
	__u64 n = seed_draw(random, 10);

	return n < 5 ? STAYS_AWAY : n < 9 ? COMES_BACK : BECOMES_RAM;
}

/* Every choice is drawn in every round, whether it matters or not. */
void round_plan(struct round *r, unsigned long nr)
{
	static const char * const maps[] = { "mem", "dev", "raw" };
	__u64 random = seed_mix(soak->seed + seed_mix(nr));
	const char *fs = filesystems[seed_draw(&random, 5)];
	bool device = !seed_draw(&random, 6) && soak->tools;

	memset(r, 0, sizeof(*r));
	r->nr = nr;
	r->align = seed_draw(&random, 2) ? HUGE_2M : PAGE_4K;
	r->injects = seed_draw(&random, 2) && soak->injecting;
	r->allows = poison_allows(seed_draw(&random, 3));
	r->removal = CROWD_ROUNDS / 2 + seed_draw(&random, CROWD_ROUNDS / 2);
	if (!seed_draw(&random, 4))
		r->removal = 0;
	r->stubborn = !seed_draw(&random, 4);
	r->sequel = some_sequel(&random);
	r->lends = seed_draw(&random, 2);
	r->map = maps[seed_draw(&random, 3)];
	r->seed = seed_mix(random);

	if (r->sequel == BECOMES_RAM && !soak->tools)
		r->sequel = COMES_BACK;
	if (device)
		r->allows |= ON_DEVICE | (r->align == PAGE_4K ? SMALL : 0);
	else
		r->allows |= fs_allows(fs);
	if (!device)
		r->fs = provider_find(fs);
	/* It is XFS that handles those then, and it asks no filter. */
	if (!device && !strcmp(fs, "xfs_rmap"))
		r->allows &= ~FILTERED;
	if (*soak->scratch)
		r->allows |= DIRECT_IO;
}

static void round_print(const struct round *r)
{
	ksft_print_msg("round %lu: %s%s%s%s%s%s%s\n", r->nr,
		       r->fs ? r->fs->name : "device-dax ",
		       r->fs ? "" : r->align == PAGE_4K ? "4k" : "2m",
		       r->injects ? ", failing allocations" : "",
		       r->allows & FILTERED ? ", ignored memory failures" :
		       r->allows & POISON ? ", memory failures" : "",
		       r->removal ? ", is removed and " : "",
		       r->removal ? sequels[r->sequel] : "",
		       !r->fs && r->lends ? ", System RAM afterwards" : "");
}

/* Removal under the workers, who are not to do what this one does. */

static void step(struct worker *w, const char *what, int error)
{
	char why[80];

	if (!error)
		return;
	snprintf(why, sizeof(why), "%s: %s", what, strerror(-error));
	worker_fails(w, why);
}

/* While files of the filesystem that was there are still open and mapped. */
static void lend_block(struct worker *w)
{
	char why[REASON_MAX] = "", node[PATH_MAX];

	worker_begins(w, "make device-dax", 0, 0);
	if (devdax_up(HUGE_2M, node, sizeof(node), why) != PROVIDED) {
		worker_fails(w, why);
		return;
	}
	worker_begins(w, "lend to the system", 0, 0);
	step(w, "device-dax", device_lend(node, USE));
	worker_begins(w, "make a block device", 0, 0);
	step(w, "ndctl", device_make_block(soak->round.map));
	step(w, "find", device_find(&soak->device, getenv("DAX_DEV")));
}

static void sequel(struct worker *w)
{
	switch (soak->round.sequel) {
	case STAYS_AWAY:
		break;
	case COMES_BACK:
		worker_begins(w, "bind", 0, 0);
		step(w, "bind", device_bind(&soak->device));
		break;
	case BECOMES_RAM:
		worker_begins(w, "lend to the system", 0, 0);
		if (soak->round.fs)
			lend_block(w);
		else
			step(w, "device-dax", device_lend(soak->node, USE));
		soak->switches++;
	}
}

static void remove_device(struct worker *w)
{
	const struct round *r = &soak->round;
	unsigned int per_round = CROWD_TEAMS * WORKERS * job_soak.batch;
	unsigned long begin;

	if (w->round != r->removal)
		return;
	/* Before the others are through with this round of the crowd. */
	begin = (w->round - 1) * per_round + worker_random(w, per_round / 2);
	while (crowd_acts(w->crowd, &job_keep) < begin)
		usleep(1000);

	worker_begins(w, "unbind", 0, 0);
	__atomic_store_n(&soak->removing, true, __ATOMIC_RELEASE);
	if (r->stubborn)
		__atomic_store_n(&soak->held_until, now_ms() + STUBBORN_MS,
				 __ATOMIC_RELEASE);
	step(w, "unbind", device_unbind(&soak->device));
	soak->removals++;
	sequel(w);
	worker_ends(w, 0);
}

static const struct job job_remove = {
	.name = "remove", .teams = 1, .batch = 1, .act = remove_device,
};

/* Workers */

/* Each team has one thread that hears of what others poison. */
static int team_prepare(void)
{
	prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
	shelf_held = &soak->held_until;
	return shelf_open();
}

static struct crowd *gather(const struct round *r)
{
	struct crowd *c = crowd_create();

	if (!c)
		return NULL;
	c->path = soak->node;
	c->size = SOAK_SIZE;
	c->map_sync = r->allows & SYNC;
	c->fallocates = r->allows & FALLOCATE;
	c->device = !r->fs;
	c->huge_only = !(r->allows & SMALL);
	c->seed = r->seed;
	c->rounds = CROWD_ROUNDS;
	c->stall = STALL;
	c->excuses = soak_excuses;
	c->prepare = team_prepare;
	for (int i = 0; i < WORKERS; i++)
		crowd_hire(c, &job_soak);
	crowd_hire(c, &job_keep);
	crowd_hire(c, &job_remove);
	return c;
}

static void crowd_play(const struct round *r)
{
	struct crowd *c = gather(r);
	const char *failure;

	if (!c) {
		soak_fails("no memory for workers");
		return;
	}
	soak_stage("workers");
	if (!crowd_run(c)) {
		soak_fails("see above who is stuck");
		return;
	}
	failure = crowd_failure(c);
	if (failure)
		soak_fails("%s", failure);
	munmap(c, sizeof(*c));
}

static void use(const struct round *r)
{
	struct poison_filter filter;
	bool filters = r->allows & FILTERED;

	soak->removing = false;
	soak->held_until = 0;
	if (filters && poison_filter_set(&filter)) {
		soak_fails("cannot set the filter of memory failures");
		return;
	}
	crowd_play(r);
	if (filters)
		poison_filter_restore(&filter);
}

/* False, after a report, if @error is an errno and not 0. */
static bool step_done(const char *what, int error)
{
	if (error)
		soak_fails("%s: %s", what, strerror(error));
	return !error;
}

static bool block_find(void)
{
	return step_done("find the block device",
			 -device_find(&soak->device, getenv("DAX_DEV")));
}

/*
 * The device between rounds. Allocations of unbinding may fail, too, but not of
 * binding: x86 warns when it cannot add memory, and keeps what it has added.
 */

static void unbind_injected(__u64 *random)
{
	int error;

	inject_arm(1 + seed_draw(random, 1 << seed_draw(random, NTH_BITS)));
	error = device_unbind(&soak->device);
	if (inject_disarm()) {
		soak->renewal.injected++;
		soak->renewal.refused += !!error;
	}
}

static void device_release(__u64 *random)
{
	soak_stage("unbind");
	if (soak->injecting && device_bound(&soak->device))
		unbind_injected(random);
	if (device_bound(&soak->device))
		step_done("unbind", -device_unbind(&soak->device));
}

static void device_regain(void)
{
	soak_stage("bind");
	step_done("bind", -device_bind(&soak->device));
}

/* Has the kernel warned of itself: a bad page, an oops, a warning, a lock-up? */
static long kernel_taint(void)
{
	return view_number("/proc/sys/kernel/tainted") &
	       (1 << 5 | 1 << 7 | 1 << 9 | 1 << 14);
}

static void fs_play(const struct round *r)
{
	char why[REASON_MAX] = "";

	soak_stage("mkfs and mount");
	if (provider_up(r->fs, why) != PROVIDED) {
		soak_fails("%s: %s", r->fs->name, why);
		return;
	}
	snprintf(soak->dir, sizeof(soak->dir), "%s", provider_dir(r->fs));
	snprintf(soak->node, sizeof(soak->node), "%.4000s/" SOAK_FILE,
		 soak->dir);
	if (step_done("make files", soak_files_make()))
		use(r);
	if (soak->failed)
		return;
	soak_stage("unmount");
	step_done("unmount", -provider_down());
}

/* What the memory held is nobody's. */
static int device_clear(const char *node)
{
	int fd = open(node, O_RDWR | O_CLOEXEC), error = 0;
	void *map;

	if (fd < 0)
		return errno;
	map = mmap(NULL, SOAK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		error = errno;
	else
		memset(map, 0, SOAK_SIZE);
	if (!error)
		munmap(map, SOAK_SIZE);
	close(fd);
	return error;
}

static void dax_play(const struct round *r, __u64 *random)
{
	char why[REASON_MAX] = "";

	soak_stage("make device-dax");
	if (devdax_up(r->align, soak->node, sizeof(soak->node), why) !=
	    PROVIDED) {
		soak_fails("device-dax: %s", why);
		return;
	}
	if (step_done("find the device",
		      -device_find(&soak->device, soak->node)) &&
	    step_done("clear the device", device_clear(soak->node)))
		use(r);
	if (soak->failed)
		return;
	device_release(random);
	device_regain();
	if (r->lends) {
		soak_stage("lend to the system");
		step_done("lend", -device_lend(soak->node, USE));
		soak->switches++;
	}
	soak_stage("make a block device");
	if (step_done("make a block device", -device_make_block(r->map)))
		block_find();
}

void round_play(void)
{
	const struct round *r = &soak->round;
	long taint = kernel_taint();
	__u64 random = r->seed;

	round_print(r);
	if (!block_find())
		return;
	if (r->fs)
		fs_play(r);
	else
		dax_play(r, &random);
	/* Who is stuck has the device, and would be waited for. */
	if (!soak->failed) {
		device_release(&random);
		device_regain();
	}
	if (kernel_taint() != taint)
		soak_fails("the kernel has warned, see its log");
	soak->rounds++;
}

void round_last(void)
{
	long taint = kernel_taint();

	if (!block_find())
		return;
	soak_stage("unbind in the end");
	step_done("unbind", -device_unbind(&soak->device));
	if (device_bound(&soak->device) || !access(getenv("DAX_DEV"), F_OK))
		soak_fails("the device is still there");
	if (kernel_taint() != taint)
		soak_fails("the kernel has warned, see its log");
	soak_stage("bind in the end");
	step_done("bind", -device_bind(&soak->device));
}
