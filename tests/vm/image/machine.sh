# shellcheck shell=sh
# What each kind of machine, and each release of Debian, is called: by Debian, by UEFI and by binutils.

# name_machine x86_64|aarch64
# shellcheck disable=SC2034 # for the script that sources this
name_machine() {
    machine=$1
    case $machine in
    x86_64)
        debian=amd64 loader=BOOTX64.EFI stub=linuxx64.efi.stub objcopy=objcopy objdump=objdump
        # All that a boot needs is built into this kernel.
        modules=
        ;;
    aarch64)
        debian=arm64 loader=BOOTAA64.EFI stub=linuxaa64.efi.stub
        # Debian's own binutils know no other architecture's EFI.
        objcopy=aarch64-linux-gnu-objcopy objdump=aarch64-linux-gnu-objdump
        # A TPM that is found while services start is found too late for systemd-pcrphase, now and then.
        modules=tpm_tis
        ;;
    *) fail "no recipe for $machine: there are x86_64 and aarch64" ;;
    esac
}

# name_release bookworm|trixie|forky
# shellcheck disable=SC2034 # for the script that sources this
name_release() {
    release=$1
    # Of the TSS, what systemd opens by itself.
    case $release in
    bookworm)
        # The initrd is our own, and the firmware is the host's.
        packages=busybox-static,libtss2-esys-3.0.2-0,libtss2-rc0,libtss2-tcti-device0
        firmware=
        ;;
    trixie)
        packages=$with_dracut,systemd-cryptsetup
        firmware=ovmf
        ;;
    forky)
        packages=$with_dracut,systemd-tpm
        firmware=ovmf-generic
        ;;
    *) fail "no recipe for Debian $release: there are bookworm, trixie and forky" ;;
    esac
    # Dracut runs in the tree that is being made.
    [ -z "$firmware" ] || [ "$machine" = x86_64 ] || fail "Debian $release is made for x86_64 only"
}

# What the initrd of the release is made with, and what goes into it.
with_dracut=dracut-core,cpio,zstd,mount,tpm2-tools,systemd-boot-tools
with_dracut=$with_dracut,libtss2-esys-3.0.2-0t64,libtss2-rc0t64,libtss2-tcti-device0t64

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}
