//! Renders a learnt policy as a file for the operator to edit.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use pawl_evidence::appraise::policy::{
    Allowed, BootSection, FirmwareSection, ImaSection, Learnt, MadeNvPcr, NvIndex, NvPcrSection, PcrSection,
    SecureBootSection, Weight,
};
use pawl_proto::{DeviceId, Digest};

/// Returns the heading of a learnt policy.
pub(crate) fn heading(device: DeviceId, label: Option<&str>, state: Option<Digest>) -> String {
    let label = label.map(|label| format!(" ({})", label.escape_debug())).unwrap_or_default();
    format!(
        "This policy allows what device {device}{label} had booted when it was learnt, and nothing else.\n\
         Nobody verified that boot: read the policy before you use it. Line numbers are those of the boot event log.\n\
         Anything that no rule allows is refused. pawl-policy.toml(5) describes every key.\n\
         Boot state {}.",
        state.map_or_else(|| "unknown".to_owned(), |state| state.to_string())
    )
}

/// Renders the file, with a comment for each rule. Reading it gives the same policy.
pub(crate) fn render(learnt: &Learnt, heading: &str) -> String {
    let Learnt { policy, lines, nvpcrs } = learnt;
    let mut file = Rendered { text: String::new(), lines };
    file.comment(heading);
    if let Some(age) = policy.freshness.max_age {
        file.section("freshness");
        file.key(
            "max-age",
            &age.to_string(),
            "Evidence must arrive within this many seconds of the challenge.",
        );
    }
    file.section("boot-log");
    file.key(
        "required",
        &policy.boot_log.required.to_string(),
        "The device must send the firmware's event log. A log that it sends must replay to the quoted PCRs in any case.",
    );
    file.secure_boot(&policy.secure_boot);
    file.firmware(&policy.firmware);
    file.boot(&policy.boot);
    for (index, section) in &policy.pcr {
        file.pcr(index.get(), section);
    }
    for (index, section) in &policy.nvpcr {
        file.nvpcr(*index, section);
    }
    file.unnamed_nvpcrs(nvpcrs.iter().filter(|made| !policy.nvpcr.contains_key(&made.index)));
    if let Some(ima) = &policy.ima {
        file.ima(ima);
    }
    file.text
}

/// Renders the section about executed files, for the end of a policy.
pub(crate) fn render_ima(ima: &ImaSection) -> String {
    let mut file = Rendered { text: String::new(), lines: &BTreeMap::new() };
    file.ima(ima);
    file.text
}

struct Rendered<'a> {
    text: String,
    /// The line of each text in the boot event log.
    lines: &'a BTreeMap<String, usize>,
}

impl Rendered<'_> {
    fn comment(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.text, "# {line}");
        }
    }

    fn section(&mut self, name: &str) {
        let _ = writeln!(self.text, "\n[{name}]");
    }

    fn key(&mut self, key: &str, value: &str, comment: &str) {
        self.comment(comment);
        let _ = writeln!(self.text, "{key} = {value}");
    }

    /// Writes a list with one item per line, or nothing if it is empty.
    fn items(&mut self, key: &str, items: impl Iterator<Item = String>, comment: &str) {
        let lines: String = items.map(|item| format!("    {item}\n")).collect();
        if !lines.is_empty() {
            self.key(key, &format!("[\n{lines}]"), comment);
        }
    }

    fn list(&mut self, key: &str, list: &[Allowed], comment: &str) {
        let item = |allowed: &Allowed| {
            format!("{{ digest = \"{}\", name = {} }},", allowed.digest, quoted(&allowed.name))
        };
        self.items(key, list.iter().map(item), comment);
    }

    fn patterns<'p>(&mut self, key: &str, list: impl Iterator<Item = &'p str>, comment: &str) {
        let lines = self.lines;
        self.items(key, list.map(|pattern| item(pattern, lines)), comment);
    }

    fn texts(&mut self, key: &str, list: &[String], comment: &str) {
        let lines = self.lines;
        self.items(key, list.iter().map(|text| item(text, lines)), comment);
    }

    fn secure_boot(&mut self, rules: &SecureBootSection) {
        self.section("secure-boot");
        self.key("required", &rules.required.to_string(), "Secure Boot must be on (PCR 7).");
        self.list("platform-keys", &rules.platform_keys, "What PK may contain: SHA-256 of certificates.");
        self.list("key-exchange-keys", &rules.key_exchange_keys, "What KEK may contain.");
        self.list(
            "allowed-signatures",
            &rules.allowed_signatures,
            "What db may contain: certificates, and digests of images.",
        );
        self.list(
            "forbidden-signatures",
            &rules.forbidden_signatures,
            "What dbx may be, by the digest of its event: add each new version that you roll out.",
        );
        self.list(
            "signers",
            &rules.signers,
            "Certificates and digests that may have verified a loaded image.",
        );
        self.list(
            "machine-owner-keys",
            &rules.machine_owner_keys,
            "What shim's own lists may be, by the digests of their events (PCR 14).",
        );
    }

    fn firmware(&mut self, rules: &FirmwareSection) {
        self.section("firmware");
        self.texts("versions", &rules.versions, "Versions that the firmware may report (PCR 0).");
        self.key("accept-any-version", &rules.accept_any_version.to_string(), "True: any version.");
        self.list("contents", &rules.contents, "What the firmware may consist of (PCRs 0 and 2).");
        self.key(
            "accept-any-content",
            &rules.accept_any_content.to_string(),
            "True: PCR 0 may contain anything else, too, so that an update of the firmware requires no new digests.",
        );
    }

    fn boot(&mut self, rules: &BootSection) {
        self.section("boot");
        self.list(
            "images",
            &rules.images,
            "EFI images that may be loaded (PCRs 2 and 4), by their Authenticode digests.",
        );
        self.list(
            "unified-images",
            &rules.unified_images,
            "Unified kernel images that may be loaded. An image that starts its kernel itself also covers the initrd.",
        );
        self.list(
            "sections",
            &rules.sections,
            "What the sections of a unified kernel image may be (PCR 11).",
        );
        self.key(
            "accept-signed-images",
            &rules.accept_signed_images.to_string(),
            "True: under Secure Boot any other image may be loaded, too, if only secure-boot.signers have verified images.",
        );
        self.patterns(
            "command-lines",
            rules.command_lines.iter().map(|pattern| pattern.as_str()),
            "The kernel's command line. * matches any characters within one value, ? exactly one.",
        );
        self.list(
            "command-line-digests",
            &rules.command_line_digests,
            "The same, if the log has only its digest (PCR 9). Its whole text in command-lines also matches.",
        );
        self.list("initrds", &rules.initrds, "The initrd (PCR 9).");
        self.patterns(
            "loader-commands",
            rules.loader_commands.iter().map(|pattern| pattern.as_str()),
            "Commands of the boot loader (PCR 8). No pattern here may match a command line of the kernel.",
        );
        self.list("files", &rules.files, "Files that the boot loader may read (PCRs 9 and 12).");
        self.key(
            "accept-machine-identity",
            &rules.accept_machine_identity.to_string(),
            "True: the SMBIOS table with UUID and serial number (PCR 1) and the machine id (PCR 15) may have any value.",
        );
        self.key(
            "require-os-separator",
            &rules.require_os_separator.to_string(),
            "True: systemd must have extended its os-separator into each judged PCR of 0 to 7, 9 and 12 to 14.",
        );
    }

    fn pcr(&mut self, index: u8, section: &PcrSection) {
        self.section(&format!("pcr.{index}"));
        self.weight(
            "unexplained",
            section.unexplained,
            "Any other event of this PCR: refuse, warn or allow.",
        );
        self.list(
            "digests",
            &section.digests,
            "Events that are allowed in this PCR and that no other rule covers.",
        );
        let values = section.values.iter().map(|value| format!("{},", quoted(&value.to_string())));
        self.items("values", values, "Whole values of this PCR, which no log explains.");
        let unlogged = section.unlogged.iter().map(|value| format!("{},", quoted(&value.to_string())));
        self.items(
            "unlogged",
            unlogged,
            "The boot event log does not explain this PCR: firmware of this model is known to omit events, or the log\n\
             was altered. Compare with other devices of the model before you use this. With one of these values the\n\
             PCR is accepted, and its events in the log are ignored; an update of the firmware requires another\n\
             value. If the value differs from device to device and no lease names the PCR, write\n\
             unexplained = \"allow\" instead.",
        );
    }

    fn nvpcr(&mut self, index: NvIndex, section: &NvPcrSection) {
        self.section(&format!("nvpcr.{index}"));
        self.weight(
            "unexplained",
            section.unexplained,
            "Any other record of this NvPCR: refuse, warn or allow. The log must replay to its value in any case.",
        );
        let names = section.index_names.iter().map(|name| format!("{},", quoted(&name.to_string())));
        self.items("index-names", names, "Names that the index may have in the TPM.");
        self.list("digests", &section.digests, "Records that are allowed in it.");
        let values = section.values.iter().map(|value| format!("{},", quoted(&value.to_string())));
        self.items("values", values, "Whole values. With one of them, the records are not checked.");
    }

    /// Writes a commented-out section for each NvPCR that the device has and the policy does not name. The operator
    /// decides about them: each named NvPCR costs every device a signature of its TPM in every report, and its records
    /// differ between devices.
    fn unnamed_nvpcrs<'n>(&mut self, made: impl Iterator<Item = &'n MadeNvPcr>) {
        let sections: Vec<String> = made
            .map(|made| {
                format!(
                    "[nvpcr.{}] # {}\nunexplained = \"allow\"\nindex-names = [\"{}\"]",
                    made.index, made.name, made.index_name
                )
            })
            .collect();
        if !sections.is_empty() {
            self.text.push('\n');
            self.comment(
                "NvPCRs that systemd created. They are appraised only if a section names them. These sections allow any\n\
                 records that systemd's log has. The index names are the same on all machines with one signing key.",
            );
            self.comment(&sections.join("\n"));
        }
    }

    fn ima(&mut self, ima: &ImaSection) {
        self.section("ima");
        self.key(
            "require-anchored",
            &ima.require_anchored.to_string(),
            "The kernel must have extended PCR 10 with the log.",
        );
        self.weight(
            "unexplained",
            ima.unexplained,
            "An executed file that matches nothing below: refuse, warn or allow.",
        );
        self.weight("violations", ima.violations, "A file that was written while it was measured: the same.");
        self.texts("digest-files", &ima.digest_files, "Files with digests, as sha256sum prints them.");
        self.texts("signer-files", &ima.signer_files, "Certificates or public keys of those who sign files.");
        let exclusions = ima.exclusions.iter().map(|pattern| format!("{},", quoted(pattern.as_str())));
        self.items(
            "exclusions",
            exclusions,
            "Paths that are not checked: * matches within a directory, ** across directories.",
        );
    }

    fn weight(&mut self, key: &str, weight: Weight, comment: &str) {
        let weight = match weight {
            Weight::Refuse => "refuse",
            Weight::Warn => "warn",
            Weight::Allow => "allow",
        };
        self.key(key, &quoted(weight), comment);
    }
}

/// Returns a list item, with the text's line in the log if that is known.
fn item(text: &str, lines: &BTreeMap<String, usize>) -> String {
    let place = lines.get(text).map(|line| format!(" # line {line}")).unwrap_or_default();
    format!("{},{place}", quoted(text))
}

/// Returns a string literal of TOML.
fn quoted(text: &str) -> String {
    let mut written = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => written.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(written, "\\u{:04X}", u32::from(control));
            }
            other => written.push(other),
        }
    }
    written.push('"');
    written
}
