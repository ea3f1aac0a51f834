# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab check, the part that compiles: gcc at W=1 and sparse over the objects that
# a patch touches, compared with the same objects of its parent.
#
# What both say about one source in one tree is kept under check/objects/, so
# that the state after one patch serves as the state before the next.

warning_lines()
{
	grep -E '(:[0-9]+|: warning: objtool): (fatal )?(error|warning)?' | sed 's,^\(\.\./\)*,,' |
		grep -E '(warning|error):' || true
}

# new_warnings BEFORE AFTER: lines of AFTER that are not in BEFORE. Where they
# are does not count, so that code may move; how often does.
new_warnings()
{
	sort -u "$1" >"$1.sorted"
	sort -u "$2" | awk '
		{ text = $0; sub(/^[^ ]*: /, "", text); gsub(/\+0x[0-9a-f]+/, "+0x", text) }
		FILENAME != "-" { old[text]++; next }
		old[text]-- <= 0' "$1.sorted" -
}

# object_results COMMIT VARIANT SOURCE...: what gcc and sparse say, in the directory
# that is printed: SOURCE.cc and SOURCE.sparse. Sources that do not build have
# none; their errors are in check/broken.
object_results()
{
	local commit=$1 v=$2 dir src
	local -a missing=()
	shift 2
	variant "$v"
	dir=$CHECK/objects/$(echo "$v $VERSION $(check_git rev-parse "$commit^{tree}") $(command -v "${CROSS}gcc")" | sha256sum | cut -c 1-40)
	for src; do
		[ -e "$dir/$src.cc" ] || missing+=("$src")
	done
	[ ${#missing[@]} = 0 ] || build_sources "$commit" "$v" "$dir" "${missing[@]}" || return 1
	echo "$dir"
}

# build_sources COMMIT VARIANT RESULTS SOURCE...
build_sources()
{
	local v=$2 dir=$3 obj src
	local -a args=("W=1")
	check_out "$1"
	shift 3
	obj=$(objdir "$v")
	configure_variant "$v" >"$CHECK/make.log" 2>&1 || { tail -n 20 "$CHECK/make.log" >&2; return 1; }
	variant "$v"
	[ "$SPARSE" = 0 ] || args+=(C=1)
	[ "$v" != nvdimm ] || { obj=$CHECK_TREE args+=(M="$CHECK_TREE/tools/testing/nvdimm"); }
	rm -rf "$CHECK/out"
	mkdir "$CHECK/out"
	for src; do
		rm -f "$obj/${src%.c}.o"
		args+=("$(object_goal "$v" "$src")")
	done
	check_make "$v" -k "${args[@]}" >"$CHECK/make.log" 2>&1 || true
	for src; do
		keep_result "$dir" "$obj" "$src" || { tail -n 20 "$CHECK/make.log" >&2; return 1; }
	done
}

object_goal()
{
	local obj=${2%.c}.o
	[ "$1" != nvdimm ] || obj=${obj#tools/testing/nvdimm/}
	echo "$obj"
}

# keep_result RESULTS OBJDIR SOURCE: only of what was compiled and checked.
keep_result()
{
	local out=$CHECK/out/$3
	mkdir -p "$(dirname "$1/$3")"
	if [ -e "$out.cc.said" ]; then
		sed 's/^/does not build: /' "$out.cc.said" | grep 'error:' >>"$CHECK/broken" || return 1
		return 0
	fi
	[ -e "$out.cc" ] && [ -e "$2/${3%.c}.o" ] || return 1
	if [ "$SPARSE" != 0 ]; then
		mv "$out.sparse" "$1/$3.sparse" || return 1
	fi
	grep -F "${3%.c}.o: warning: objtool" "$CHECK/make.log" >>"$out.cc" || true
	mv "$out.cc" "$1/$3.cc"
}

# said KIND COMMIT OUT "VARIANT SOURCE"...: all warnings of those that exist in COMMIT.
said()
{
	local kind=$1 commit=$2 out=$3 dir v src place
	local -a there
	shift 3
	: >"$out"
	for v in $(printf '%s\n' "$@" | cut -d ' ' -f 1 | sort -u); do
		there=()
		for place; do
			src=${place#* }
			[ "${place% *}" != "$v" ] || ! check_git cat-file -e "$commit:$src" 2>/dev/null || there+=("$src")
		done
		[ ${#there[@]} -gt 0 ] || continue
		dir=$(object_results "$commit" "$v" "${there[@]}") || return 1
		for src in "${there[@]}"; do
			[ -e "$dir/$src.$kind" ] || continue
			warning_lines <"$dir/$src.$kind" >"$CHECK/lines"
			[ -s "$CHECK/lines" ] || continue
			cat "$CHECK/lines" >>"$out"
			COMPLAINING+=("$v $src")
		done
	done
}

# compare_said KIND PARENT COMMIT PLACE...: what COMMIT adds. The parent is looked at
# only where there is something to compare with, first in the same files, then
# in all that the patch touches.
compare_said()
{
	local kind=$1 parent=$2 commit=$3 src
	local -a COMPLAINING=() all
	shift 3
	: >"$CHECK/broken"
	said "$kind" "$commit" "$CHECK/after" "$@" || return 1
	[ ! -s "$CHECK/broken" ] || { cat "$CHECK/broken"; return "$CHECK_FOUND"; }
	[ -s "$CHECK/after" ] || return 0
	all=("$@")
	for src in $(touched "$parent" "$commit" D); do
		all+=("x86 $src")
	done
	said "$kind" "$parent" "$CHECK/before" "${COMPLAINING[@]}" || return 1
	new_warnings "$CHECK/before" "$CHECK/after" >"$CHECK/new"
	[ -s "$CHECK/new" ] || return 0
	said "$kind" "$parent" "$CHECK/before" "${all[@]}" || return 1
	new_warnings "$CHECK/before" "$CHECK/after" >"$CHECK/new"
	[ ! -s "$CHECK/new" ] || { cat "$CHECK/new"; return "$CHECK_FOUND"; }
}

# check_warnings KIND PARENT COMMIT
check_warnings()
{
	local -a places
	local line
	placement "$2" "$3"
	mapfile -t places < <(grep -v -e '^#' -e '^-' "$CHECK/places" | sort -u)
	remark "${#places[@]} objects$(printf '%s\n' "${places[@]}" | cut -d ' ' -f 1 |
		uniq -c | awk 'NF > 1 { printf " %s:%d", $2, $1 }')"
	while read -r line; do
		remark "$line"
	done < <(sed -n 's/^# //p; s/^- /not built: /p' "$CHECK/places")
	[ ${#places[@]} = 0 ] || compare_said "$1" "$2" "$3" "${places[@]}"
}
