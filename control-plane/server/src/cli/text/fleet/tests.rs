//! Tests of the list and of `show`, over the life of a device.

use pawl_proto::message::{EventKind, HostFacts, PairingRequest, ShortText};

use super::devices;
use crate::admin::view::{DeviceLine, DeviceStatus, DeviceView};
use crate::cli::text;
use crate::orders;
use crate::testing::{Device, Operator, Reporting, Rig};

/// The list and the output of `show` for the only device.
struct Shown {
    line: DeviceLine,
    list: String,
    view: DeviceView,
    page: String,
}

impl Shown {
    async fn of(operator: &Operator) -> Self {
        let lines: Vec<DeviceLine> = operator.client.get("/v1/devices").await.unwrap();
        let list = devices(&lines, false, 0);
        let line = lines.into_iter().next().unwrap();
        let view: DeviceView = operator.client.get(&format!("/v1/devices/{}", line.device)).await.unwrap();
        let page = text::device(&view);
        assert_eq!((line.status, line.overdue), (view.status, view.overdue), "they contradict each other");
        Self { line, list, view, page }
    }

    /// Checks that nothing of a pairing that is over looks as if it were in force.
    fn assert_over(&self, says: &str) {
        assert_eq!((self.line.verdict, self.line.lease_until), (None, None));
        assert!(self.view.verdict.is_none() && self.view.lease.is_none() && self.view.entitlement.is_none());
        for text in [&self.list, &self.page] {
            assert!(text.contains(says), "{says}: {text}");
            for old in ["warning", "affirming", "active", "lease until", "2023-11-14T22:28"] {
                assert!(!text.contains(old), "{old}: {text}");
            }
        }
        assert!(!self.line.overdue, "no report is expected");
    }
}

async fn paired(rig: &Rig) -> Reporting {
    let device = Device::enrolled(&rig.plane).await;
    let host = HostFacts { hostname: ShortText::lossy("pump-4.example"), ..HostFacts::default() };
    let request = PairingRequest { host, ..device.request() };
    Reporting::pair(rig, device, request).await.0
}

#[tokio::test]
async fn a_device_that_is_entitled_lapses_and_is_overdue() {
    let rig = Rig::new();
    let operator = rig.operator().await;
    let paired = paired(&rig).await;
    let shown = Shown::of(&operator).await;
    assert_eq!((shown.line.status, shown.line.overdue), (DeviceStatus::Entitled, false));
    for says in ["pump-4.example", "entitled", "warning", "2023-11-14T22:28:20Z", "2023-11-14T22:13:20Z"] {
        assert!(
            shown.list.contains(says) && shown.page.contains(says),
            "{says}: {}{}",
            shown.list,
            shown.page
        );
    }

    rig.clock.advance(601);
    let shown = Shown::of(&operator).await;
    assert_eq!((shown.line.status, shown.line.overdue), (DeviceStatus::Entitled, true));
    assert!(shown.list.contains("2023-11-14T22:13:20Z (overdue)"), "{}", shown.list);
    assert!(shown.page.contains("(the next is overdue)"), "{}", shown.page);

    rig.clock.advance(300);
    let shown = Shown::of(&operator).await;
    assert_eq!(shown.line.status, DeviceStatus::Lapsed);
    assert!(shown.page.contains("lapsed: no valid lease"), "{}", shown.page);
    assert!(!shown.list.contains("22:28:20"), "a lease that is over: {}", shown.list);

    orders::suspend(&rig.plane, paired.device.id(), "audit".to_owned()).await.unwrap();
    let shown = Shown::of(&operator).await;
    assert_eq!(shown.line.status, DeviceStatus::Suspended);
    assert!(shown.page.contains("suspended, suspension 1: audit"), "{}", shown.page);
}

#[tokio::test]
async fn a_revoked_device_shows_when_it_ended_and_nothing_of_its_old_pairing() {
    let rig = Rig::new();
    let operator = rig.operator().await;
    let mut paired = paired(&rig).await;
    let id = paired.device.id();
    rig.clock.advance(60);
    let why = ShortText::lossy("lost");
    let ordered = orders::order(&rig.plane, id, EventKind::Revoke, why).await.unwrap();
    rig.clock.advance(60);
    let shown = Shown::of(&operator).await;
    assert_eq!(shown.line.status, DeviceStatus::Revoking);
    assert_eq!((shown.line.end_ordered_at, shown.line.ended_at), (Some(1_700_000_060), None));
    shown.assert_over("revoking since 2023-11-14T22:14:20Z");

    let receipt = paired.device.wipe(Some(&ordered.event));
    orders::receive_receipt(&rig.plane, Some(id), receipt).await.unwrap();
    rig.clock.advance(86_400);
    let shown = Shown::of(&operator).await;
    assert_eq!(shown.line.status, DeviceStatus::Revoked);
    assert_eq!(
        (shown.line.ended_at, shown.view.pairing.as_ref().unwrap().ended_at),
        (Some(1_700_000_120), Some(1_700_000_120))
    );
    shown.assert_over("revoked 2023-11-14T22:15:20Z");

    orders::suspend(&rig.plane, id, "audit".to_owned()).await.unwrap();
    Shown::of(&operator).await.assert_over("revoked 2023-11-14T22:15:20Z");
    assert!(Shown::of(&operator).await.list.contains("22:15:20Z, suspended"));
}

#[tokio::test]
async fn a_device_that_was_never_paired_is_unpaired() {
    let rig = Rig::new();
    let operator = rig.operator().await;
    let device = Device::enrolled(&rig.plane).await;
    let shown = Shown::of(&operator).await;
    assert_eq!((shown.line.status, shown.line.overdue), (DeviceStatus::Unpaired, false));
    orders::suspend(&rig.plane, device.id(), "audit".to_owned()).await.unwrap();
    assert_eq!(Shown::of(&operator).await.line.status, DeviceStatus::Suspended);
}
