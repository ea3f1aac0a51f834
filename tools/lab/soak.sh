# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab soak: everything at random for long, on series debug. What is done follows
# from a seed; the program is the series' own (run_soak.sh of its selftests).

readonly SOAK_PMEM=e820:1G
readonly SOAK_MINUTES_MAX=1440
# What the last round, and the removal of the device after it, may take.
readonly SOAK_SPARE=1800

parse_soak()
{
	local usage="usage: lab soak [MINUTES] [--seed N], 1 to $SOAK_MINUTES_MAX minutes"
	SOAK_MINUTES=30 SOAK_ARGS=()
	if [[ ${1-} == [1-9]*([0-9]) && ${#1} -le 4 ]]; then
		SOAK_MINUTES=$1
		shift
	fi
	[ "$SOAK_MINUTES" -le $SOAK_MINUTES_MAX ] || die "$usage"
	if [[ ${1-} == --seed && ${2-} == +([0-9]) && ${#2} -le 18 ]]; then
		SOAK_ARGS=(-s "$2")
		shift 2
	fi
	[ $# = 0 ] || die "$usage"
}

# soak_must_inject: a kernel that is to let allocations fail has to.
soak_must_inject()
{
	fragments debug | grep -qx CONFIG_FAILSLAB=y
}

cmd_soak()
{
	parse_soak "$@"
	need_packages
	need_image
	build_kernel series debug
	need_selftests
	[ -e "$SELFTESTS/dax/run_soak.sh" ] || die "the series has no dax/run_soak.sh"
	! soak_must_inject || SOAK_ARGS+=(-i)
	guest_boot series debug --pmem "$SOAK_PMEM" --share "$SELFTESTS" \
		--timeout $((SOAK_MINUTES * 60 + SOAK_SPARE)) \
		-- /host/dax/run_soak.sh -m "$SOAK_MINUTES" "${SOAK_ARGS[@]}"
}
