# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab check, which objects a patch touches and how they are configured.
#
# A variant is an architecture with a configuration and an object directory.

# Includers of a touched header are built too, this many for each header.
readonly CHECK_USERS=12

# shellcheck disable=SC2034 # SPARSE is for check-build.sh
# variant VARIANT: sets SRCARCH, CROSS, SEED and SPARSE.
# SEED is the make goal that the fragments of variant_config are laid over.
variant()
{
	SRCARCH=x86 CROSS='' SEED=allnoconfig SPARSE=1
	case $1 in
	x86|nvdimm) ;;
	allmod) SEED=allmodconfig ;;
	nodax|nofsdax|boot) SPARSE=0 ;;
	nommu) SRCARCH=riscv SEED=nommu_virt_defconfig SPARSE=0 ;;
	s390) SRCARCH=s390 ;;
	arm64) SRCARCH=arm64 SEED=defconfig ;;
	powerpc) SRCARCH=powerpc SEED=ppc64_defconfig ;;
	riscv) SRCARCH=riscv SEED=defconfig SPARSE=0 ;; # sparse of Debian 12 does not know -march
	loongarch) SRCARCH=loongarch SEED=defconfig ;;
	esac
	case $SRCARCH in
	s390) CROSS=s390x-linux-gnu- ;;
	arm64) CROSS=aarch64-linux-gnu- ;;
	powerpc) CROSS=powerpc64-linux-gnu- ;;
	riscv) CROSS=riscv64-linux-gnu- ;;
	loongarch) CROSS=loongarch64-linux-gnu- ;;
	esac
}

# variant_of FILE: the variants that may build FILE, best first.
variant_of()
{
	case $1 in
	arch/s390/*|drivers/s390/*) echo s390 ;;
	arch/arm64/*) echo arm64 ;;
	arch/powerpc/*) echo powerpc ;;
	arch/riscv/*) echo riscv ;;
	arch/loongarch/*) echo loongarch ;;
	tools/testing/nvdimm/*) echo nvdimm ;;
	arch/x86/*) echo x86 allmod ;;
	arch/*) ;;
	*) echo x86 allmod ;;
	esac
}

variant_config()
{
	case $1 in
	x86|nvdimm) fragments debug ;;
	boot) cat "$TOP/tools/lab/config/boot.config" ;;
	allmod) ;;
	nodax)
		fragments release | grep -v DAX
		echo '# CONFIG_DAX is not set' ;;
	nofsdax)
		fragments release | grep -v -e FS_DAX -e FUSE_DAX
		echo '# CONFIG_FS_DAX is not set' ;;
	nothp)
		fragments release | grep -v -e TRANSPARENT_HUGEPAGE -e HUGETLB
		echo '# CONFIG_TRANSPARENT_HUGEPAGE is not set' ;;
	nommu)
		grep -e PMEM -e NVDIMM -e BTT -e _FS= "$TOP/tools/lab/config/common.config"
		printf 'CONFIG_%s=y\n' EXPERT BLOCK BLK_DEV MODULES MD ;;
	s390)
		fragments release
		echo CONFIG_DCSSBLK=m ;;
	*)	fragments release ;;
	esac
	echo '# CONFIG_WERROR is not set'
}

# objdir VARIANT
objdir()
{
	echo "$CHECK_TREE/.check-${1/#nvdimm/x86}"
}

# check_make VARIANT ARG...
check_make()
{
	variant "$1"
	build_env check check
	KBUILD_BUILD_VERSION=1 CCACHE_BASEDIR=$CHECK_TREE LAB_CHECK_OUT=$CHECK/out LAB_CHECK_TREE=$CHECK_TREE \
		make -C "$CHECK_TREE" O="$(basename "$(objdir "$1")")" ARCH="$SRCARCH" \
		CROSS_COMPILE="$CROSS" HOSTCC='ccache gcc' \
		CC="$TOP/tools/lab/check-cc cc ccache ${CROSS}gcc" \
		CHECK="$TOP/tools/lab/check-cc sparse sparse" \
		-j$(($(nproc) + 1)) "${@:2}" </dev/null
}

# need_tool COMMAND PACKAGE
need_tool()
{
	command -v "$1" >/dev/null || step "install $2" install_packages "$2"
}

# configure_variant VARIANT: for the tree that is checked out, and again only
# when its Kconfig files are others.
configure_variant()
{
	local dir key
	dir=$(objdir "$1")
	variant "$1"
	[ -z "$CROSS" ] || need_tool "${CROSS}gcc" "gcc-${CROSS%-}"
	mkdir -p "$dir"
	variant_config "$1" >"$dir/seed.config"
	key=$({
		cat "$dir/seed.config"
		check_git ls-tree -r HEAD | grep -E 'Kconfig|/configs/'
	} | sha256sum)
	[ "$(cat "$dir/configured" 2>/dev/null)" != "$key" ] || return 0
	rm -f "$dir/configured"
	check_make "$1" KCONFIG_ALLCONFIG="$(basename "$dir")/seed.config" "$SEED" &&
		cat "$dir/seed.config" >>"$dir/.config" &&
		check_make "$1" olddefconfig && check_make "$1" prepare || return 1
	echo "$key" >"$dir/configured"
}

# --- which objects -----------------------------------------------------------
declare -A IN_DIR	# of the tree that is checked out

check_out()
{
	[ "$(check_git rev-parse HEAD)" != "$(check_git rev-parse "$1")" ] || return 0
	check_git checkout -qf --detach "$1"
	IN_DIR=()
}

# dir_has VARIANT DIR NAME: NAME, an object or a subdirectory with a slash, is
# among what the configuration builds in DIR.
dir_has()
{
	local key="$1 $2"
	if [ -z "${IN_DIR[$key]-}" ]; then
		variant "$1"
		IN_DIR[$key]=" $(make -s --no-print-directory -C "$(objdir "$1")" \
			-f "$TOP/tools/lab/check-objs.mk" srctree=.. \
			SRCARCH="$SRCARCH" obj="$2" | tr '\n' ' ') "
	fi
	[[ ${IN_DIR[$key]} == *" $3 "* ]]
}

# builds VARIANT NAME: the configuration builds NAME, and enters the directory
# that it is in. The first level always is, and arch/ is entered from Makefiles.
builds()
{
	local dir=$2
	while [[ $dir == */* ]]; do
		dir=$(dirname "$dir")
		[ "$dir" != . ] || return 0
		[ -f "$CHECK_TREE/$dir/Makefile" ] || [ -f "$CHECK_TREE/$dir/Kbuild" ] || continue
		dir_has "$1" "$dir" "$2" || continue
		[[ $dir != arch/* ]] || return 0
		builds "$1" "$dir/"
		return
	done
	return 1
}

# touched FROM TO FILTER: the C files that kbuild knows.
touched()
{
	check_git diff --name-only --no-renames --diff-filter="$3" "$1" "$2" -- '*.c' \
		':!tools' ':!scripts' ':!samples' ':!Documentation'
	check_git diff --name-only --no-renames --diff-filter="$3" "$1" "$2" -- 'tools/testing/nvdimm/*.c'
}

# header_users COMMIT HEADER: what includes HEADER itself, the directories that
# the series works in first.
header_users()
{
	local commit=$1 name=$2 where
	local -a series
	case $name in
	include/*|arch/*/include/*)
		where='*.c' name=${name#*include/} name=${name#uapi/} ;;
	*)	where=$(cut -d / -f 1-2 <<<"$name")
		[ -d "$CHECK_TREE/$where" ] || where=$(dirname "$2")
		where+='/*.c' name="([^\"]*/)?$(basename "$name")" ;;
	esac
	mapfile -t series < <(touched base "${COMMITS[-1]}" d | xargs -r dirname | sort -u)
	{ check_git grep -lE "#[[:space:]]*include[[:space:]]*[<\"]${name}[>\"]" "$commit" -- \
		"$where" ':!tools' ':!scripts' ':!samples' ':!arch' || [ $? = 1 ]; } | sed 's/^[^:]*://' |
		awk -v dirs="${series[*]}" '
			BEGIN { split(dirs, d, " "); for (i in d) first[d[i]] = 1 }
			{ dir = $0; sub("/[^/]*$", "", dir); print (dir in first ? 0 : 1), $0 }' |
		sort | cut -d ' ' -f 2
}

# builder SOURCE: sets BUILDER to the variant that builds it, or to "-".
builder()
{
	for BUILDER in $(variant_of "$1"); do
		configure_variant "$BUILDER" >"$CHECK/make.log" 2>&1 ||
			{ tail -n 20 "$CHECK/make.log" >&2; return 1; }
		[ "$BUILDER" != nvdimm ] && ! builds "$BUILDER" "${1%.c}.o" || return 0
	done
	BUILDER=-
}

# add_users VARIANT FROM TO MAX: to stdout, at most MAX includers that VARIANT
# builds of each header that changed, and a remark.
add_users()
{
	local header user users count
	for header in $(check_git diff --name-only --diff-filter=d "$2" "$3" -- '*.h' ':!tools' ':!scripts'); do
		users=$(header_users "$3" "$header") count=0
		for user in $users; do
			[ "$count" -lt "$4" ] || break
			builds "$1" "${user%.c}.o" || continue
			echo "$1 $user"
			count=$((count + 1))
		done
		echo "# $header: $count of $(wc -w <<<"$users") includers"
	done
}

# placement PARENT COMMIT: the objects to look at for a patch, in check/places:
# "variant source" lines, with "-" for a variant where nothing builds the source.
placement()
{
	local file key
	key=$CHECK/objects/places-$(check_git rev-parse "$1^{tree}" "$2^{tree}" |
		cat - <(echo "$VERSION") | sha256sum | cut -c 1-40)
	if [ ! -e "$key" ]; then
		check_out "$2"
		configure_variant x86 >"$CHECK/make.log" 2>&1 ||
			{ tail -n 20 "$CHECK/make.log"; return 1; }
		for file in $(touched "$1" "$2" d); do
			builder "$file" || return 1
			echo "$BUILDER $file"
		done >"$key.new"
		add_users x86 "$1" "$2" "$CHECK_USERS" >>"$key.new"
		mv "$key.new" "$key"
	fi
	cp "$key" "$CHECK/places"
}
