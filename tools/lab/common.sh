# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What every command uses: messages, steps, locks, clean-up, the build directory.
#
# Messages go to stderr, so that stdout carries nothing but a command's own
# output (the guest's, for `lab boot`).

BUILD=$TOP/build
LOGS=$BUILD/logs
# What outlives a build directory: ccache's objects, and what lab check has passed.
LAB_CACHE=$(realpath -m "${LAB_CACHE:-$BUILD}")
# shellcheck disable=SC2034 # where the kernel trees are; KSRC moves it
TREES=$BUILD

say()
{
	echo "lab: $*" >&2
}

die()
{
	say "$*"
	exit 1
}

need_root()
{
	[ "$(id -u)" = 0 ] || die "must run as root: it unpacks a Debian system and shares files with guests"
}

# need_space GIB: a step that would fill the disk does not start.
need_space()
{
	local free
	mkdir -p "$BUILD"
	free=$(df --output=avail -k "$BUILD" | tail -n 1)
	[ "$free" -ge $(($1 << 20)) ] ||
		die "no space: needs $1 GiB under $BUILD, has $((free >> 20))"
}

# --- clean-up: at_exit CMD... runs when the script ends, however it ends -----

AT_EXIT=()
GROUP=		# the process group that runs now

at_exit()
{
	AT_EXIT=("$(printf '%q ' "$@")" "${AT_EXIT[@]}")
}

run_at_exit()
{
	local cmd
	trap '' INT TERM HUP
	if [ -n "$GROUP" ]; then
		kill -TERM -- "-$GROUP" 2>/dev/null || true
		kill -CONT -- "-$GROUP" 2>/dev/null || true
		wait
	fi
	for cmd in "${AT_EXIT[@]}"; do
		eval "$cmd" || true
	done
}

trap run_at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# temp_dir VAR DIR: a directory below DIR that goes away with the script.
temp_dir()
{
	local -n made=$1
	mkdir -p "$2"
	made=$(mktemp -d "$2/.tmp.XXXXXX")
	at_exit rm -rf "$made"
}

# --- locks -------------------------------------------------------------------

declare -A LOCKS

# lab_lock NAME [-s]: held until lab_unlock, or until the script and all that
# it started are gone; -s: shared with others that say -s.
lab_lock()
{
	local fd
	mkdir -p "$BUILD/locks"
	exec {fd}>"$BUILD/locks/$1"
	flock -n "${2--x}" "$fd" ||
		die "$1 is in use by another lab process; wait for it or stop it"
	LOCKS[$1]=$fd
}

lab_unlock()
{
	local fd=${LOCKS[$1]}
	exec {fd}>&-
	unset "LOCKS[$1]"
}

# --- steps -------------------------------------------------------------------

# in_group CMD...: start CMD in a process group of its own; sets GROUP to it.
in_group()
{
	set -m
	"$@" &
	GROUP=$!
	set +m
}

# wait_group: until it ends; returns its status.
wait_group()
{
	local rc=0
	wait "$GROUP" || rc=$?
	GROUP=
	return $rc
}

elapsed()
{
	local s=$((SECONDS - $1))
	if [ $s -lt 60 ]; then
		echo "$s s"
	else
		printf '%d min %02d s\n' $((s / 60)) $((s % 60))
	fi
}

# progress WHAT START LOG: until GROUP ends, how long it has been at it and
# what it does: in a line that changes in place on a terminal, or else in a new
# one every minute.
progress()
{
	local line next=60
	while kill -0 "$GROUP" 2>/dev/null; do
		sleep 0.3
		line="$1 ... $(elapsed "$2") $(tail -n 1 "$3" | tr -d '[:cntrl:]' | cut -c 1-60)"
		if [ -t 2 ]; then
			printf '\r\e[Klab: %s' "$line" >&2
		elif [ $((SECONDS - $2)) -ge $next ]; then
			say "$line"
			next=$((next + 60))
		fi
	done
	[ ! -t 2 ] || printf '\r\e[K' >&2
}

# step WHAT CMD...: run CMD with its output in build/logs/, one line for the
# user; the end of the log and exit when it fails.
step()
{
	local what=$1 start=$SECONDS log rc=0
	shift
	log=$LOGS/$(tr -cs '[:alnum:]._\n' - <<<"$what").log
	mkdir -p "$LOGS"
	in_group "$@" >"$log" 2>&1 </dev/null
	progress "$what" "$start" "$log"
	wait_group || rc=$?
	if [ "$rc" != 0 ]; then
		tail -n 20 "$log" >&2
		die "$what: failed after $(elapsed "$start"), see $log"
	fi
	say "$what: $(elapsed "$start")"
}
