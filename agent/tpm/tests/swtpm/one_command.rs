//! What is counted in commands on the bus, and their order.

use std::{future::poll_fn, pin::pin, task::Poll};

use crate::rig::{Exchange, Paired, Rig, command, selection};

fn codes(exchanges: &[Exchange]) -> Vec<u32> {
    exchanges.iter().map(Exchange::code).collect()
}

#[tokio::test]
async fn a_revocation_is_one_command() {
    let rig = Rig::new();
    rig.open().provision_counter().await.unwrap();
    let tpm = rig.open();
    rig.proxy.take();
    tpm.revoke().await.unwrap();
    assert_eq!(codes(&rig.proxy.take()), [command::NV_INCREMENT]);
}

#[tokio::test]
async fn a_quote_is_one_command_once_the_key_is_loaded() {
    let rig = Rig::new();
    let tpm = rig.open();
    tpm.quote(&selection(), [0; 32]).await.unwrap();
    rig.proxy.take();
    tpm.quote(&selection(), [1; 32]).await.unwrap();
    assert_eq!(codes(&rig.proxy.take()), [command::QUOTE]);
}

#[tokio::test]
async fn a_revocation_goes_ahead_of_all_that_waits() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    paired.tpm.identity().await.unwrap();
    rig.proxy.take();

    let selection = selection();
    let mut quotes: Vec<_> = (0..50).map(|_| Box::pin(paired.tpm.quote(&selection, [1; 32]))).collect();
    let mut revoke = pin!(paired.tpm.revoke());
    let held = rig.proxy.hold();
    // Polled once, all of them are in the queue, at most one of them on the bus.
    poll_fn(|context| {
        for quote in &mut quotes {
            assert!(quote.as_mut().poll(context).is_pending());
        }
        assert!(revoke.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(held);
    revoke.await.unwrap();
    for quote in quotes {
        quote.await.unwrap();
    }
    let order = codes(&rig.proxy.take());
    assert_eq!(order.len(), 51);
    let place = order.iter().position(|code| *code == command::NV_INCREMENT).unwrap();
    assert!(place <= 1, "{place} commands went ahead");
}

#[tokio::test]
async fn what_is_queued_is_finished_when_the_last_handle_goes() {
    let rig = Rig::new();
    let tpm = rig.open();
    tpm.provision_counter().await.unwrap();
    let other = tpm.clone();
    let mut revoke = Box::pin(async move { other.revoke().await });
    let held = rig.proxy.hold();
    let pending = poll_fn(|context| Poll::Ready(revoke.as_mut().poll(context).is_pending())).await;
    assert!(pending);
    drop(tpm);
    drop(held);
    revoke.await.unwrap();
    let tpm = rig.open();
    assert_eq!(tpm.counter().await.unwrap().unwrap().epoch, 2);
    let clone = tpm.clone();
    tpm.close();
    assert!(matches!(clone.clock().await, Err(pawl_tpm::Error::Stopped)));
}
