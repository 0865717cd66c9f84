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
        "What device {device}{label} had booted when this was learnt, and nothing else.\n\
         It was taken on trust: read it before you use it. The lines in brackets are those of the boot event log.\n\
         Whatever no rule explains is refused. Every key is in pawl-policy.toml(5).\n\
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
        file.key("max-age", &age.to_string(), "Seconds that may lie between challenge and evidence.");
    }
    file.section("boot-log");
    file.key(
        "required",
        &policy.boot_log.required.to_string(),
        "The firmware's event log must be there. It must replay to the quoted PCRs in any case.",
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
    /// In which lines of the log texts stand.
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

    /// One item in a line; nothing where there is none.
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
        self.list("platform-keys", &rules.platform_keys, "What PK may hold: SHA-256 of certificates.");
        self.list("key-exchange-keys", &rules.key_exchange_keys, "What KEK may hold.");
        self.list(
            "allowed-signatures",
            &rules.allowed_signatures,
            "What db may hold: certificates, and digests of images.",
        );
        self.list(
            "forbidden-signatures",
            &rules.forbidden_signatures,
            "What dbx may be, by the digest of its event: add each new version that you roll out.",
        );
        self.list("signers", &rules.signers, "What may have vouched for a loaded image.");
        self.list(
            "machine-owner-keys",
            &rules.machine_owner_keys,
            "What shim's own lists may be, by the digests of their events (PCR 14).",
        );
    }

    fn firmware(&mut self, rules: &FirmwareSection) {
        self.section("firmware");
        self.texts("versions", &rules.versions, "What the firmware may say that its version is (PCR 0).");
        self.key("accept-any-version", &rules.accept_any_version.to_string(), "True: any version.");
        self.list("contents", &rules.contents, "What the firmware may consist of (PCRs 0 and 2).");
        self.key(
            "accept-any-content",
            &rules.accept_any_content.to_string(),
            "True: PCR 0 may have anything else too, so that an update of the firmware needs no new digests.",
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
            "Unified kernel images that may be loaded. One that starts its kernel itself vouches for the initrd.",
        );
        self.list(
            "sections",
            &rules.sections,
            "What the sections of a unified kernel image may be (PCR 11).",
        );
        self.key(
            "accept-signed-images",
            &rules.accept_signed_images.to_string(),
            "True: under Secure Boot any other image too, if secure-rules.signers alone have vouched for images.",
        );
        self.patterns(
            "command-lines",
            rules.command_lines.iter().map(|pattern| pattern.as_str()),
            "The kernel's command line. * stands for characters of one value, ? for one of them.",
        );
        self.list(
            "command-line-digests",
            &rules.command_line_digests,
            "The same where the log has its digest alone (PCR 9). Its whole text in command-lines does too.",
        );
        self.list("initrds", &rules.initrds, "The initrd (PCR 9).");
        self.patterns(
            "loader-commands",
            rules.loader_commands.iter().map(|pattern| pattern.as_str()),
            "Commands of the boot loader (PCR 8). No pattern here may fit a command line of the kernel.",
        );
        self.list("files", &rules.files, "Files that the boot loader may read (PCRs 9 and 12).");
        self.key(
            "accept-machine-identity",
            &rules.accept_machine_identity.to_string(),
            "True: the SMBIOS table with UUID and serial number (PCR 1) and the machine id (PCR 15) may be any.",
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
            "Events that are allowed in it. There is no other rule for them.",
        );
        let values = section.values.iter().map(|value| format!("{},", quoted(&value.to_string())));
        self.items("values", values, "Whole values of this PCR; no log tells what they are made of.");
        let unlogged = section.unlogged.iter().map(|value| format!("{},", quoted(&value.to_string())));
        self.items(
            "unlogged",
            unlogged,
            "The boot event log does not explain this PCR: firmware of this model is known to omit events, or the log\n\
             was altered. Compare with other devices of the model before you use this. With one of these values the\n\
             PCR is taken as it is, and what the log says of it counts for nothing; an update of the firmware needs\n\
             another value. Where the value differs from device to device and no lease names the PCR, write\n\
             unexplained = \"allow\" instead.",
        );
    }

    fn nvpcr(&mut self, index: NvIndex, section: &NvPcrSection) {
        self.section(&format!("nvpcr.{index}"));
        self.weight(
            "unexplained",
            section.unexplained,
            "A record of this NvPCR that nothing else explains: refuse, warn or allow. The log must give its value in any\n\
             case.",
        );
        let names = section.index_names.iter().map(|name| format!("{},", quoted(&name.to_string())));
        self.items("index-names", names, "What the TPM may call the index.");
        self.list("digests", &section.digests, "Records that are allowed in it.");
        let values = section.values.iter().map(|value| format!("{},", quoted(&value.to_string())));
        self.items("values", values, "Whole values, with which its records are not looked at.");
    }

    /// What the device has and the policy does not name. Named, each costs every device a signature of its TPM in every
    /// report, and what goes into it differs between devices: that is for the operator to decide.
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
                "NvPCRs that systemd made. They are judged where a section names them; these let their records be any that\n\
                 systemd's log has. The names are those of one signing key, on each machine.",
            );
            self.comment(&sections.join("\n"));
        }
    }

    fn ima(&mut self, ima: &ImaSection) {
        self.section("ima");
        self.key("require-anchored", &ima.require_anchored.to_string(), "PCR 10 must account for the log.");
        self.weight(
            "unexplained",
            ima.unexplained,
            "A file that nothing below explains: refuse, warn or allow.",
        );
        self.weight("violations", ima.violations, "A file that was written while it was measured: the same.");
        self.texts("digest-files", &ima.digest_files, "Files with digests, as sha256sum prints them.");
        self.texts("signer-files", &ima.signer_files, "Certificates or public keys of those who sign files.");
        let exclusions = ima.exclusions.iter().map(|pattern| format!("{},", quoted(pattern.as_str())));
        self.items(
            "exclusions",
            exclusions,
            "Paths that are not looked at: * within a directory, ** across.",
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

/// A text in a list, with its place in the log where that is known.
fn item(text: &str, lines: &BTreeMap<String, usize>) -> String {
    let place = lines.get(text).map(|line| format!(" # line {line}")).unwrap_or_default();
    format!("{},{place}", quoted(text))
}

/// A string as TOML writes it.
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
