# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# lab setup: Debian packages on the host, the base tree, the guest image.

# What the commands call: to build kernels and selftests, to check patches, to
# run guests.
HOST_PACKAGES=(
	bc bison ccache cpio e2fsprogs flex gcc git gnuplot-nox jq kmod libc6-dev
	libcap-dev libelf-dev libnuma-dev libssl-dev liburing-dev make mmdebstrap
	perl python3 python3-ply qemu-system-x86 rsync sparse xz-utils
)
[ -n "${KSRC-}" ] || HOST_PACKAGES+=(linux-source-6.12)

missing_packages()
{
	dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' "${HOST_PACKAGES[@]}" 2>/dev/null |
		sed -n 's/^ii //p' | sort -u |
		comm -13 - <(printf '%s\n' "${HOST_PACKAGES[@]}" | sort)
}

install_packages()
{
	apt-get -q update
	DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "$@"
}

need_packages()
{
	local missing
	mapfile -t missing < <(missing_packages)
	[ ${#missing[@]} != 0 ] || return 0
	need_space 4
	step "install ${#missing[@]} packages" install_packages "${missing[@]}"
}

# The files that tell this machine's apt where Debian is.
debian_sources()
{
	# shellcheck disable=SC2016 # a variable of apt's
	apt-get indextargets 'Created-By: Packages' 'Origin: Debian' \
		--format '$(SOURCESENTRY)' | sed 's/:[0-9]*$//' | sort -u
}

# make_image DIR: guest.img in DIR. The guest runs the host's release of Debian,
# so that programs built here run there. Nothing is mounted here.
make_image()
{
	local suite packages sources
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	packages=$(sed 's/#.*//' "$TOP/tools/lab/guest/packages" | xargs | tr ' ' ,)
	[ -n "$(debian_sources)" ] || apt-get -q update
	mapfile -t sources < <(debian_sources)
	mmdebstrap --variant=minbase --include="$packages" \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		"$suite" "$1/root" "${sources[@]}"
	install "$TOP/tools/lab/guest/lab-init" "$1/root/sbin/"
	mkdir "$1"/root/{lab,host}
	truncate -s 8G "$1/guest.img"
	mke2fs -q -t ext4 -d "$1/root" "$1/guest.img"
}

# The image is made again when what it is made from has changed.
need_image()
{
	local want dir
	want=$({ cat "$TOP"/tools/lab/guest/{packages,lab-init} /etc/os-release
		declare -f make_image debian_sources; } | sha256sum)
	[ -e "$BUILD/guest.img" ] && [ "$(cat "$BUILD/guest.key" 2>/dev/null)" = "$want" ] && return
	need_space 4
	lab_lock guest.img
	temp_dir dir "$BUILD"
	rm -f "$BUILD/guest.key"
	step "make guest image" make_image "$dir"
	mv "$dir/guest.img" "$BUILD/guest.img"
	echo "$want" >"$BUILD/guest.key"
	lab_unlock guest.img
}

cmd_setup()
{
	[ $# = 0 ] || die "usage: lab setup"
	need_packages
	need_tree base
	need_image
}
