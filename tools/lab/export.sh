# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab export: branch series -> patches/, and at their kernel path the files
# that it adds.

# write_patches DIR: the series as mails. They depend on the commits alone, not
# on the user's git configuration.
write_patches()
{
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null \
		git_linux format-patch -q -M -C --zero-commit --no-signature --no-thread \
		--no-base -o "$1" base..series
}

# created_by PATCH...: every path that the patches create, move or copy to.
created_by()
{
	awk '/^diff --git / { path = substr($4, 3) }
		/^(new file mode|rename to|copy to) / { print path }' "$@" | sort -u
}

# write_added DIR: what is in series and not in base.
write_added()
{
	local paths
	mkdir "$1"
	git_linux diff --no-renames --name-only --diff-filter=A base series >"$1.list"
	mapfile -t paths <"$1.list"
	[ ${#paths[@]} = 0 ] || git_linux archive series "${paths[@]}" | tar -x -C "$1"
}

check_authors()
{
	local other
	other=$(git_linux log --format='%h %an <%ae>' base..series |
		grep -v " $IDENTITY_NAME <$IDENTITY_MAIL>$" | head -n 1) || return 0
	die "the mails come from $IDENTITY_NAME <$IDENTITY_MAIL>, not so commit $other"
}

# remove_old LIST: what earlier patches brought here and LIST does not name.
remove_old()
{
	local path
	[ -n "$(patch_files)" ] || return 0
	created_by "$TOP"/patches/*.patch | while read -r path; do
		grep -qxF "$path" "$1" || rm -f "$TOP/$path"
		rmdir -p "$TOP/$(dirname "$path")" 2>/dev/null || true
	done
}

# install_export DIR: nothing is touched before all of it is ready in DIR.
install_export()
{
	local path
	remove_old "$1/added.list"
	while read -r path; do
		mkdir -p "$TOP/$(dirname "$path")"
		mv "$1/added/$path" "$TOP/$path"
	done <"$1/added.list"
	mkdir -p "$TOP/patches"
	rm -f "$TOP"/patches/*.patch
	find "$1/patches" -name '*.patch' -exec mv -t "$TOP/patches" {} +
}

cmd_export()
{
	local dir
	[ $# = 0 ] || die "usage: lab export"
	[ -d "$TREES/linux" ] || die "nothing to export: no $TREES/linux (lab tree makes it)"
	series_clean || die "$TREES/linux: check out branch series and commit everything first"
	check_authors
	temp_dir dir "$BUILD"
	write_patches "$dir/patches"
	mkdir -p "$dir/patches"
	write_added "$dir/added"
	install_export "$dir"
	mark_series
	say "patches/: $(patch_files | wc -l) patches, $(wc -l <"$dir/added.list") files added"
}
