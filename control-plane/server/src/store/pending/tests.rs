use super::*;
use crate::store::Store;

fn asked(number: u16, address: &str, at: u64) -> PendingRequest {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&number.to_be_bytes());
    PendingRequest {
        device: DeviceId::from_digest(digest),
        ek_sha256: Digest(digest),
        host: HostFacts::default(),
        endorsement: "not checked".to_owned(),
        address: address.to_owned(),
        at,
    }
}

async fn list(requests: Vec<PendingRequest>, per_address: usize) -> Vec<PendingDevice> {
    let store = Store::in_memory(|_| false).unwrap();
    let add = move |tx: &Tx<'_>| {
        requests.iter().try_for_each(|asked| tx.add_pending_device(asked, per_address))?;
        tx.pending_devices()
    };
    store.transaction(add).await.unwrap()
}

#[tokio::test]
async fn the_newest_256_devices_are_kept() {
    let requests = (0..300).map(|number| asked(number, &number.to_string(), u64::from(number))).collect();
    let kept = list(requests, 4).await;
    assert_eq!(kept.len(), 256);
    assert_eq!((kept[0].device, kept[255].device), (asked(299, "", 0).device, asked(44, "", 0).device));
}

/// The last one is kept although others asked in the same second and come before it in the order of ids.
#[tokio::test]
async fn an_address_lists_few_devices_and_displaces_none_of_another() {
    let mut requests: Vec<_> = (1..40).rev().map(|number| asked(number, "192.0.2.1", 7)).collect();
    requests.insert(0, asked(99, "192.0.2.2", 1));
    let kept = list(requests, 4).await;
    assert_eq!(kept.len(), 5);
    assert_eq!(kept[4].device, asked(99, "", 0).device);
    assert!(
        kept.iter().any(|pending| pending.device == asked(1, "", 0).device),
        "the last one is not listed"
    );
}

#[tokio::test]
async fn a_device_that_asks_again_has_one_row() {
    let again = PendingRequest { endorsement: "certificate".to_owned(), ..asked(1, "192.0.2.9", 60) };
    let kept = list(vec![asked(1, "192.0.2.1", 5), again.clone()], 4).await;
    let [pending] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((pending.first_at, pending.last_at, pending.times), (5, 60, 2));
    assert_eq!((&pending.address, &pending.endorsement), (&again.address, &again.endorsement));
}
