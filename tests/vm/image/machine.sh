# shellcheck shell=sh
# What each kind of machine is called: by Debian, by UEFI and by binutils.

# name_machine x86_64|aarch64
# shellcheck disable=SC2034 # for whoever sources this
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

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}
