# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab tree: build/linux, a git tree with the tag `base` and the branch `series`.
#
# The branch belongs to the developer: it is brought up to date with patches/
# only while it holds nothing else.

readonly DEBIAN_SOURCE=/usr/src/linux-source-6.12.tar.xz
readonly IDENTITY_NAME='dax-refcount project' IDENTITY_MAIL=series@dax-refcount.invalid

git_linux()
{
	git -C "$TREES/linux" "$@"
}

# git_ksrc: in the user's own tree, which need not belong to root.
git_ksrc()
{
	git -c safe.directory='*' -C "$KSRC" "$@"
}

# A source that the user names has trees and builds of its own, beside those
# of Debian's, and other ones again when it has changed.
use_ksrc()
{
	local id
	[ -e "$KSRC" ] || die "KSRC=$KSRC: no such directory or tarball"
	KSRC=$(realpath "$KSRC")
	id=$(git_ksrc rev-parse HEAD 2>/dev/null || stat -c '%s %Y' "$KSRC")
	TREES=$BUILD/ksrc-$(sha256sum <<<"$KSRC $id" | head -c 12)
}

# unpack_source DIR: the user's tree is only read.
unpack_source()
{
	if [ -z "${KSRC-}" ]; then
		tar -xf "$DEBIAN_SOURCE" --strip-components=1 -C "$1"
	elif [ -f "$KSRC" ]; then
		tar -xf "$KSRC" --strip-components=1 -C "$1"
	elif [ -e "$KSRC/.git" ]; then
		git_ksrc archive HEAD | tar -x -C "$1"
	else
		cp -a "$KSRC/." "$1"
	fi
}

# check_source DIR: what we cannot build is refused.
check_source()
{
	local version
	version=$(sed -nE 's/^(VERSION|PATCHLEVEL|SUBLEVEL) = //p' "$1/Makefile" 2>/dev/null |
		paste -sd .) || true
	[[ $version == 6.12.* ]] ||
		die "${KSRC-$DEBIAN_SOURCE} is not a 6.12.y kernel source but ${version:-something else}"
	[ -z "$(find "$1/.config" "$1/include/config" -maxdepth 0 2>/dev/null)" ] ||
		die "$KSRC has been built in; make mrproper there, or name a git tree or a tarball"
}

# commit_base DIR: all of it; the .gitignore of Debian's source names every file.
commit_base()
{
	cd "$1" || exit
	git init -q -b series
	git config user.name "$IDENTITY_NAME"
	git config user.email "$IDENTITY_MAIL"
	git config commit.gpgsign false
	git config core.compression 1
	git config gc.auto 0
	git add -A -f
	GIT_AUTHOR_DATE=$(stat -c @%Y Makefile)
	GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
	export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
	git commit -q -m "Linux $(make -s kernelversion)"
	git tag base
}

# forget_worktrees: those whose directory is gone.
forget_worktrees()
{
	git_linux worktree prune 2>/dev/null
}

have_base()
{
	git_linux rev-parse -q --verify base >/dev/null 2>&1
}

# need_base: the tree, and a worktree of base for `lab build base`.
need_base()
{
	local dir
	if have_base && [ -e "$TREES/linux-base/.git" ]; then
		return
	fi
	lab_lock linux
	at_exit forget_worktrees
	temp_dir dir "$TREES"
	if ! have_base; then
		[ ! -d "${KSRC-}" ] || [ -e "$KSRC/.git" ] || check_source "$KSRC"
		need_space 8
		mkdir "$dir/linux"
		step "unpack the kernel source" unpack_source "$dir/linux"
		check_source "$dir/linux"
		step "commit it as base" commit_base "$dir/linux"
		mv "$dir/linux" "$TREES/linux"
	fi
	forget_worktrees
	step "check out base" git_linux worktree add --detach "$dir/linux-base" base
	git_linux worktree move "$dir/linux-base" "$TREES/linux-base"
	lab_unlock linux
}

# am_failed LOG DIR: which patch, file and hunk.
am_failed()
{
	local patch where
	patch=$(sed -n "$(cat "$2/next")p" <<<"$(ls "$TOP"/patches/*.patch)")
	where=$(sed -nE 's/^error: (patch failed: (.*):([0-9]+)|(.*))$/\2\4 \3/p' "$1" | head -n 1)
	where=${where% }
	die "patches/${patch##*/} does not apply: ${where/% +([0-9])/, hunk at line ${where##* }}"
}

# apply_patches DIR: prints the commit that base and the patches make. The
# worktree for it gets no files but those that git am asks for.
apply_patches()
{
	git_linux worktree add -q --no-checkout --detach "$1/am" base || return
	git -C "$1/am" read-tree base || return
	[ -z "$(patch_files)" ] ||
		git -C "$1/am" am -q --no-3way --committer-date-is-author-date \
			"$TOP"/patches/*.patch >"$1/am.log" 2>&1 ||
		am_failed "$1/am.log" "$(git -C "$1/am" rev-parse --git-path rebase-apply)"
	git -C "$1/am" rev-parse HEAD
}

patch_files()
{
	find "$TOP/patches" -maxdepth 1 -name '*.patch' 2>/dev/null | sort
}

patches_id()
{
	patch_files | xargs -r cat | sha256sum
}

# series_is_patches DIR: whether an export would change nothing in patches/.
series_is_patches()
{
	write_patches "$1/patches"
	[ "$(cat "$1"/patches/*.patch 2>/dev/null | sha256sum)" = "$(patches_id)" ]
}

# mark_series: branch series and patches/ are the same now.
mark_series()
{
	git_linux config lab.series "$(git_linux rev-parse series)"
	git_linux config lab.patches "$(patches_id)"
}

# need_series: branch series, current where that loses nothing.
need_series()
{
	local dir commit
	need_base
	[ "$(git_linux config lab.patches)" != "$(patches_id)" ] || return 0
	lab_lock linux
	at_exit forget_worktrees
	temp_dir dir "$TREES"
	if series_is_patches "$dir"; then
		mark_series
	elif ! series_clean || [ "$(git_linux rev-parse HEAD)" != \
			"$(git_linux config lab.series || git_linux rev-parse base)" ]; then
		say "$TREES/linux: has changes of its own, patches/ is not applied over them"
	else
		commit=$(apply_patches "$dir") || exit
		git_linux reset -q --keep "$commit"
		mark_series
		say "branch series: base and $(patch_files | wc -l) patches"
	fi
	lab_unlock linux
}

# series_clean: series is checked out, with nothing uncommitted.
series_clean()
{
	[ "$(git_linux symbolic-ref -q --short HEAD)" = series ] &&
		[ -z "$(git_linux status --porcelain -uno; git_linux ls-files -o -x '.*')" ]
}

# need_tree K
need_tree()
{
	if [ "$1" = base ]; then
		need_base
	else
		need_series
	fi
}

cmd_tree()
{
	[ $# = 0 ] || die "usage: lab tree"
	need_packages
	need_series
	say "$TREES/linux: $(git_linux rev-list --count base..series) commits over base"
}
