// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../kselftest.h"
#include "crowd.h"

#define PAGE_4K 4096UL
#define HUGE_2M (2UL << 20)

#define LOOK_MS 100
#define KILL_MS 2000

long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void sleep_ms(long ms)
{
	usleep(ms * 1000);
}

char *map_skewed(int fd, size_t size, int flags, size_t skew)
{
	size_t room = size + 2 * HUGE_2M;
	uintptr_t at;
	char *map;

	map = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return NULL;
	at = ((uintptr_t)map + HUGE_2M - 1) / HUGE_2M * HUGE_2M + skew;
	map = mmap((void *)at, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED,
		   fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

/* Workers */

__u64 seed_draw(__u64 *state, __u64 below)
{
	__u64 x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x % below;
}

/* splitmix64; never 0, which seed_draw() would not get away from. */
__u64 seed_mix(__u64 x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	x ^= x >> 31;
	return x ? x : 1;
}

__u64 worker_random(struct worker *w, __u64 below)
{
	return seed_draw(&w->random, below);
}

void worker_begins(struct worker *w, const char *what, off_t at, size_t len)
{
	w->what = what;
	w->at = at;
	w->len = len;
	__atomic_store_n(&w->since, now_ms(), __ATOMIC_RELEASE);
}

/* What an operation may answer when another one was faster. */
static bool refusal(int error)
{
	return error == EBUSY ||	/* the page is nobody's any more */
	       error == EFAULT;		/* beyond the end of the file */
}

bool worker_excused(const struct worker *w, int error)
{
	return w->crowd->excuses && w->crowd->excuses(w, error);
}

void worker_ends(struct worker *w, int error)
{
	__atomic_store_n(&w->since, 0, __ATOMIC_RELEASE);
	if (!error) {
		w->done++;
		return;
	}
	w->refused++;
	w->error = error;
	if (!refusal(error) && !worker_excused(w, error))
		worker_fails(w, strerror(error));
}

void worker_fails(struct worker *w, const char *why)
{
	if (*w->failure)
		return;
	snprintf(w->failure, sizeof(w->failure), "%s: %s at page %#lx: %s",
		 w->job->name, w->what, (unsigned long)(w->at / PAGE_4K), why);
}

unsigned long crowd_acts(const struct crowd *c, const struct job *but)
{
	unsigned long acts = 0;

	for (unsigned int i = 0; i < c->nr; i++)
		if (c->workers[i].job != but)
			acts += __atomic_load_n(&c->workers[i].acts,
						__ATOMIC_ACQUIRE);
	return acts;
}

const char *crowd_failure(const struct crowd *c)
{
	if (*c->closer.failure)
		return c->closer.failure;
	for (unsigned int i = 0; i < c->nr; i++)
		if (*c->workers[i].failure)
			return c->workers[i].failure;
	return NULL;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct crowd *c = w->crowd;

	w->tid = syscall(SYS_gettid);
	while (w->round < c->rounds) {
		pthread_barrier_wait(&c->round_start);
		w->round++;
		for (unsigned int i = 0; i < w->job->batch; i++) {
			w->job->act(w);
			__atomic_fetch_add(&w->acts, 1, __ATOMIC_RELEASE);
		}
	}
	return NULL;
}

/* Teams: what follows runs in a process of its own. */

/* Nobody who reads the test's output shall wait for a process that is stuck. */
static void team_detach(void)
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	syscall(SYS_close_range, 3, ~0U, 0);
}

static bool team_open(const struct crowd *c, struct maps *m)
{
	memset(m, 0, sizeof(*m));
	m->fd = open(c->path, O_RDWR);
	if (m->fd < 0)
		return false;
	m->aligned = map_skewed(m->fd, c->size, MAP_SHARED, 0);
	if (!c->huge_only)
		m->skewed = map_skewed(m->fd, c->size, MAP_SHARED, PAGE_4K);
	if (!c->device)
		m->copied = map_skewed(m->fd, c->size, MAP_PRIVATE, 0);
	if (c->map_sync)
		m->synced = map_skewed(m->fd, c->size,
				       MAP_SHARED_VALIDATE | MAP_SYNC, 0);
	return m->aligned && (m->skewed || c->huge_only) &&
	       (m->copied || c->device) && (m->synced || !c->map_sync);
}

static void team_unmap(const struct crowd *c, const struct maps *m)
{
	char * const all[] = { m->aligned, m->skewed, m->copied, m->synced };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i])
			munmap(all[i], c->size);
}

static bool team_work(struct crowd *c, unsigned int team, struct maps *maps)
{
	struct worker *w;

	for (w = c->workers; w < c->workers + c->nr; w++) {
		if (w->team != team)
			continue;
		w->maps = maps;
		if (pin_open(&w->pin) ||
		    pthread_create(&w->thread, NULL, worker_main, w))
			return false;
	}
	for (w = c->workers; w < c->workers + c->nr; w++)
		if (w->team == team && pthread_join(w->thread, NULL))
			return false;
	return true;
}

static void truncate_to_nothing(struct worker *w)
{
	worker_begins(w, "truncate to nothing", 0, w->crowd->size);
	worker_ends(w, ftruncate(w->maps->fd, 0) ? errno : 0);
}

static const struct job closing = {
	.name = "closing", .act = truncate_to_nothing,
};

static int team_main(struct crowd *c, unsigned int team)
{
	struct maps maps;

	team_detach();
	if (!team_open(c, &maps) || (c->prepare && c->prepare()) ||
	    !team_work(c, team, &maps))
		return 1;
	team_unmap(c, &maps);
	if (pthread_barrier_wait(&c->all_unmapped) ==
	    PTHREAD_BARRIER_SERIAL_THREAD && !c->device) {
		c->closer.maps = &maps;
		c->closer.team = team;
		c->closer.tid = getpid();
		closing.act(&c->closer);
	}
	return 0;
}

/* Looking after the crowd */

static void report_proc(const struct worker *w, const char *name)
{
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s",
		 w->crowd->pids[w->team], w->tid, name);
	f = fopen(path, "r");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		ksft_print_msg("    %s: %s\n", name, line);
	}
	fclose(f);
}

static void report_worker(const struct worker *w, long now)
{
	long since = __atomic_load_n(&w->since, __ATOMIC_ACQUIRE);

	if (!w->tid)
		return;
	if (!since) {
		ksft_print_msg("team %u, tid %d, %s: done %lu, waits for the others\n",
			       w->team, w->tid, w->job->name, w->done);
		return;
	}
	ksft_print_msg("team %u, tid %d, %s: done %lu, then for %ld ms:\n",
		       w->team, w->tid, w->job->name, w->done, now - since);
	ksft_print_msg("    %s, page %#lx, PMD %lu, order %u\n", w->what,
		       (unsigned long)(w->at / PAGE_4K),
		       (unsigned long)(w->at / HUGE_2M),
		       w->len >= HUGE_2M ? 9 : 0);
	report_proc(w, "wchan");
	report_proc(w, "syscall");
	report_proc(w, "stack");
}

static bool worker_stuck(const struct worker *w, long now)
{
	long since = __atomic_load_n(&w->since, __ATOMIC_ACQUIRE);

	return since && now - since > w->crowd->stall * 1000L;
}

static bool crowd_stuck(const struct crowd *c, long now)
{
	for (unsigned int i = 0; i < c->nr; i++)
		if (worker_stuck(&c->workers[i], now))
			return true;
	return worker_stuck(&c->closer, now);
}

static void crowd_report(const struct crowd *c, long now)
{
	ksft_print_msg("stuck in round %u of %u, %u of %u teams ended:\n",
		       c->workers[0].round, c->rounds, c->ended, CROWD_TEAMS);
	for (unsigned int i = 0; i < c->nr; i++)
		if (worker_stuck(&c->workers[i], now))
			report_worker(&c->workers[i], now);
	if (c->closer.tid)
		report_worker(&c->closer, now);
	ksft_print_msg("the others:\n");
	for (unsigned int i = 0; i < c->nr; i++)
		if (!worker_stuck(&c->workers[i], now))
			report_worker(&c->workers[i], now);
}

static unsigned long crowd_progress(const struct crowd *c)
{
	unsigned long progress = c->ended + c->closer.done;

	for (unsigned int i = 0; i < c->nr; i++)
		progress += c->workers[i].done + c->workers[i].refused +
			    c->workers[i].sigbus;
	return progress;
}

/* False if a team ended that should not have. */
static bool crowd_reap(struct crowd *c)
{
	int status;

	for (int i = 0; i < CROWD_TEAMS; i++) {
		if (!c->pids[i] ||
		    waitpid(c->pids[i], &status, WNOHANG) != c->pids[i])
			continue;
		c->pids[i] = 0;
		c->ended++;
		if (status) {
			ksft_print_msg("team %d ended with status %#x\n", i,
				       status);
			return false;
		}
	}
	return true;
}

/* Some may not die; they are left behind. */
static void crowd_kill(struct crowd *c)
{
	long give_up = now_ms() + KILL_MS;

	for (int i = 0; i < CROWD_TEAMS; i++)
		if (c->pids[i])
			kill(c->pids[i], SIGKILL);
	while (c->ended < CROWD_TEAMS && now_ms() < give_up) {
		crowd_reap(c);
		sleep_ms(LOOK_MS);
	}
}

static bool crowd_watch(struct crowd *c)
{
	unsigned long before = 0, progress;
	long moved = now_ms(), now;

	while (c->ended < CROWD_TEAMS) {
		sleep_ms(LOOK_MS);
		if (!crowd_reap(c))
			return false;
		now = now_ms();
		progress = crowd_progress(c);
		if (progress != before)
			moved = now;
		before = progress;
		if (crowd_stuck(c, now) || now - moved > c->stall * 1000L) {
			crowd_report(c, now);
			return false;
		}
	}
	return true;
}

struct crowd *crowd_create(void)
{
	struct crowd *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (c == MAP_FAILED)
		return NULL;
	c->closer.crowd = c;
	c->closer.job = &closing;
	return c;
}

void crowd_hire(struct crowd *c, const struct job *job)
{
	struct worker *w;

	for (unsigned int team = 0; team < job->teams; team++) {
		if (c->nr == CROWD_WORKERS_MAX)
			return;
		w = &c->workers[c->nr];
		w->crowd = c;
		w->job = job;
		w->team = team;
		w->random = seed_mix(c->seed + seed_mix(c->nr++));
	}
}

static int barriers_init(struct crowd *c)
{
	pthread_barrierattr_t shared;
	int error;

	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	error = pthread_barrier_init(&c->round_start, &shared, c->nr);
	if (!error)
		error = pthread_barrier_init(&c->all_unmapped, &shared,
					     CROWD_TEAMS);
	pthread_barrierattr_destroy(&shared);
	return error;
}

bool crowd_run(struct crowd *c)
{
	bool fine = !barriers_init(c);
	pid_t pid;

	for (unsigned int team = 0; team < CROWD_TEAMS && fine; team++) {
		pid = fork();
		if (!pid)
			_exit(team_main(c, team));
		c->pids[team] = pid;
		fine = pid > 0;
	}
	if (fine)
		fine = crowd_watch(c);
	if (!fine)
		crowd_kill(c);
	return fine;
}
