# shellcheck shell=bash disable=SC2154 # variables of setup
# SPDX-License-Identifier: GPL-2.0
# The stock kernel: its files as Debian ships them, and a build tree that matches
# it. The header packages lack Rust's metadata, so the tree is made from the source;
# no kernel is built.

# What the packages hold: vmlinuz, config, Module.symvers, usr/lib/modules.
step_image() {
	local out=$1 deb
	rm -rf "${out:?}/"*
	fetch "$out/debs" "linux-binary-$kver=$kversion" "linux-modules-$kver=$kversion" \
		"linux-headers-$kver=$kversion" "linux-base-$kver=$kversion"
	for deb in "$out/debs/"*.deb; do
		dpkg-deb -x "$deb" "$out/x"
	done
	mkdir -p "$out/usr/lib/modules"
	mv "$out/x/usr/lib/modules/$kver" "$out/usr/lib/modules/"
	mv "$out/usr/lib/modules/$kver/"{vmlinuz,config} "$out/x/usr/src/linux-headers-$kver/Module.symvers" "$out/"
	rm -f "$out/usr/lib/modules/$kver/"{build,source}
	rm -rf "$out/debs" "$out/x"
}

# The image with modules.dep, the build tree and an initrd.
step_stock() {
	local out=$1 tree=$1/build src image release
	src=$(readlink -f "$cache/source")
	image=$(readlink -f "$cache/image")
	rm -rf "${out:?}/usr"
	cp -a "$image/usr" "$image/vmlinuz" "$image/config" "$out/"
	"$tb/exec" depmod -b "$out/usr" "$kver"

	mkdir -p "$tree"
	cp "$out/config" "$tree/.config"
	"$src/scripts/config" --file "$tree/.config" --disable MODULE_SIG_ALL \
		--disable LOCALVERSION_AUTO --set-str LOCALVERSION "+${kver#*+}"
	"$tb/exec" make -C "$src" O="$tree" -j"$jobs" olddefconfig prepare modules_prepare
	grep -qx CONFIG_RUST=y "$tree/.config" || die "Rust went off in the stock config: compare rustc in the root with $out/config"
	release=$(cat "$tree/include/config/kernel.release")
	[ "$release" = "$kver" ] || die "the tree is $release, not $kver"
	cp "$image/Module.symvers" "$tree/"
	stock_initrd "$out"
	echo "$kver" >"$out/release"
}

# stock_initrd FOLDER: the modules that reach the root over 9p, and a shell.
stock_initrd() {
	local out=$1 dir=$1/initrd
	rm -rf "$dir"
	mkdir -p "$dir/bin" "$dir/modules" "$dir/proc" "$dir/dev" "$dir/new"
	cp "$cache/root/bin/busybox" "$dir/bin/"
	"$tb/exec" modprobe -d "$out/usr" -S "$kver" --show-depends -a virtio_pci virtio_console 9pnet_virtio 9p |
		awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$dir/list"
	local n=100 ko
	while read -r ko; do
		n=$((n + 1))
		xz -dc "$ko" >"$dir/modules/$n.ko"
	done <"$dir/list"
	cat >"$dir/init" <<-'END'
		#!/bin/busybox sh
		/bin/busybox mount -t devtmpfs dev /dev
		for ko in /modules/*.ko; do
			/bin/busybox insmod "$ko"
		done
		/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose root /new
		exec /bin/busybox switch_root /new /testbed/init
	END
	chmod +x "$dir/init"
	# shellcheck disable=SC2016 # expanded inside the root
	"$tb/exec" sh -c 'cd "$1" && find . | cpio -o -H newc --quiet | gzip -1 >"$2"' sh "$dir" "$out/initrd.gz"
}

# The stock kernel's modules that a guest can use, uncompressed: emulation is
# slow at that, and depmod in each run is quick on the few.
step_stock_modules() {
	local all=$cache/stock/usr/lib/modules/$kver to=$1/usr/lib/modules/$kver
	rm -rf "${1:?}/usr"
	mkdir -p "$to"
	sed 's/://' "$all/modules.dep" | awk '
		$1 ~ "^kernel/(net|lib|crypto|arch|fs/(9p|netfs|overlayfs|fuse))/" ||
		$1 ~ "^kernel/drivers/(net/[^/]*|net/(ipvlan|netdevsim|vxlan|wireguard|bonding|team)/.*|virtio/.*|char/.*|block/[^/]*)$" {
			for (i = 1; i <= NF; i++)
				if (!seen[$i]++) print $i
		}' >"$1/list"
	tar -C "$all" -cf - -T "$1/list" | tar -C "$to" -xf -
	cp "$all/modules.builtin" "$all/modules.builtin.modinfo" "$all/modules.order" "$to/"
	find "$to" -name '*.ko.xz' -print0 | xargs -0 -P "$jobs" -n 64 xz -d
	sed -i 's/[.]xz$//' "$to/modules.order"
	"$tb/exec" depmod -b "$1/usr" "$kver"
}
