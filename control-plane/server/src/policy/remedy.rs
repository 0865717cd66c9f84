/// What to do where a rule is not kept, for an operator.
pub(crate) fn remedy(rule: &str) -> &'static str {
    match rule {
        "hardware.attestation-key" | "freshness.tpm-time" => {
            "Look whether the machine was cloned or its TPM set back or cleared; pair it again if \
             all is well."
        }
        "freshness.max-age" => {
            "Nothing, if the next report is in time; else look after the connection or raise the key."
        }
        "boot-log.required" => {
            "Let the daemon read the firmware's log (`pawlctl check` on the device); for a board \
             without one, set the key to false and accept its state."
        }
        "boot-log.replay" => {
            "Reboot the device. If it stays so, something extends PCRs without logging it, or the \
             log is tampered with."
        }
        "boot.coverage" => {
            "Use a boot chain that measures kernel and command line, and name their PCRs in lease.pcrs; U-Boot \
             measures them with CONFIG_MEASURED_BOOT when it starts the kernel by bootm, booti or bootz."
        }
        "boot-log.user-space" => {
            "Reboot the device. If it stays so, /run/log/systemd/tpm2-measure.log is not what systemd \
             writes, or was tampered with."
        }
        "boot.require-os-separator" => {
            "Reboot the device. If it stays so, another system than the approved one runs, or the running \
             system pretends to be firmware."
        }
        "boot-state.accepted" => {
            "If the state is as it should be, accept it: `pawl-control-plane accept DEVICE --state DIGEST`; or \
             write a policy with `policy learn`."
        }
        "secure-boot.required" => "Turn Secure Boot on in the firmware's setup.",
        "secure-boot.platform-keys"
        | "secure-boot.key-exchange-keys"
        | "secure-boot.allowed-signatures"
        | "secure-boot.machine-owner-keys"
        | "secure-boot.signers" => {
            "Find out who enrolled the key. If it belongs there, add it to the list of this name; \
             else remove it from the machine."
        }
        "secure-boot.forbidden-signatures" => {
            "If the list is that of an update (fwupd, dbxupdate), add its digest; an older one \
             than before is a rollback."
        }
        "firmware.versions" | "firmware.contents" => {
            "If the firmware was updated on purpose, add its version and contents, or accept any; \
             else flash it anew."
        }
        "firmware.separators" => "See the firmware's own messages: it reports an error at boot.",
        "boot.images" | "boot.unified-images" | "boot.sections" | "boot.initrds" | "boot.files" => {
            "If it is of an approved update, add its digest to the list, or accept this boot: \
             `pawl-control-plane accept DEVICE --state DIGEST`. Else boot what is approved."
        }
        "boot.command-lines" | "boot.loader-commands" => {
            "If it is as it should be, add it to the list, with * where a value varies. Else look who \
             changed the boot configuration."
        }
        "pcr.unexplained" => {
            "If it is harmless, add its digest to `digests` of [pcr.N]; else find out what extends \
             that PCR."
        }
        "nvpcr.certified" | "nvpcr.index" => {
            "Boot a unified kernel image whose policy for the initrd is signed (`ukify --sign-initrd-pcrs`), with systemd \
             262 or later; if the device does so, something removed the index or defined it again: reboot, and find out what did."
        }
        "nvpcr.index-names" => {
            "If the image is signed by another key on purpose, add the name to index-names; else find out who made \
             the index."
        }
        "nvpcr.replay" => {
            "Reboot the device: systemd then makes its NvPCRs again. If the finding comes back, something extends the NvPCR without a \
             record, or records were removed."
        }
        "nvpcr.unexplained" => {
            "If the record belongs there, add its digest to `digests` of [nvpcr.0xINDEX], or set unexplained; else find \
             out what extended it."
        }
        "ima.log" | "ima.require-anchored" => {
            "Boot with an IMA policy and a kernel that has its TPM driver built in; a log that was \
             altered means a compromised device."
        }
        "ima.unexplained" => {
            "If the file belongs there, add its digest to a list of ima.digest-files or have it \
             signed; else find out where it came from."
        }
        "ima.violations" => "Stop what writes to the file while it runs, or set ima.violations.",
        _ => "See the reason.",
    }
}
