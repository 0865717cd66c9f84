use pawl_proto::DeviceId;

use super::*;
use crate::cli::condition::tests::line;

fn named(number: u8, label: Option<&str>, epoch: Option<u64>) -> DeviceLine {
    let label = label.map(str::to_owned);
    DeviceLine { device: DeviceId::from_digest([number; 32]), label, epoch, ..line() }
}

fn labels(devices: &[DeviceLine]) -> Vec<&str> {
    devices.iter().map(|line| line.label.as_deref().unwrap_or("-")).collect()
}

#[test]
fn devices_are_sorted_by_a_field_and_those_without_a_value_are_last() {
    let mut devices = vec![
        named(1, Some("b"), Some(10)),
        named(2, None, Some(9)),
        named(3, Some("a"), None),
        named(4, Some("c"), Some(9)),
    ];
    sort(&mut devices, "label".parse().unwrap(), false);
    assert_eq!(labels(&devices), ["a", "b", "c", "-"]);
    sort(&mut devices, "label".parse().unwrap(), true);
    assert_eq!(labels(&devices), ["c", "b", "a", "-"]);
    // Numbers by their size, not by their digits.
    sort(&mut devices, "epoch".parse().unwrap(), false);
    assert_eq!(labels(&devices), ["c", "-", "b", "a"]);
}

#[test]
fn devices_are_counted_by_the_values_of_a_field() {
    let devices = [
        named(1, Some("a"), None),
        named(2, Some("b"), None),
        named(3, Some("b"), None),
        named(4, None, None),
    ];
    let counts = count(&devices, "label".parse().unwrap());
    let pairs: Vec<_> = counts.counts.iter().map(|count| (count.value.as_deref(), count.devices)).collect();
    assert_eq!(pairs, [(Some("b"), 2), (None, 1), (Some("a"), 1)]);
    assert_eq!((counts.field, counts.devices), ("label", 4));
    let shown = text::counts(&counts);
    assert!(
        shown.starts_with("LABEL  DEVICES\nb      2\n-      1\n") && shown.ends_with("4 devices.\n"),
        "{shown}"
    );
}

#[test]
fn a_page_is_cut_to_the_terminal_and_keeps_its_count() {
    let text = "header\n1\n2\n3\n4\n5\n5 devices.\n";
    assert_eq!(cut(text, 6), "header\n1\n2\n… 3 more lines\n5 devices.\n");
    assert_eq!(cut(text, 6).lines().count(), 5);
    for rows in [0, 3, 8, 100] {
        assert_eq!(cut(text, rows), text, "{rows}");
    }
}
