//! Describes a policy: a sentence for each of its rules, and a remedy for each violated one.

use pawl_evidence::appraise::policy::{
    Allowed, BootSection, FirmwareSection, ImaSection, NvIndex, NvPcrSection, PcrSection, Policy,
    SecureBootSection, Weight,
};

/// Returns the rules in the order of the file, each with a sentence.
pub(crate) fn sentences(policy: &Policy) -> Vec<(String, String)> {
    let mut said = Sentences::default();
    if let Some(age) = policy.freshness.max_age {
        let text = format!("Evidence must arrive at most {age} seconds after the challenge.");
        said.say("freshness.max-age", text);
    }
    let required = match policy.boot_log.required {
        true => "The device must send a boot event log.",
        false => {
            "The state of a device without a boot event log is compared with the accepted ones; its tier is at most warning."
        }
    };
    said.say("boot-log.required", required);
    said.secure_boot(&policy.secure_boot);
    said.firmware(&policy.firmware);
    said.boot(&policy.boot);
    for (index, section) in &policy.pcr {
        said.pcr(index.get(), section);
    }
    for (index, section) in &policy.nvpcr {
        said.nvpcr(*index, section);
    }
    if let Some(ima) = &policy.ima {
        said.ima(ima);
    }
    let text = "Any other event in a PCR of a lease is refused, unless the whole boot state is accepted.";
    said.say("default", text);
    said.0
}

#[derive(Default)]
struct Sentences(Vec<(String, String)>);

impl Sentences {
    fn secure_boot(&mut self, rules: &SecureBootSection) {
        let required = if rules.required { "Secure Boot must be on." } else { "Secure Boot may be off." };
        self.say("secure-boot.required", required);
        self.list("secure-boot.platform-keys", "PK may contain", &rules.platform_keys);
        self.list("secure-boot.key-exchange-keys", "KEK may contain", &rules.key_exchange_keys);
        self.list("secure-boot.allowed-signatures", "db may contain", &rules.allowed_signatures);
        self.list("secure-boot.forbidden-signatures", "dbx may be", &rules.forbidden_signatures);
        self.list(
            "secure-boot.signers",
            "Certificates and digests that may have verified a loaded image",
            &rules.signers,
        );
        self.list("secure-boot.machine-owner-keys", "shim's lists may be", &rules.machine_owner_keys);
    }

    fn firmware(&mut self, rules: &FirmwareSection) {
        let versions: Vec<String> = rules.versions.iter().map(|version| format!("{version:?}")).collect();
        let version = match rules.accept_any_version {
            true => "The firmware may have any version.".to_owned(),
            false => format!("The firmware may report the version {}.", or(&versions)),
        };
        self.say("firmware.versions", version);
        if rules.accept_any_content {
            self.say(
                "firmware.contents",
                "Any firmware contents in PCR 0 are accepted; only the version is checked.",
            );
        } else {
            self.list("firmware.contents", "The firmware may consist of", &rules.contents);
        }
    }

    fn boot(&mut self, rules: &BootSection) {
        self.list("boot.images", "EFI images that may be loaded", &rules.images);
        self.list("boot.unified-images", "Unified kernel images that may be loaded", &rules.unified_images);
        self.list("boot.sections", "Sections of a unified kernel image may be", &rules.sections);
        if rules.accept_signed_images {
            let text = "Under Secure Boot any other image may be loaded, too, if only secure-boot.signers have verified images.";
            self.say("boot.accept-signed-images", text);
        }
        let command_lines = rules.command_lines.iter().map(|pattern| pattern.as_str());
        self.patterns("boot.command-lines", "The kernel's command line may be", command_lines);
        let what = "If the log has only the digest of the kernel's command line, it may be";
        self.list("boot.command-line-digests", what, &rules.command_line_digests);
        self.list("boot.initrds", "The initrd may be", &rules.initrds);
        let loader_commands = rules.loader_commands.iter().map(|pattern| pattern.as_str());
        self.patterns("boot.loader-commands", "The boot loader may run", loader_commands);
        self.list("boot.files", "The boot loader may read", &rules.files);
        if rules.accept_machine_identity {
            let text = "Any UUID and serial number (PCR 1) and any machine id (PCR 15) are accepted.";
            self.say("boot.accept-machine-identity", text);
        }
        if rules.require_os_separator {
            let text = "systemd must have extended its os-separator once into each judged PCR of 0 to 7, 9 and 12 to 14.";
            self.say("boot.require-os-separator", text);
        }
    }

    fn pcr(&mut self, index: u8, rules: &PcrSection) {
        let key = |key: &str| format!("pcr.{index}.{key}");
        self.list(&key("digests"), "Events of any type that are allowed by their digests", &rules.digests);
        if !rules.values.is_empty() {
            let values: Vec<String> = rules.values.iter().map(ToString::to_string).collect();
            self.say(&key("values"), format!("It may have the value {}.", or(&values)));
        }
        if !rules.unlogged.is_empty() {
            let values: Vec<String> = rules.unlogged.iter().map(ToString::to_string).collect();
            let text = format!("It may have the value {}, which the log does not explain.", or(&values));
            self.say(&key("unlogged"), text);
        }
        let what = "Any other event in this PCR";
        self.say(&key("unexplained"), format!("{what} {}.", weighs(rules.unexplained)));
    }

    fn nvpcr(&mut self, index: NvIndex, rules: &NvPcrSection) {
        let key = |key: &str| format!("nvpcr.{index}.{key}");
        let text = "The TPM must certify it, systemd must have created it in the initrd, and systemd's log must replay to its value.";
        self.say(&format!("nvpcr.{index}"), text);
        if !rules.index_names.is_empty() {
            let names: Vec<String> = rules.index_names.iter().map(ToString::to_string).collect();
            self.say(
                &key("index-names"),
                format!("The name of its index in the TPM must be {}.", or(&names)),
            );
        }
        self.list(&key("digests"), "Records that are allowed in it", &rules.digests);
        if !rules.values.is_empty() {
            let values: Vec<String> = rules.values.iter().map(ToString::to_string).collect();
            self.say(&key("values"), format!("With the value {} its records are not checked.", or(&values)));
        }
        let what = "Any other record of this NvPCR";
        self.say(&key("unexplained"), format!("{what} {}.", weighs(rules.unexplained)));
    }

    fn ima(&mut self, rules: &ImaSection) {
        let anchored = match rules.require_anchored {
            true => "The kernel must have extended PCR 10 with the IMA log.",
            false => "An IMA log with which the kernel never extended PCR 10 is a warning.",
        };
        self.say("ima.require-anchored", anchored);
        let files = "An executed file that matches no digest, signer or exclusion";
        self.say("ima.unexplained", format!("{files} {}.", weighs(rules.unexplained)));
        let written = "A file that was written while it was measured";
        self.say("ima.violations", format!("{written} {}.", weighs(rules.violations)));
        let exclusions: Vec<&str> = rules.exclusions.iter().map(|pattern| pattern.as_str()).collect();
        let lists: [(&str, &str, Vec<&str>); 3] = [
            ("ima.digest-files", "Digests of files are listed in", texts(&rules.digest_files)),
            ("ima.signer-files", "Files may be signed by", texts(&rules.signer_files)),
            ("ima.exclusions", "Files with these paths may have any content:", exclusions),
        ];
        for (rule, what, list) in lists.into_iter().filter(|(_, _, list)| !list.is_empty()) {
            self.say(rule, format!("{what} {}.", list.join(", ")));
        }
    }

    fn say(&mut self, rule: &str, text: impl Into<String>) {
        self.0.push((rule.to_owned(), text.into()));
    }

    /// Adds a sentence with the names of a list's entries, unless the list is empty.
    fn list(&mut self, rule: &str, what: &str, list: &[Allowed]) {
        if !list.is_empty() {
            let names: Vec<String> = list.iter().map(called).collect();
            self.say(rule, format!("{what}: {}.", names.join(", ")));
        }
    }

    fn patterns<'p>(&mut self, rule: &str, what: &str, patterns: impl Iterator<Item = &'p str>) {
        for pattern in patterns {
            self.say(rule, format!("{what}: {}", pattern.escape_debug()));
        }
    }
}

/// Returns the name of an entry, or the beginning of its digest if it has none.
fn called(allowed: &Allowed) -> String {
    match allowed.name.as_str() {
        "" => format!("{allowed_digest:.12}…", allowed_digest = allowed.digest.to_string()),
        name => name.escape_debug().to_string(),
    }
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

fn or(choices: &[String]) -> String {
    if choices.is_empty() { "(none is allowed)".to_owned() } else { choices.join(" or ") }
}

fn weighs(weight: Weight) -> &'static str {
    match weight {
        Weight::Refuse => "is refused",
        Weight::Warn => "is a warning",
        Weight::Allow => "is allowed",
    }
}

/// Returns what an operator should do about a violated rule.
pub(crate) fn remedy(rule: &str) -> &'static str {
    match rule {
        "hardware.attestation-key" | "freshness.tpm-time" => {
            "Check whether the machine was cloned, or its TPM set back or cleared; if not, pair it \
             again."
        }
        "freshness.max-age" => {
            "Nothing, if the next report is in time; otherwise check the connection or raise freshness.max-age."
        }
        "boot-log.required" => {
            "Let the daemon read the firmware's log (`pawlctl check` on the device); for a board \
             without one, set the key to false and accept its state."
        }
        "boot-log.replay" => {
            "Reboot the device. If the finding stays, something extends PCRs without logging it, or the \
             log was altered."
        }
        "boot.coverage" => {
            "Use a boot chain that measures kernel and command line, and name their PCRs in lease.pcrs; U-Boot \
             measures them with CONFIG_MEASURED_BOOT when it starts the kernel by bootm, booti or bootz."
        }
        "boot-log.user-space" => {
            "Reboot the device. If the finding stays, /run/log/systemd/tpm2-measure.log is not what systemd \
             wrote, or was altered."
        }
        "boot.require-os-separator" => {
            "Reboot the device. If the finding stays, another system than the approved one runs, or the running \
             system pretends to be firmware."
        }
        "boot-state.accepted" => {
            "If the state is the intended one, accept it: `pawl-control-plane accept DEVICE --state DIGEST`; or \
             write a policy with `policy learn`."
        }
        "secure-boot.required" => "Turn Secure Boot on in the firmware's setup.",
        "secure-boot.platform-keys"
        | "secure-boot.key-exchange-keys"
        | "secure-boot.allowed-signatures"
        | "secure-boot.machine-owner-keys"
        | "secure-boot.signers" => {
            "Find out who enrolled the key. If it belongs there, add it to the list that the rule names; \
             otherwise remove it from the machine."
        }
        "secure-boot.forbidden-signatures" => {
            "If the list belongs to an update (fwupd, dbxupdate), add its digest; a list that is older \
             than the one before is a rollback."
        }
        "firmware.versions" | "firmware.contents" => {
            "If the firmware was updated on purpose, add its version and contents, or accept any; \
             otherwise flash the firmware again."
        }
        "firmware.separators" => "See the firmware's own messages: it reports an error at boot.",
        "boot.images" | "boot.unified-images" | "boot.sections" | "boot.initrds" | "boot.files" => {
            "If it belongs to an approved update, add its digest to the list, or accept this boot state: \
             `pawl-control-plane accept DEVICE --state DIGEST`. Otherwise boot the approved system."
        }
        "boot.command-lines" | "boot.loader-commands" => {
            "If it is intended, add it to the list, with * where a value varies. Otherwise find out who \
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
            "Boot with an IMA policy and a kernel that has its TPM driver built in; an altered \
             log means a compromised device."
        }
        "ima.unexplained" => {
            "If the file belongs there, add its digest to a list of ima.digest-files or have it \
             signed; else find out where it came from."
        }
        "ima.violations" => "Stop what writes to the file while it runs, or set ima.violations.",
        _ => "See the reason.",
    }
}
