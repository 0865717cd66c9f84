# shellcheck shell=sh
# What cargo must know to build for an architecture. Anyone who sources this has set `root` and `cross`, and
# defined `fail`.

# shellcheck source=targets.sh
. "${cross:?}/targets.sh"

# prepare ARCHITECTURE [RUSTC-FLAG...]: makes its sysroot and TSS, has Rust's standard library for it, and tells
# cargo and the build scripts of crates where all that is. Several architectures may be prepared, one after another.
prepare() {
    name_target "$1"
    shift
    tss=$("$cross/tss" --sysroot "$architecture")
    add_rust_target

    sysroot=${root:?}/target/sysroot/$architecture
    name=$(echo "$target" | tr - _)
    upper_name=$(echo "$name" | tr '[:lower:]' '[:upper:]')
    # A flag, since cargo's own setting holds for build scripts, too, where the target is also this machine's: then
    # all is compiled again for another set of architectures. Cargo would look into these two variables first.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    export "CARGO_TARGET_${upper_name}_RUSTFLAGS=-C linker=$sysroot/cc $*"
    export "CARGO_TARGET_${upper_name}_RUNNER=$qemu -L $sysroot"
    export "CC_$name=$sysroot/cc" "AR_$name=$gnu-ar"
    export "PKG_CONFIG_PATH_$name=$tss/lib/pkgconfig"
}

add_rust_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || rustup target add "$target"
}
