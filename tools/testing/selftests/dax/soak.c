// SPDX-License-Identifier: GPL-2.0
/*
 * Everything that maps, pins, moves, frees and removes persistent memory, at
 * random and for long. Parameters:
 *
 *   -m MINUTES	no round begins later than that
 *   -s SEED	do again what was done with this seed
 *   -r ROUND	begin with this round of it
 *   -n ROUNDS	end after so many
 *   -i		fail if the kernel does not inject failures of allocations
 *
 * Everything that is done follows from the seed and from what came of it, but
 * how long something waits for something else does not. The device is $DAX_DEV,
 * filesystems are mounted in $DAX_DIR; $DAX_NAMESPACE is made device-dax, and
 * the file $DAX_SCRATCH is for direct I/O.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "inject.h"
#include "soak.h"
#include "work.h"

#define LOOK_MS 200
#define PROGRESS_MS 30000

/* Tools may be slow; workers are looked after by their crowd. */
#define STAGE_MS (300 * 1000)
#define WORKERS_MS (900 * 1000)

struct soak *soak;

void soak_stage(const char *what)
{
	soak->stage = what;
	__atomic_store_n(&soak->stage_since, now_ms(), __ATOMIC_RELEASE);
}

/* For what hangs to show where. */
static void show_blocked_tasks(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "w", 1) == 1)
		ksft_print_msg("blocked tasks are in the kernel's log\n");
	close(fd);
}

void soak_fails(const char *format, ...)
{
	char why[512];
	va_list args;

	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	ksft_print_msg("round %lu: %s\n", soak->round.nr, why);
	ksft_print_msg("the same again: -s %lu -r %lu\n", soak->seed,
		       soak->round.nr);
	soak->failed = true;
}

/* Rounds: in a process of its own, as any step may hang. */

/* A file that holds what the workers' file does, and room behind that. */
static bool scratch_prepare(void)
{
	const char *path = getenv("DAX_SCRATCH");
	bool fine = false;
	int fd;

	fd = path ? open(path, O_RDWR | O_TRUNC | O_DIRECT | O_CLOEXEC) : -1;
	if (fd < 0)
		return false;
	fine = write(fd, work_pattern(), HUGE_2M) == HUGE_2M &&
	       !ftruncate(fd, 2 * HUGE_2M) && !fsync(fd);
	close(fd);
	if (fine)
		snprintf(soak->scratch, sizeof(soak->scratch), "%s", path);
	return fine;
}

static bool filter_works(void)
{
	struct poison_filter filter;

	if (poison_filter_set(&filter))
		return false;
	poison_filter_restore(&filter);
	return true;
}

static bool tool_there(const char *name)
{
	const char * const argv[] = { name, "--version", NULL };

	return !run_tool(argv);
}

static void rounds_prepare(struct inject_settings *settings)
{
	int error = inject_setup(settings);

	work_prepare();
	soak->injecting = !error;
	if (error)
		ksft_print_msg("no fault injection: %s\n", strerror(-error));
	if (error && soak->want_injection)
		soak_fails("the kernel should inject failures");
	if (!scratch_prepare())
		ksft_print_msg("no direct I/O: $DAX_SCRATCH\n");
	soak->filtering = filter_works();
	if (!soak->filtering)
		ksft_print_msg("no filter of memory failures\n");
	soak->tools = getenv("DAX_NAMESPACE") && tool_there("ndctl") &&
		      tool_there("daxctl");
	if (!soak->tools)
		ksft_print_msg("no device-dax: ndctl, daxctl, $DAX_NAMESPACE\n");
}

static int rounds_main(void)
{
	long end = now_ms() + soak->minutes * 60000;
	struct inject_settings settings;
	unsigned long nr = soak->first;

	rounds_prepare(&settings);
	do {
		round_plan(&soak->round, nr++);
		if (!soak->failed)
			round_play();
	} while (!soak->failed && now_ms() < end &&
		 (!soak->rounds_max || soak->rounds < soak->rounds_max));
	if (soak->injecting)
		inject_restore(&settings);
	if (!soak->failed)
		round_last();
	return soak->failed;
}

/* Looking after it */

static unsigned long tally_sum(const struct tally *t)
{
	unsigned long sum = 0;

	for (int i = 0; i < OUTCOMES; i++)
		sum += t->outcomes[i];
	return sum;
}

static unsigned long injected(void)
{
	unsigned long sum = soak->renewal.injected;

	for (int i = 0; i < OPERATIONS_MAX; i++)
		sum += soak->tallies[i].injected;
	return sum;
}

static void print_progress(long ms)
{
	char line[1024];
	int len = 0;

	for (int i = 0; operation_name(i) && len < (int)sizeof(line); i++)
		len += snprintf(line + len, sizeof(line) - len, " %s %lu",
				operation_name(i),
				tally_sum(&soak->tallies[i]));
	ksft_print_msg("%ld s: %lu rounds, %lu removals, %lu failed allocations;%s\n",
		       ms / 1000, soak->rounds, soak->removals, injected(), line);
}

static void print_table(void)
{
	char line[256];
	int len = 0;

	for (int i = 0; i < OUTCOMES; i++)
		len += snprintf(line + len, sizeof(line) - len, " %8s",
				outcome_name(i));
	ksft_print_msg("%-13s%s injected\n", "operation", line);
	for (int op = 0; operation_name(op); op++) {
		const struct tally *t = &soak->tallies[op];

		len = 0;
		for (int i = 0; i < OUTCOMES; i++)
			len += snprintf(line + len, sizeof(line) - len,
					" %8lu", t->outcomes[i]);
		ksft_print_msg("%-13s%s %8lu\n", operation_name(op), line,
			       t->injected);
	}
	ksft_print_msg("unbind between rounds: %lu injected, %lu of them refused\n",
		       soak->renewal.injected, soak->renewal.refused);
	ksft_print_msg("seed %lu: %lu rounds, %lu removals under workers\n",
		       soak->seed, soak->rounds, soak->removals);
	ksft_print_msg("%lu times System RAM, %lu failed allocations\n",
		       soak->switches, injected());
}

static bool stage_hangs(long now)
{
	long since = __atomic_load_n(&soak->stage_since, __ATOMIC_ACQUIRE);
	long limit = strcmp(soak->stage, "workers") ? STAGE_MS : WORKERS_MS;

	return now - since > limit;
}

/* Whether the rounds ended well. */
static bool watch(pid_t pid)
{
	long start = now_ms(), now = start, printed = start;
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		usleep(LOOK_MS * 1000);
		now = now_ms();
		if (now - printed > PROGRESS_MS) {
			print_progress(now - start);
			printed = now;
		}
		if (stage_hangs(now)) {
			soak_fails("'%s' does not end", soak->stage);
			show_blocked_tasks();
			kill(pid, SIGKILL);
			return false;
		}
	}
	print_progress(now - start);
	if (status && !soak->failed)
		soak_fails("'%s' ended with status %#x", soak->stage, status);
	if (soak->failed)
		show_blocked_tasks();
	return !soak->failed;
}

static bool number(const char *text, unsigned long *value)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

static bool parse(int argc, char *argv[])
{
	unsigned long *value;
	int option;

	while ((option = getopt(argc, argv, "m:s:r:n:i")) != -1) {
		switch (option) {
		case 'm':
			value = &soak->minutes;
			break;
		case 's':
			value = &soak->seed;
			break;
		case 'r':
			value = &soak->first;
			break;
		case 'n':
			value = &soak->rounds_max;
			break;
		case 'i':
			soak->want_injection = true;
			continue;
		default:
			return false;
		}
		if (!number(optarg, value)) {
			fprintf(stderr, "-%c: '%s' is not a number\n", option,
				optarg);
			return false;
		}
	}
	return optind == argc;
}

int main(int argc, char *argv[])
{
	bool fine = false;
	pid_t pid;

	soak = mmap(NULL, sizeof(*soak), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (soak == MAP_FAILED)
		return KSFT_FAIL;
	soak->seed = time(NULL) ^ getpid();
	soak->minutes = 1;
	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: %s [-m MINUTES] [-s SEED] [-r ROUND] [-n ROUNDS] [-i]\n",
			argv[0]);
		return KSFT_FAIL;
	}
	ksft_print_header();
	ksft_set_plan(1);
	ksft_print_msg("seed %lu\n", soak->seed);
	soak_stage("begin");

	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(rounds_main());
	if (pid > 0)
		fine = watch(pid);
	print_table();
	ksft_test_result(fine, "soak\n");
	ksft_finished();
}
