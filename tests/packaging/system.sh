# shellcheck shell=sh disable=SC2154
# A system of its own in the folder `system`, and commands in it while it is not booted.

# unpack_system SUITE ARCHITECTURE KIND
unpack_system() {
    archive=$("$here/root" "$@")
    mkdir "$system"
    tar -C "$system" --exclude='./dev/*' -xpf "$archive"
}

# in_system COMMAND...: with this machine's devices, and processes that end with the command.
in_system() {
    # shellcheck disable=SC2016 # the inner shell's
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive \
        unshare --mount --pid --fork --kill-child sh -ec '
            mount -t proc proc "$0/proc"
            mount --rbind /dev "$0/dev"
            exec chroot "$0" "$@"' "$system" "$@"
}
