# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab build: build/K-F/, a kernel with its modules.
#
# `series` is what is checked out in build/linux, committed or not.
#
# The object directory is a child of the source tree it is built from, so that
# kbuild uses relative paths throughout and ccache finds the objects of one
# tree again when it builds the other. build/K-F is a link to it.

# check_kernel K F
check_kernel()
{
	case ${1-} in
	base|series) ;;
	*) die "unknown kernel '${1-}': want base or series" ;;
	esac
	case ${2-} in
	debug|release|coverage) ;;
	*) die "unknown flavour '${2-}': want debug, release or coverage" ;;
	esac
}

# source_dir K
source_dir()
{
	case $1 in
	base) echo "$TREES/linux-base" ;;
	series) echo "$TREES/linux" ;;
	esac
}

# build_env K F: nothing of when, where and by whom reaches an object.
build_env()
{
	export CCACHE_DIR=${CCACHE_DIR:-$LAB_CACHE/ccache} CCACHE_NOHASHDIR=1
	export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970'
	export KBUILD_BUILD_USER=lab KBUILD_BUILD_HOST=lab LOCALVERSION="-$1-$2"
}

# kmake K F ARG...: make in the object directory of K F.
kmake()
{
	local k=$1 f=$2
	shift 2
	build_env "$k" "$f"
	[ "$f" != coverage ] || set -- "$(profile_arg)" "$@"
	make -C "$(source_dir "$k")" O=".lab-$f" -j$(($(nproc) + 1)) \
		CC='ccache gcc' HOSTCC='ccache gcc' "$@"
}

fragments()
{
	local config=$TOP/tools/lab/config
	cat "$config/common.config"
	[ "$1" != coverage ] || cat "$config/debug.config"
	cat "$config/$1.config"
}

# source_state K F: changes whenever a build could come out differently.
source_state()
{
	local dir
	dir=$(source_dir "$1")
	{
		fragments "$2"
		[ "$2" != coverage ] || profile_arg
		declare -f build_env kmake configure nvdimm_test_modules install_modules
		gcc --version
		git -C "$dir" rev-parse 'HEAD^{tree}'
		git -C "$dir" diff HEAD
		git -C "$dir" ls-files -zo -x '/.lab-*' -x '/.check-*' |
			(cd "$dir" && xargs -0r sha256sum)
	} | sha256sum
}

# has_symbol K NAME: a Kconfig file of K knows it.
has_symbol()
{
	grep -rqE "^(menu)?config $2\$" --include='Kconfig*' --exclude-dir='.lab-*' "$(source_dir "$1")"
}

# configure K F: every symbol of the fragments must have taken, but for those
# that the series brings and this tree does not have.
configure()
{
	local obj line
	obj=$(source_dir "$1")/.lab-$2
	mkdir -p "$obj"
	fragments "$2" >"$obj/lab.config"
	kmake "$1" "$2" KCONFIG_ALLCONFIG=".lab-$2/lab.config" allnoconfig
	while read -r line; do
		if [[ $line =~ ^'# '(CONFIG_[A-Z0-9_]+)' is not set' ]]; then
			! grep -q "^${BASH_REMATCH[1]}=" "$obj/.config" || break
		elif [[ $line =~ ^CONFIG_([A-Z0-9_]+)= ]]; then
			grep -qxF "$line" "$obj/.config" ||
				! has_symbol "$1" "${BASH_REMATCH[1]}" || break
		fi
		line=
	done <"$obj/lab.config"
	[ -z "$line" ] || { echo "Kconfig did not accept $line"; return 1; }
}

# nvdimm_test_modules K F TARGET...: the modules of tools/testing/nvdimm are built from a copy of what they are
# made of: kbuild puts their objects beside the sources.
nvdimm_test_modules()
{
	local src copy
	src=$(source_dir "$1")
	copy=$src/.lab-$2/nfit_test
	mkdir -p "$copy"
	(cd "$src" && cp -a --parents tools/testing/nvdimm drivers/{acpi/nfit,dax,nvdimm} "$copy")
	kmake "$1" "$2" M="$copy/tools/testing/nvdimm" "${@:3}"
}

install_modules()
{
	local dest
	dest=$(source_dir "$1")/.lab-$2/modules
	rm -rf "$dest"
	kmake "$1" "$2" INSTALL_MOD_PATH="$dest" modules_install
	nvdimm_test_modules "$1" "$2" INSTALL_MOD_PATH="$dest" INSTALL_MOD_DIR=updates modules_install
	rm -f "$dest"/lib/modules/*/build
}

# build_kernel K F: make build/K-F current. The stamp is written last: what an
# interrupted build left is only ever a start for the next one.
build_kernel()
{
	local k=$1 f=$2 obj state
	need_tree "$k"
	obj=$(source_dir "$k")/.lab-$f
	state=$(source_state "$k" "$f")
	ln -sfn "$(basename "$(source_dir "$k")")/.lab-$f" "$TREES/$k-$f"
	[ "$(cat "$obj/.stamp" 2>/dev/null)" != "$state" ] || return 0
	need_space 4
	lab_lock "$k-$f"
	rm -f "$obj/.stamp"
	step "configure $k $f" configure "$k" "$f"
	step "build $k $f" kmake "$k" "$f" bzImage modules
	step "build $k $f nfit_test" nvdimm_test_modules "$k" "$f" modules
	step "install $k $f modules" install_modules "$k" "$f"
	echo "$state" >"$obj/.stamp"
	lab_unlock "$k-$f"
}

cmd_build()
{
	[ $# = 2 ] || die "usage: lab build base|series debug|release|coverage"
	check_kernel "$@"
	need_packages
	build_kernel "$@"
	say "$TREES/$1-$2 is ready"
}
