// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <sys/uio.h>

#include "shelf.h"
#include "work.h"

#define PLACES 8
#define LEN_MAX (8 * 4096UL)

/* Workers may all be waiting for a pin to be dropped. */
#define STANDSTILL_MS 20

enum {
	FREE,
	TAKEN,
	HELD,
};

static struct place {
	int state;
	int pipe[2];
	off_t at;
	size_t len;
	__u64 whose;
	unsigned long due;	/* in acts of the crowd */
} places[PLACES];

long *shelf_held;

static void set_state(struct place *p, int state)
{
	__atomic_store_n(&p->state, state, __ATOMIC_RELEASE);
}

int shelf_open(void)
{
	for (struct place *p = places; p < places + PLACES; p++) {
		if (pipe2(p->pipe, O_CLOEXEC | O_NONBLOCK))
			return -errno;
		set_state(p, FREE);
	}
	return 0;
}

static struct place *take(void)
{
	for (struct place *p = places; p < places + PLACES; p++) {
		int free = FREE;

		if (__atomic_compare_exchange_n(&p->state, &free, TAKEN, false,
						__ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return p;
	}
	return NULL;
}

int shelf_pin(struct worker *w, char *map, off_t page, size_t len,
	      unsigned int hold)
{
	struct iovec iov = {
		.iov_base = map + page,
		.iov_len = len < LEN_MAX ? len : LEN_MAX,
	};
	struct place *p = take();
	ssize_t n;

	if (!p)
		return -EAGAIN;
	n = vmsplice(p->pipe[1], &iov, 1, SPLICE_F_NONBLOCK);
	if (n <= 0) {
		set_state(p, FREE);
		return n ? -errno : -EFAULT;
	}
	p->at = page;
	p->len = n;
	p->whose = w->whose;
	p->due = crowd_acts(w->crowd, &job_keep) + hold;
	set_state(p, HELD);
	return 0;
}

/* Keepers, of which a team has one */

static void drop(struct worker *w, struct place *p)
{
	static __u64 words[LEN_MAX / sizeof(__u64)];
	ssize_t n;

	w->whose = p->whose;
	worker_begins(w, "drop", p->at, p->len);
	n = read(p->pipe[0], words, p->len);
	if (n == (ssize_t)p->len)
		words_check(w, p->at, words, n);
	else
		worker_fails(w, "the pipe did not return the pages");
	worker_ends(w, 0);
	w->whose = 0;
	set_state(p, FREE);
}

static void drop_due(struct worker *w, unsigned long now)
{
	for (struct place *p = places; p < places + PLACES; p++)
		if (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) == HELD &&
		    now >= p->due)
			drop(w, p);
}

static unsigned long acts_in_round(const struct worker *w)
{
	unsigned long acts = 0;

	for (unsigned int i = 0; i < w->crowd->nr; i++)
		if (w->crowd->workers[i].job != &job_keep)
			acts += w->crowd->workers[i].job->batch;
	return acts;
}

static void keep(struct worker *w)
{
	unsigned long goal = acts_in_round(w) * w->round, acts, before = 0;
	long moved = 0, now;

	do {
		usleep(1000);
		now = now_ms();
		acts = crowd_acts(w->crowd, &job_keep);
		if (acts != before)
			moved = now;
		before = acts;
		if (now >= __atomic_load_n(shelf_held, __ATOMIC_ACQUIRE))
			drop_due(w, now - moved > STANDSTILL_MS ? -1UL : acts);
	} while (acts < goal);
	if (w->round == w->crowd->rounds)
		drop_due(w, -1UL);
}

const struct job job_keep = {
	.name = "keep", .teams = 2, .batch = 1, .act = keep,
};
