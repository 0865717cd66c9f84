# shellcheck shell=sh
# What each architecture is called: by Debian, by Rust and by GNU.

# name_target ARCHITECTURE-OR-RUST-TARGET: sets `architecture`, `target`, `gnu` and `qemu`.
# shellcheck disable=SC2034 # for the script that sources this
name_target() {
    case $1 in
    amd64 | x86_64-unknown-linux-gnu)
        architecture=amd64 target=x86_64-unknown-linux-gnu gnu=x86_64-linux-gnu qemu=qemu-x86_64
        ;;
    arm64 | aarch64-unknown-linux-gnu)
        architecture=arm64 target=aarch64-unknown-linux-gnu gnu=aarch64-linux-gnu qemu=qemu-aarch64
        ;;
    armhf | armv7-unknown-linux-gnueabihf)
        architecture=armhf target=armv7-unknown-linux-gnueabihf gnu=arm-linux-gnueabihf qemu=qemu-arm
        ;;
    *) fail "no recipe for $1: there are amd64, arm64 and armhf" ;;
    esac
}
