use std::fmt::Write as _;

use super::Table;
use super::{or_dash, time};
use crate::vendor_cas::view::{Entry, EntryKind, Imported, Listed, Refused};

/// Formats the outcome of an import.
pub(in crate::cli) fn imported(imported: &Imported) -> String {
    let mut text = entries(&imported.imported);
    for duplicate in &imported.duplicates {
        let _ = writeln!(text, "already there  {}: as {}", duplicate.source, duplicate.file);
    }
    text.push_str(&refused("refused", &imported.refused));
    let (new, old, bad) = (imported.imported.len(), imported.duplicates.len(), imported.refused.len());
    let directory = imported.directory.display();
    let _ = writeln!(text, "{new} imported into {directory}, {old} already there, {bad} refused.");
    if new > 0 {
        text.push_str("To let a running server read them: systemctl reload pawl-control-plane\n");
    }
    text
}

/// Formats the contents of the vendor directory.
pub(in crate::cli) fn listed(listed: &Listed) -> String {
    let mut text = entries(&listed.entries);
    text.push_str(&refused("not used", &listed.skipped));
    let _ = writeln!(text, "{} in {}.", listed.entries.len(), listed.directory.display());
    text
}

fn entries(entries: &[Entry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["VENDOR", "NAME", "KIND", "FROM", "UNTIL", "NOTES", "FILE"]);
    for entry in entries {
        let kind = match (entry.kind, entry.revokes) {
            (EntryKind::Root, _) => "root".to_owned(),
            (EntryKind::Intermediate, _) => "intermediate".to_owned(),
            (EntryKind::RevocationList, count) => format!("revokes {}", count.unwrap_or_default()),
        };
        table.row([
            or_dash(entry.vendor.clone()),
            entry.name.clone(),
            kind,
            day(entry.not_before),
            or_dash(entry.not_after.map(day)),
            if entry.notes.is_empty() { "-".to_owned() } else { entry.notes.join("; ") },
            entry.file.clone(),
        ]);
    }
    table.to_string()
}

fn refused(word: &str, refused: &[Refused]) -> String {
    let mut text = String::new();
    for Refused { source, reason, vendor, name } in refused {
        let whose: Vec<&str> = [vendor, name].into_iter().flatten().map(String::as_str).collect();
        let whose = if whose.is_empty() { String::new() } else { format!(" ({})", whose.join(", ")) };
        let _ = writeln!(text, "{word:<15}{source}{whose}: {reason}");
    }
    text
}

/// Returns the day of a Unix time.
fn day(seconds: i64) -> String {
    match u64::try_from(seconds) {
        Ok(seconds) => time(seconds).split('T').next().unwrap_or_default().to_owned(),
        Err(_) => "before 1970".to_owned(),
    }
}
