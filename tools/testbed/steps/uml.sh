# shellcheck shell=bash disable=SC2154 # variables of setup
# SPDX-License-Identifier: GPL-2.0
# A User-Mode Linux kernel: `linux`, usr/lib/modules, and its build tree.

step_uml() {
	local out=$1 tree=$1/build name src make
	name=$(basename "${out%-*}")
	src=$(readlink -f "$cache/source")
	make=("$tb/exec" nice -n 5 make -C "$src" O="$tree" ARCH=um)
	# Rust with KASAN wants clang.
	[ "$name" != uml-debug ] || make+=(LLVM=1)
	# Where only options change, kbuild knows what has to be built anew.
	if [ ! -e "$tree" ] && [ -e "$cache/$name/build" ]; then
		rm -rf "$tree.tmp"
		cp -a "$cache/$name/build" "$tree.tmp"
		mv "$tree.tmp" "$tree"
	fi
	mkdir -p "$tree"
	uml_config "$name" >"$tree/wanted.new"
	if ! cmp -s "$tree/wanted.new" "$tree/wanted.config"; then
		"${make[@]}" KCONFIG_ALLCONFIG="$tree/wanted.new" alldefconfig
		mv "$tree/wanted.new" "$tree/wanted.config"
	fi
	for option in RUST KUNIT; do
		grep -qx "CONFIG_$option=y" "$tree/.config" || die "CONFIG_$option went off: see $tree/.config"
	done
	"${make[@]}" -j"$jobs"
	rm -rf "${out:?}/usr"
	"${make[@]}" INSTALL_MOD_PATH="$out/usr" modules_install
	cp "$tree/linux" "$out/linux"
	cp "$tree/include/config/kernel.release" "$out/release"
	rm -f "$out/usr/lib/modules/"*/build
}

# uml_config NAME: all that kernel's wanted options, the later ones winning.
uml_config() {
	local names
	names=$(grep -v '^#' "$tb/config/from-stock" | paste -sd'|')
	grep -E "^CONFIG_($names)=[ymn0-9\"]" "$(readlink -f "$cache/stock")/config"
	grep -v '^#' "$tb/config/uml"
	grep -v '^#' "$tb/config/$1"
}
