# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab run: the hazards that the series is there for, played on base and on
# series, as a table. Each is played in a boot of its own, as any may be the
# last thing that a kernel does.

readonly RUN_PMEM=e820:1G
readonly RUN_LIMIT=120
readonly RUN_FILESYSTEMS="ext4 ext2 xfs"
readonly RUN_HAZARDS=(H1 H2 H3 H6 H6-unmapped H7 H8)

declare -rA HAZARD_TEXT=(
	[H1]="unlink and close, a page pinned"
	[H2]="mapping outlives the device's unbinding"
	[H3]="pin outlives the device's unbinding"
	[H6]="truncate, a page pinned"
	[H6-unmapped]="truncate, pinned and not mapped"
	[H7]="unbound under an open file, then unmounted"
	[H8]="stale mapping of what became System RAM"
)

# Where each of them is played; device-dax has no blocks to free.
declare -rA HAZARD_ON=(
	[H1]=$RUN_FILESYSTEMS
	[H2]="$RUN_FILESYSTEMS devdax"
	[H3]="$RUN_FILESYSTEMS devdax"
	[H6]=$RUN_FILESYSTEMS
	[H6-unmapped]=$RUN_FILESYSTEMS
	[H7]=$RUN_FILESYSTEMS
	[H8]="$RUN_FILESYSTEMS devdax"
)

# first_splat LOG: what the kernel complained of, in a word.
first_splat()
{
	grep -aEom 1 -- "$SPLATS" "$1" | head -n 1 | sed -E 's/^\[[^]]*\] *//; s/: .*//'
}

# play K HAZARD PROVIDER: sets VERDICT and WORDS.
play()
{
	local rc=0 line='' splat
	guest_boot "$1" release --pmem "$RUN_PMEM" --share "$SELFTESTS" \
		--timeout "$RUN_LIMIT" -- /lab/hazard.sh "$2" "$3" \
		>>"$RUN_LOG" 2>&1 || rc=$?
	[ ! -s "$CONTROL/hazard" ] || read -r line <"$CONTROL/hazard"
	read -r _ _ VERDICT WORDS <<<"$line"
	if [ -z "$line" ]; then
		case $rc in
		4) VERDICT=lacking WORDS="cannot be played, see $RUN_LOG" ;;
		"$EXIT_PANIC") VERDICT=crash WORDS="the kernel panics" ;;
		"$EXIT_TIMEOUT") VERDICT=broken WORDS="the guest hangs" ;;
		*) VERDICT=failed WORDS="failed, see $RUN_LOG" ;;
		esac
	fi
	splat=$(first_splat "$GUEST_LOG") || true
	if [ -n "$splat" ]; then
		WORDS+=" + $splat"
		[ "$VERDICT" != safe ] || VERDICT=splat
	fi
}

# play_all K: fills SEEN and SAID.
play_all()
{
	local hazard fs start=$SECONDS
	for hazard in "${RUN_HAZARDS[@]}"; do
		for fs in ${HAZARD_ON[$hazard]}; do
			play "$1" "$hazard" "$fs"
			SEEN[$1 $hazard $fs]=$VERDICT
			SAID[$1 $hazard $fs]=$WORDS
			say "$1: $hazard on $fs: $WORDS"
		done
	done
	say "play the hazards on $1: $(elapsed "$start")"
}

table_row()
{
	printf '%-3s %-43s %-6s %-67s %s\n' "$@"
}

# print_table: counts broken promises in BROKEN, and hazards that base did not
# show, which prove nothing.
print_table()
{
	local hazard fs base row
	table_row "" hazard fs base series
	for hazard in "${RUN_HAZARDS[@]}"; do
		for fs in ${HAZARD_ON[$hazard]}; do
			row="$hazard $fs"
			base=${SAID[base $row]}
			[ "${SEEN[base $row]}" != safe ] || base="not reproduced: $base"
			[ "${SEEN[series $row]}" = safe ] || BROKEN=$((BROKEN + 1))
			table_row "${hazard%-*}" "${HAZARD_TEXT[$hazard]}" "$fs" "$base" \
				"${SAID[series $row]}"
		done
	done
}

cmd_run()
{
	[ $# = 0 ] || die "usage: lab run"
	local -A SEEN=() SAID=()
	local BROKEN=0 kernel
	need_packages
	need_image
	build_kernel base release
	build_kernel series release
	need_selftests
	RUN_LOG=$LOGS/run.log
	: >"$RUN_LOG"
	for kernel in base series; do
		play_all "$kernel"
	done
	print_table
	if [ $BROKEN != 0 ]; then
		say "the series breaks $BROKEN of its promises"
		return 1
	fi
	say "the series keeps its promises"
}
