// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "operation.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/*
 * How long a sleeper has to stay asleep to count as waiting for the pin, where
 * no tracepoint says so, and how long anything may take before the test gives up
 * on it.
 */
#define SETTLE_MS 250
#define SETTLE_FS_MS 1000
#define GIVE_UP_MS 20000

const char *outcome_text(enum outcome outcome)
{
	switch (outcome) {
	case OP_RETURNED:
		return "returns";
	case OP_WAITS:
		return "waits";
	default:
		return "neither returns nor sleeps";
	}
}

/* Without the tracepoint, or the right to it, no wait is counted. */
static void waits_count(struct run *run, ino_t ino)
{
	char filter[64];

	snprintf(filter, sizeof(filter), "ino == %lu", (unsigned long)ino);
	counter_open(&run->waits, "fs_dax/dax_wait_layout", filter);
	run->observed = 0;
}

static bool wait_began(struct run *run)
{
	long long waits = counter_read(&run->waits);
	bool began = waits > run->observed;

	run->observed = waits;
	return began;
}

int run_start(struct scene *s, const struct operation *op)
{
	pid_t pid;

	waits_count(&s->run, s->victim.ino);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		pin_close(&s->pin);
		_exit(op->perform(s));
	}
	s->run.pid = pid;
	s->run.done = false;
	s->run.syscall = op->syscall;
	s->run.pidfd = syscall(SYS_pidfd_open, pid, 0);
	return s->run.pidfd < 0 ? -errno : 0;
}

static bool run_ends(struct run *run, int timeout_ms)
{
	struct pollfd ended = { .fd = run->pidfd, .events = POLLIN };

	if (run->done)
		return true;
	if (poll(&ended, 1, timeout_ms) != 1)
		return false;
	run->done = waitpid(run->pid, &run->status, 0) == run->pid;
	return run->done;
}

/* A file of /proc/PID, as one string; empty if it cannot be read. */
static void proc_read(pid_t pid, const char *name, char *text, size_t len)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, len - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = '\0';
}

/* Times the process went to sleep so far, or -1. */
static long sleeps(pid_t pid)
{
	char text[4096], *field;

	proc_read(pid, "status", text, sizeof(text));
	field = strstr(text, "\nvoluntary_ctxt_switches:");
	return field ? strtol(strchr(field, ':') + 1, NULL, 10) : -1;
}

static bool asleep_in_syscall(pid_t pid, long nr)
{
	char text[1024], *state;

	proc_read(pid, "stat", text, sizeof(text));
	state = strrchr(text, ')');
	if (!state || (state[2] != 'S' && state[2] != 'D'))
		return false;
	proc_read(pid, "syscall", text, sizeof(text));
	/* Not every architecture tells the number; then the state has to do. */
	return !*text || strtol(text, NULL, 10) == nr;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool run_ended(struct run *run)
{
	return run_ends(run, 0);
}

enum outcome run_observe(struct run *run)
{
	int settle = run->syscall == SYS_umount2 ? SETTLE_FS_MS : SETTLE_MS;
	long give_up = now_ms() + GIVE_UP_MS;

	do {
		long before = sleeps(run->pid);

		if (!asleep_in_syscall(run->pid, run->syscall)) {
			if (run_ends(run, 5))
				return OP_RETURNED;
			continue;
		}
		if (wait_began(run))
			return OP_WAITS;
		if (run_ends(run, settle))
			return OP_RETURNED;
		if (sleeps(run->pid) == before &&
		    asleep_in_syscall(run->pid, run->syscall))
			return OP_WAITS;
	} while (now_ms() < give_up);
	return OP_BUSY;
}

int run_finish(struct run *run)
{
	if (!run_ends(run, GIVE_UP_MS))
		return -1;
	counter_close(&run->waits);
	return WIFEXITED(run->status) ? WEXITSTATUS(run->status) : EINTR;
}

bool run_kill(struct run *run)
{
	kill(run->pid, SIGKILL);
	return run_ends(run, GIVE_UP_MS);
}
