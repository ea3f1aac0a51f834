# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab ndctl: the dax suite of an ndctl build tree, run in a guest, as a table.
#
# The guest has a copy of source and build tree under their own paths, so what
# the tests write stays there. Meson's logs come out through the boot's control
# directory: a guest that dies leaves the verdicts it got to.
#
# What base says is kept and is the measure for series. Exit status:
#   base    0 when the suite ran to its end, whatever the verdicts are
#   series  0 when, besides, no test regressed and none failed that base's
#           verdict is not known of
#   both    the guest's own when it crashed, hung or its kernel complained

readonly ND_SUITE=ndctl:dax
readonly ND_SLOW=mmap.sh	# 11 minutes under emulation

nd_parse()
{
	ND_K=series ND_F=release ND_ONLY=() ND_WITH_SLOW=''
	local words=()
	while [ $# -gt 0 ]; do
		case $1 in
		-k)
			[ $# -gt 1 ] || die "-k: value missing"
			ND_ONLY+=("$2")
			shift ;;
		--slow) ND_WITH_SLOW=y ;;
		--debug) ND_F=debug ;;
		-*) die "unknown option $1" ;;
		*) words+=("$1") ;;
		esac
		shift
	done
	[ ${#words[@]} = 1 ] || [ ${#words[@]} = 2 ] ||
		die "usage: lab ndctl DIR [base|series] [-k TEST]... [--slow] [--debug]"
	ND_DIR=${words[0]} ND_K=${words[1]:-series}
	check_kernel "$ND_K" "$ND_F"
}

# nd_info FILE FILTER: a question to what meson wrote down about the tree;
# `suite` in the filter stands for the suite's tests.
nd_info()
{
	jq -r "def suite: .[] | select(.suite | index(\"$ND_SUITE\")); $2" \
		"$ND_BUILD/meson-info/$1.json"
}

# nd_files: what the suite's tests start, one path a line.
nd_files()
{
	local ids
	nd_info intro-tests 'suite.cmd[0]' | sort -u
	ids=$(nd_info intro-tests '[suite.depends[]] | unique')
	jq -r --argjson ids "$ids" '.[] | select(.id | IN($ids[])).filename[]' \
		"$ND_BUILD/meson-info/intro-targets.json"
}

# nd_check_tree: ND_DIR is a built tree of ndctl, tests included.
nd_check_tree()
{
	local off file
	[ -d "$ND_DIR" ] || die "$ND_DIR: no such directory"
	ND_BUILD=$(realpath "$ND_DIR")
	[ -f "$ND_BUILD/meson-info/intro-tests.json" ] || die "$ND_DIR: not a meson build tree"
	[ "$(nd_info intro-projectinfo .descriptive_name)" = ndctl ] ||
		die "$ND_DIR: a meson build tree, but not of ndctl"
	file=$(nd_info meson-info .directories.build)
	[ "$file" = "$ND_BUILD" ] || die "$ND_DIR: was set up as $file; move it back or set it up again"
	ND_SOURCE=$(nd_info meson-info .directories.source)
	[ -d "$ND_SOURCE/test" ] || die "$ND_DIR: its source $ND_SOURCE is gone"
	off=$(nd_info intro-buildoptions '[.[] | select(.name == ("test", "destructive")
		and .value != "enabled") | "-D\(.name)=enabled"] | join(" ")')
	[ -z "$off" ] || die "$ND_DIR: built without the tests: meson configure $off, then build"
	while read -r file; do
		[ -x "$file" ] || die "$ND_DIR: not built, ${file#"$ND_BUILD/"} is missing: ninja -C $ND_DIR"
	done < <(nd_files)
}

# nd_chosen TEST PATTERN...: a pattern with or without the suffix .sh names it
nd_chosen()
{
	local test=$1 pattern
	shift
	for pattern; do
		# shellcheck disable=SC2053	# a pattern it is
		if [[ $test == $pattern || ${test%.sh} == $pattern ]]; then
			return 0
		fi
	done
	return 1
}

# nd_pick_tests: those to run, in the suite's order, in ND_TESTS.
nd_pick_tests()
{
	local all test pattern
	mapfile -t all < <(nd_info intro-tests 'suite.name')
	for pattern in "${ND_ONLY[@]}"; do
		for test in "${all[@]}" ''; do
			! nd_chosen "$test" "$pattern" || break
		done
		[ -n "$test" ] || die "-k $pattern: no such test; $ND_SUITE has: ${all[*]}"
	done
	ND_TESTS=()
	for test in "${all[@]}"; do
		if [ ${#ND_ONLY[@]} = 0 ] || nd_chosen "$test" "${ND_ONLY[@]}"; then
			[ "$test" != $ND_SLOW ] || [ -n "$ND_WITH_SLOW" ] || continue
			ND_TESTS+=("$test")
		fi
	done
	[ ${#ND_TESTS[@]} -gt 0 ] || die "$ND_SLOW takes 11 minutes under emulation: add --slow"
}

# nd_share: the deepest directory that holds source and build.
nd_share()
{
	local dir=$ND_SOURCE
	until [[ $ND_BUILD/ == "$dir"/* ]]; do
		dir=${dir%/*}
	done
	echo "${dir:-/}"
}

# nd_run: the tests in the guest; meson's lines as they come, its logs to
# ND_LOGS. The status is guest_boot's.
nd_run()
{
	local share rc=0 limit=3600 factor=3
	share=$(nd_share)
	[ "$ND_F" = release ] || limit=10800 factor=10
	guest_boot "$ND_K" "$ND_F" --pmem acpi:10G --pmem e820:4G --mem 3G \
		--share "$share" --timeout "$limit" -- \
		/lab/ndctl-suite.sh "$share" "$ND_SOURCE" "$ND_BUILD" "$factor" "${ND_TESTS[@]}" >&2 || rc=$?
	ND_LOGS=$LOGS/ndctl-$ND_K-$ND_F
	rm -rf "$ND_LOGS"
	[ ! -d "$CONTROL/ndctl" ] || cp -r "$CONTROL/ndctl" "$ND_LOGS"
	return $rc
}

# nd_verdicts LOG: test, verdict, seconds and the last word of each test that
# ended, separated by tabs. The last line may be cut off where the guest died.
nd_verdicts()
{
	jq -Rr 'fromjson? |
		def last_line: split("\n") | map(select(test("\\S"))) | last // "";
		(if .result | IN("OK", "SKIP") then .result else "FAIL" end) as $verdict |
		[(.name | split(" / ") | last), $verdict, (.duration * 10 | round / 10),
		 if $verdict == "OK" then ""
		 elif .result == "TIMEOUT" then "time-out"
		 else first((.stdout, .stderr) // "" | last_line | select(. != "")) // ""
		 end] | @tsv' "$1"
}

# nd_keep FILE: base's verdicts in FILE, older ones of other tests stay.
nd_keep()
{
	local test new=$1.new
	mkdir -p "${1%/*}"
	{
		for test in "${!verdict[@]}"; do
			printf '%s\t%s\n' "$test" "${verdict[$test]}"
		done
		[ ! -f "$1" ] || cat "$1"
	} | sort -t $'\t' -k 1,1 -s -u >"$new"
	mv "$new" "$1"
}

# nd_load FILE: the verdicts of base in the array base; a line about what
# they are worth when it is not much.
nd_load()
{
	local test is again="./lab ndctl $ND_DIR base"
	if [ ! -f "$1" ]; then
		say "no verdicts of base to compare with: $again"
		return
	fi
	if [ "$TREES/base-$ND_F/.stamp" -nt "$1" ] || [ "$ND_BUILD/build.ninja" -nt "$1" ]; then
		say "base's verdicts are older than its kernel or than the tree: $again"
	fi
	while IFS=$'\t' read -r test is; do
		base[$test]=$is
	done <"$1"
}

# nd_table STATUS: a line per test; counts regressions, and failures that
# nobody can compare, in bad.
nd_table()
{
	local test is was row='%-20s %-5s %-7s %7s  %s\n' lost='did not run'
	local -A count=()
	[ "$1" -lt "$EXIT_SPLAT" ] || lost='the guest ended in it'
	# shellcheck disable=SC2059
	printf "$row" "$ND_SUITE" base "${ND_K#base}" seconds ''
	for test in "${ND_TESTS[@]}"; do
		is=${verdict[$test]-} was=${base[$test]-}
		if [ -z "$is" ]; then
			is=FAIL note[$test]=$lost lost='did not run'
		fi
		count[$is]=$((${count[$is]-0} + 1))
		if [ "$ND_K" = base ]; then
			was=$is is=
		elif [ "$was" = OK ] && [ "$is" != OK ]; then
			note[$test]="REGRESSION ${note[$test]}" bad=$((bad + 1))
		elif [ -z "$was" ] && [ "$is" = FAIL ]; then
			bad=$((bad + 1))
		fi
		# shellcheck disable=SC2059
		printf "$row" "$test" "${was:--}" "$is" "${seconds[$test]-}" "${note[$test]:0:72}"
	done
	echo "$ND_K-$ND_F: ${count[OK]-0} OK, ${count[FAIL]-0} FAIL, ${count[SKIP]-0} SKIP"
}

# nd_report STATUS: the table, base's verdicts kept or compared.
nd_report()
{
	local -A verdict=() seconds=() note=() base=()
	local test is secs why kept bad=0
	kept=$TREES/ndctl/$(sha1sum <<<"$ND_BUILD" | cut -c -12)-$ND_F
	if [ -s "$ND_LOGS/testlog.json" ]; then
		while IFS=$'\t' read -r test is secs why; do
			verdict[$test]=$is seconds[$test]=$secs note[$test]=$why
		done < <(nd_verdicts "$ND_LOGS/testlog.json")
	fi
	[ -e "$ND_LOGS/meson.log" ] || die "$ND_SUITE did not start"
	if [ "$ND_K" = base ]; then
		nd_keep "$kept"
	else
		nd_load "$kept"
	fi
	nd_table "$1"
	say "logs: $ND_LOGS"
	[ "$1" = 0 ] || return "$1"
	[ $bad = 0 ]
}

cmd_ndctl()
{
	local rc=0
	nd_parse "$@"
	need_packages
	nd_check_tree
	nd_pick_tests
	need_image
	build_kernel "$ND_K" "$ND_F"
	nd_run || rc=$?
	nd_report $rc
}
