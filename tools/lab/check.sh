# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab check: hygiene of the patches. One line per patch and check.
#
# The patches are applied to the base one by one in a work tree of their own
# and looked at as commits. What passed is remembered under a key made of what
# is looked at, the trees or the mail, too, and of the checker: a second run looks
# at what changed.
#
# A check prints what it found and returns CHECK_FOUND. Any other failure means that
# it could not run, which is an error and never a pass.

readonly CHECK_FOUND=3

# check_git ARG...: git in the work tree, whatever the user's configuration is.
check_git()
{
	GIT_COMMITTER_NAME=lab GIT_COMMITTER_EMAIL=lab@localhost \
		git -C "$CHECK_TREE" -c core.hooksPath=/dev/null \
		-c commit.gpgSign=false -c apply.whitespace=warn \
		-c core.quotePath=false -c advice.detachedHead=false "$@"
}

# The work tree shares the objects of build/linux. What an interrupted run left
# in it is put right by the forced checkout.
need_check_tree()
{
	local gitdir
	need_tree series
	CHECK=$TREES/check
	CHECK_TREE=$CHECK/linux
	mkdir -p "$LAB_CACHE/passed" "$CHECK/applied" "$CHECK/objects"
	if ! gitdir=$(git -C "$CHECK_TREE" rev-parse --absolute-git-dir 2>/dev/null) ||
	   [[ $gitdir != */worktrees/* ]]; then
		need_space 4
		rm -rf "$CHECK_TREE"
		git -C "$TREES/linux" worktree prune
		step "work tree for the check" git -C "$TREES/linux" \
			worktree add --detach "$CHECK_TREE" base
		return
	fi
	rm -f "$gitdir/index.lock"
	rm -rf "$gitdir/rebase-apply"
	check_git checkout -qf --detach base
}

# --- one line per check ------------------------------------------------------
# check_line WHO CHECK VERDICT SECONDS|reused NOTE
check_line()
{
	printf '%-6s %-11s %-5s %7s  %s\n' "$@"
}

# remark TEXT: goes to the end of the current check's line.
remark()
{
	[ ! -s "$CHECK/note" ] || printf '; ' >>"$CHECK/note"
	printf '%s' "$1" >>"$CHECK/note"
}

# check_one WHO CHECK KEY COMMAND...
check_one()
{
	local who=$1 name=$2 passed start=$SECONDS rc
	passed=$LAB_CACHE/passed/$(printf '%s\n' "$name" "$3" "$VERSION" | sha256sum | cut -c 1-40)
	shift 3
	if [ -e "$passed" ]; then
		PASSED=$((PASSED + 1)) REUSED=$((REUSED + 1))
		check_line "$who" "$name" ok reused "$(cat "$passed")"
		return
	fi
	: >"$CHECK/note"
	set +e
	(set -e; "$@") >"$CHECK/found" 2>&1 </dev/null
	rc=$?
	set -e
	case $rc in
	0)	cp "$CHECK/note" "$passed"
		PASSED=$((PASSED + 1))
		check_line "$who" "$name" ok "$((SECONDS - start)) s" "$(cat "$CHECK/note")"
		return ;;
	"$CHECK_FOUND")
		FAILED=$((FAILED + 1))
		check_line "$who" "$name" FAIL "$((SECONDS - start)) s" "$(cat "$CHECK/note")" ;;
	*)	ERRORS=$((ERRORS + 1))
		check_line "$who" "$name" ERROR "$((SECONDS - start)) s" "could not run (status $rc); $(cat "$CHECK/note")" ;;
	esac
	sed -n '1,60 s/^/       | /p; 61 s/.*/       | .../p' "$CHECK/found"
}

# --- the checks of one patch: PARENT COMMIT PATCH ----------------------------
# apply_patch PARENT PATCH: prints the commit. The date is the author's, so that
# the same patches make the same commits.
apply_patch()
{
	local key
	key=$CHECK/applied/$(cat <(echo "$1") "$2" | sha256sum | cut -c 1-40)
	if ! check_git cat-file -e "$(cat "$key" 2>/dev/null)^{commit}" 2>/dev/null; then
		check_out "$1" || return 1
		if ! check_git am -q --no-3way --no-signoff --keep-non-patch \
				--committer-date-is-author-date "$2" >"$CHECK/am" 2>&1; then
			check_git am --abort
			return "$CHECK_FOUND"
		fi
		check_git rev-parse HEAD >"$key.new"
		mv "$key.new" "$key"
	fi
	cat "$key"
}

check_mail()
{
	local bad=''
	grep -qxF "From: $IDENTITY_NAME <$IDENTITY_MAIL>" "$3" || bad+="From: is not $IDENTITY_NAME <$IDENTITY_MAIL>"$'\n'
	! grep -n '^Signed-off-by:' "$3" || bad+="carries a Signed-off-by"$'\n'
	grep -q '^Subject: \[PATCH' "$3" || bad+="no [PATCH n/m] subject"$'\n'
	[ -z "$bad" ] || { printf %s "$bad"; return "$CHECK_FOUND"; }
}

# FILE_PATH_CHANGES asks whether MAINTAINERS needs an update. It does not when
# the one of this repository covers the files that the patch brings. Tracepoints
# are laid out as all others are, with macros that end a line in a parenthesis.
check_checkpatch()
{
	local ignore=MISSING_SIGN_OFF,NO_AUTHOR_SIGN_OFF file stray='' rc=0
	while read -r file; do
		covered "$file" || stray+=" $file"
	done < <(check_git diff --name-only --no-renames --diff-filter=A "$1" "$2")
	[ -n "$stray" ] || ignore+=,FILE_PATH_CHANGES
	check_out "$2"
	(cd "$CHECK_TREE" && perl scripts/checkpatch.pl --strict --terse --show-types \
		--showfile --no-summary --color=never --ignore "$ignore" "$3") >"$CHECK/checkpatch" 2>&1 || rc=$?
	[ "$rc" != 0 ] || return 0
	if [ "$rc" != 1 ] || ! grep -qE '[0-9]: (ERROR|WARNING|CHECK):' "$CHECK/checkpatch"; then
		cat "$CHECK/checkpatch"
		return 1
	fi
	grep -E '[0-9]: (ERROR|WARNING|CHECK):' "$CHECK/checkpatch" |
		grep -vE '^include/trace/events/.*:(OPEN_ENDED_LINE|PARENTHESIS_ALIGNMENT):' |
		sed "s|^$3:|line |" >"$CHECK/new" || true
	[ -s "$CHECK/new" ] || return 0
	cat "$CHECK/new"
	[ -z "$stray" ] || echo "not covered by this repository's MAINTAINERS:$stray"
	return "$CHECK_FOUND"
}

check_whitespace()
{
	local rc=0
	check_git diff --check "$1" "$2" || rc=$?
	case $rc in
	0) ;;
	2) return "$CHECK_FOUND" ;;
	*) return 1 ;;
	esac
}

# doc_warnings COMMIT DIR FILE...: what kernel-doc says about those that exist.
doc_warnings()
{
	local commit=$1 dir=$2 file
	local -a have=()
	shift 2
	rm -rf "$dir"
	mkdir -p "$dir"
	check_git show "$commit:scripts/kernel-doc" >"$dir/kernel-doc"
	for file; do
		check_git cat-file -e "$commit:$file" 2>/dev/null || continue
		mkdir -p "$dir/$(dirname "$file")"
		check_git show "$commit:$file" >"$dir/$file"
		have+=("$file")
	done
	[ ${#have[@]} = 0 ] ||
		(cd "$dir" && perl kernel-doc -none -Wall "${have[@]}" 2>&1) || true
}

# Files that the series adds are clean; in others there is nothing new.
check_kerneldoc()
{
	local -a files own=() old=()
	local file
	mapfile -t files < <(check_git diff --name-only --diff-filter=d "$1" "$2" -- '*.c' '*.h' ':!tools' ':!scripts')
	remark "${#files[@]} files"
	for file in "${files[@]}"; do
		if check_git cat-file -e "base:$file" 2>/dev/null; then
			old+=("$file")
		else
			own+=("$file")
		fi
	done
	doc_warnings "$2" "$CHECK/doc" "${own[@]}" | warning_lines >"$CHECK/doc.own"
	doc_warnings "$2" "$CHECK/doc" "${old[@]}" | warning_lines >"$CHECK/doc.after"
	doc_warnings "$1" "$CHECK/doc" "${old[@]}" | warning_lines >"$CHECK/doc.before"
	new_warnings "$CHECK/doc.before" "$CHECK/doc.after" >>"$CHECK/doc.own"
	[ ! -s "$CHECK/doc.after" ] || remark "$(wc -l <"$CHECK/doc.after") warnings in them"
	[ ! -s "$CHECK/doc.own" ] || { cat "$CHECK/doc.own"; return "$CHECK_FOUND"; }
}

# check_patch N PARENT COMMIT PATCH
check_patch()
{
	local n key mail
	n=$(printf %04d "$1")
	shift
	key=$(check_git rev-parse "$1^{tree}" "$2^{tree}")
	mail="$key $(sha256sum <"$3")"
	check_one "$n" mail "$mail" check_mail "$@"
	check_one "$n" whitespace "$key" check_whitespace "$@"
	check_one "$n" checkpatch "$mail" check_checkpatch "$@"
	check_one "$n" kernel-doc "$key" check_kerneldoc "$@"
	check_one "$n" objects "$key" check_warnings cc "$1" "$2"
	check_one "$n" sparse "$key" check_warnings sparse "$1" "$2"
	[ -z "$(selftest_dirs "$1" "$2")" ] ||
		check_one "$n" selftests "$key" check_selftests "$1" "$2"
}

# --- the command -------------------------------------------------------------
parse_check()
{
	BOOT='' RANGE=''
	while [ $# -gt 0 ]; do
		case $1 in
		--boot) BOOT=y ;;
		[0-9]*) [ -z "$RANGE" ] || die "one range of patches, please"
			RANGE=$1 ;;
		*) die "usage: lab check [N[..M]] [--boot]" ;;
		esac
		shift
	done
	[[ $RANGE =~ ^([0-9]+(\.\.[0-9]+)?)?$ ]] || die "range '$RANGE': want N or N..M"
	PATCHES=("$TOP"/patches/*.patch)
	[ -e "${PATCHES[0]}" ] || die "there is no patch in patches/"
	FIRST=1 LAST=${#PATCHES[@]}
	if [ -n "$RANGE" ]; then
		FIRST=$((10#${RANGE%%.*})) LAST=$((10#${RANGE##*.}))
	fi
	if [ "$FIRST" -lt 1 ] || [ "$FIRST" -gt "$LAST" ] || [ "$LAST" -gt ${#PATCHES[@]} ]; then
		die "range '$RANGE': there are patches 1 to ${#PATCHES[@]}"
	fi
}

# What decides a verdict beside the patch and the tree.
checker_version()
{
	VERSION=$({
		find "$TOP/MAINTAINERS" "$TOP"/tools/lab/{check*,config} -type f \
			! -name '*boot*' -print0 | sort -z | xargs -0 cat
		gcc --version
		sparse --version 2>&1
	} | sha256sum)
}

# apply_all: COMMITS[n] is the commit of patch n, COMMITS[0] the base.
apply_all()
{
	local n patch commit rc start
	COMMITS=("$(check_git rev-parse base)")
	for ((n = 1; n <= LAST; n++)); do
		patch=${PATCHES[n - 1]} start=$SECONDS rc=0
		commit=$(apply_patch "${COMMITS[n - 1]}" "$patch") || rc=$?
		if [ "$rc" != 0 ]; then
			FAILED=$((FAILED + 1))
			check_line "$(printf %04d "$n")" applies FAIL "$((SECONDS - start)) s" "$(basename "$patch")"
			grep -Ev '^(hint:|When |If you |To )' "$CHECK/am" | sed 's/^/       | /'
			return
		fi
		COMMITS+=("$commit")
		[ "$n" -lt "$FIRST" ] || PASSED=$((PASSED + 1))
		[ "$n" -lt "$FIRST" ] ||
			check_line "$(printf %04d "$n")" applies ok "$((SECONDS - start)) s" "$(basename "$patch")"
	done
}

cmd_check()
{
	local n start=$SECONDS
	PASSED=0 REUSED=0 FAILED=0 ERRORS=0
	parse_check "$@"
	need_packages
	lab_lock check
	need_check_tree
	checker_version
	apply_all
	for ((n = FIRST; n < ${#COMMITS[@]}; n++)); do
		check_patch "$n" "${COMMITS[n - 1]}" "${COMMITS[n]}" "${PATCHES[n - 1]}"
	done
	[ -n "$RANGE" ] || [ ${#COMMITS[@]} -le "$LAST" ] || check_series
	[ -z "$BOOT" ] || check_boots
	say "check: $PASSED passed ($REUSED of them before), $FAILED failed, $ERRORS could not run, $(elapsed "$start")"
	[ $((FAILED + ERRORS)) = 0 ]
}
