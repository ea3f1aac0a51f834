# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab check, the part that looks at the repository as a whole, at the series in
# other configurations, and at programs.

# --- MAINTAINERS -------------------------------------------------------------
# covered FILE: an F: line of this repository's MAINTAINERS names it.
covered()
{
	local pattern
	while read -r pattern; do
		[[ $pattern != */ ]] || pattern+='*'
		# shellcheck disable=SC2053 # it is a pattern
		[[ $1 != $pattern ]] || return 0
	done < <(sed -n 's/^F:[[:space:]]*//p' "$TOP/MAINTAINERS")
	return 1
}

# --- the files of the repository ---------------------------------------------
repo_files()
{
	if [ -e "$TOP/.git" ]; then
		git -C "$TOP" ls-files -co --exclude-standard
	else
		(cd "$TOP" && find . -name build -prune -o -type f -printf '%P\n')
	fi | grep -v '^build/' | while read -r file; do
		[ ! -f "$TOP/$file" ] || echo "$file"
	done
}

# What an export would write is what is there, and nothing else of the kernel is.
check_exported()
{
	local dir=$CHECK/export file rc=0
	[ "$(git_linux rev-parse 'series^{tree}')" = "$(check_git rev-parse "${COMMITS[-1]}^{tree}")" ] ||
		{ echo "branch series and patches/ lead to different trees"; rc=$CHECK_FOUND; }
	rm -rf "$dir"
	mkdir "$dir"
	write_patches "$dir/patches"
	write_added "$dir/added"
	diff -rq --exclude='*.txt' "$dir/patches" "$TOP/patches" || rc=$CHECK_FOUND
	while read -r file; do
		cmp "$dir/added/$file" "$TOP/$file" || rc=$CHECK_FOUND
	done <"$dir/added.list"
	repo_files | grep -Ev '^(patches|docs|tools/lab|\.ci)/|^(lab|README\.md|COPYING|MAINTAINERS|\.git[a-z]*)$' |
		grep -vxFf "$dir/added.list" >"$dir/stray" && rc=$CHECK_FOUND
	sed 's/$/: not a file that the series adds/' "$dir/stray"
	remark "$(wc -l <"$dir/added.list") added files"
	return "$rc"
}

check_scripts()
{
	local file rc=0
	local -a scripts=()
	need_tool shellcheck shellcheck
	for file in $(repo_files | grep -E '^(lab$|tools/lab/|\.ci/)'); do
		if [[ $file == *.sh ]] || head -n 1 "$TOP/$file" | grep -qE '^#!.*\<(ba)?sh\>'; then
			scripts+=("$file")
		fi
	done
	remark "${#scripts[@]} scripts"
	(cd "$TOP" && shellcheck -x -f gcc "${scripts[@]}") || rc=$?
	[ "$rc" != 1 ] || rc=$CHECK_FOUND
	return "$rc"
}

# Nothing of the machine that it was written on.
check_paths()
{
	repo_files >"$CHECK/files"
	(
		cd "$TOP"
		xargs -rd '\n' -a "$CHECK/files" grep -nHIF -e "$TOP/"
		xargs -rd '\n' -a "$CHECK/files" grep -nHIE \
			-e '(^|[^[:alnum:]_./$}-])/(home|work|Users)/[[:alnum:]_.]'
	) | sort -u >"$CHECK/new" || true
	[ ! -s "$CHECK/new" ] || { cat "$CHECK/new"; return "$CHECK_FOUND"; }
}

# --- the series in configurations that it should still build in ---------------
# off VARIANT: what the configuration must not have.
off()
{
	case $1 in
	nodax) echo 'CONFIG_(DAX|FS_DAX)=' ;;
	nofsdax) echo 'CONFIG_FS_DAX=' ;;
	nommu) echo 'CONFIG_MMU=' ;;
	nothp) echo 'CONFIG_(TRANSPARENT_HUGEPAGE|HUGETLB_PAGE)=' ;;
	esac
}

# check_variant VARIANT [DIR]: all that the series touches, in DIR.
check_variant()
{
	local -a places=()
	local file not=0
	check_out "${COMMITS[-1]}"
	configure_variant "$1" >"$CHECK/make.log" 2>&1 ||
		{ tail -n 20 "$CHECK/make.log"; return 1; }
	if grep -E "^$(off "$1")" "$(objdir "$1")/.config"; then
		echo "is selected by something that is on in this configuration"
		return "$CHECK_FOUND"
	fi
	: >"$CHECK/places"
	[ $# -gt 1 ] ||
		add_users "$1" base "${COMMITS[-1]}" 4 | grep -v '^#' >"$CHECK/places" || true
	for file in $(touched base "${COMMITS[-1]}" d); do
		[[ $file == "${2-}"* ]] || continue
		[ "$(variant_of "$file")" = 'x86 allmod' ] || continue
		if builds "$1" "${file%.c}.o"; then
			echo "$1 $file" >>"$CHECK/places"
		else
			not=$((not + 1))
		fi
	done
	mapfile -t places < <(sort -u "$CHECK/places")
	remark "${#places[@]} objects, $not that this configuration does not have"
	[ ${#places[@]} = 0 ] || compare_said cc base "${COMMITS[-1]}" "${places[@]}"
}

# check_arch VARIANT: entries compile for it; that their encoding has room for
# every pfn is asserted there.
check_arch()
{
	local config
	# shellcheck disable=SC2034 # said() adds to it
	local -a COMPLAINING=()
	check_out "${COMMITS[-1]}"
	configure_variant "$1" >"$CHECK/make.log" 2>&1 ||
		{ tail -n 20 "$CHECK/make.log"; return 1; }
	for config in DAX ZONE_DEVICE; do
		grep -qx "CONFIG_$config=y" "$(objdir "$1")/.config" ||
			{ echo "has no CONFIG_$config"; return 1; }
	done
	: >"$CHECK/broken"
	said cc "${COMMITS[-1]}" "$CHECK/after" "$1 drivers/dax/mapping.c" || return 1
	cat "$CHECK/broken" "$CHECK/after" >"$CHECK/new"
	[ ! -s "$CHECK/new" ] || { cat "$CHECK/new"; return "$CHECK_FOUND"; }
}

# --- the DAX core, without a warning, whoever wrote the line ------------------
check_clean()
{
	local file
	# shellcheck disable=SC2034 # said() adds to COMPLAINING
	local -a places=() COMPLAINING=()
	check_out "${COMMITS[-1]}"
	for file in $(check_git ls-files 'drivers/dax/*.c' fs/dax.c); do
		builder "$file" || return 1
		[ "$BUILDER" != - ] || { echo "$file: no configuration builds it"; return 1; }
		places+=("$BUILDER $file")
	done
	remark "${#places[@]} objects"
	: >"$CHECK/broken"
	said cc "${COMMITS[-1]}" "$CHECK/after.cc" "${places[@]}" || return 1
	said sparse "${COMMITS[-1]}" "$CHECK/after.sparse" "${places[@]}" || return 1
	mapfile -t places < <(check_git ls-files 'drivers/dax/*.[ch]' fs/dax.c 'include/linux/dax*.h')
	doc_warnings "${COMMITS[-1]}" "$CHECK/doc" "${places[@]}" | warning_lines >"$CHECK/after.doc"
	cat "$CHECK/broken" "$CHECK"/after.{cc,sparse,doc} >"$CHECK/new"
	[ ! -s "$CHECK/new" ] || { cat "$CHECK/new"; return "$CHECK_FOUND"; }
}

check_series()
{
	local key arch
	key=$(check_git rev-parse 'base^{tree}' "${COMMITS[-1]}^{tree}" | tr '\n' ' ')
	check_one series DAX-clean "$key" check_clean
	for arch in arm64 powerpc riscv; do
		check_one series "$arch" "$key" check_arch "$arch"
	done
	check_one series no-DAX "$key" check_variant nodax
	check_one series no-FS_DAX "$key" check_variant nofsdax
	check_one series no-MMU "$key" check_variant nommu
	check_one series no-THP "$key" check_variant nothp mm/
	key="$(git_linux rev-parse series) $(repo_files | (cd "$TOP" && xargs -rd '\n' sha256sum) | sha256sum)"
	check_one repo exported "$key" check_exported
	check_one repo shellcheck "$key" check_scripts
	check_one repo paths "$key" check_paths
}

# --- programs ----------------------------------------------------------------
# selftests_warnings COMMIT OUT DIR...: build the selftests of DIR... there.
selftests_warnings()
{
	local out=$2 dir
	check_out "$1"
	shift 2
	: >"$out"
	{ configure_variant x86 && check_make x86 headers; } >"$CHECK/make.log" 2>&1 ||
		{ tail -n 20 "$CHECK/make.log"; return 1; }
	for dir; do
		[ -f "$CHECK_TREE/$dir/Makefile" ] || continue
		rm -rf "$CHECK/selftests"
		mkdir "$CHECK/selftests"
		make -C "$CHECK_TREE/$dir" OUTPUT="$CHECK/selftests" \
			KHDR_INCLUDES="-isystem $(objdir x86)/usr/include" >"$CHECK/make.log" 2>&1 ||
			{ tail -n 20 "$CHECK/make.log"; return "$CHECK_FOUND"; }
		warning_lines <"$CHECK/make.log" >>"$out"
	done
}

selftest_dirs()
{
	check_git diff --name-only "$1" "$2" -- 'tools/testing/selftests/*/*' | cut -d / -f 1-4 | sort -u
}

check_selftests()
{
	local -a dirs
	mapfile -t dirs < <(selftest_dirs "$1" "$2")
	remark "${dirs[*]##*/}"
	selftests_warnings "$2" "$CHECK/tests.after" "${dirs[@]}"
	[ -s "$CHECK/tests.after" ] || return 0
	selftests_warnings "$1" "$CHECK/tests.before" "${dirs[@]}"
	new_warnings "$CHECK/tests.before" "$CHECK/tests.after" >"$CHECK/new"
	[ ! -s "$CHECK/new" ] || { cat "$CHECK/new"; return "$CHECK_FOUND"; }
}
