//! Scratch counters: the self-test of the TPM's counters, and the mechanism beside a pairing.

use pawl_tpm::{CounterTest, Error, LeaseStep};

use crate::rig::{ControlPlane, Paired, Rig, assert_signed, command};

fn indices(rig: &Rig) -> String {
    rig.tool("tpm2_getcap handles-nv-index").to_lowercase()
}

#[tokio::test]
async fn a_counter_that_is_defined_anew_starts_above_and_the_test_leaves_nothing() {
    let rig = Rig::new();
    let tpm = rig.open();
    let epoch = tpm.provision_counter().await.unwrap().epoch;
    let before = indices(&rig);
    rig.proxy.take();
    for _ in 0..2 {
        let test = tpm.test_counter().await.unwrap();
        assert!(test.is_passed() && test.after > test.before, "{test:?}");
        assert_eq!(test.handle, 0x0180_5042);
    }
    let writing = [command::NV_DEFINE_SPACE, command::NV_INCREMENT, command::NV_UNDEFINE_SPACE];
    let writes = rig.proxy.take().iter().filter(|exchange| writing.contains(&exchange.code())).count();
    assert_eq!(writes, 2 * usize::try_from(CounterTest::WRITES).unwrap());
    assert_eq!(indices(&rig), before);
    assert_eq!(tpm.counter().await.unwrap().unwrap().epoch, epoch, "the epoch counter was touched");
}

#[tokio::test]
async fn a_tpm_whose_counters_start_anew_fails_the_test() {
    let rig = Rig::new();
    let tpm = rig.open();
    // Every counter is read as 1.
    rig.proxy.alter_answers(|command, answer| {
        if command[6..10] == command::NV_READ.to_be_bytes() && answer.len() > 24 {
            answer[16..24].copy_from_slice(&1_u64.to_be_bytes());
        }
    });
    let test = tpm.test_counter().await.unwrap();
    assert!(!test.is_passed(), "{test:?}");
    rig.proxy.leave_answers();
    assert!(!indices(&rig).contains("0x18050"), "{}", indices(&rig));
}

#[tokio::test]
async fn a_test_that_fails_removes_its_counter() {
    const FAILURE: u32 = 0x101;
    for failing in [command::NV_INCREMENT, command::NV_READ] {
        let rig = Rig::new();
        let tpm = rig.open();
        rig.proxy.answer(failing, FAILURE);
        tpm.test_counter().await.unwrap_err();
        assert!(!indices(&rig).contains("0x18050"), "{}", indices(&rig));
    }
}

#[tokio::test]
async fn what_a_test_that_was_cut_short_left_is_removed_and_nothing_else() {
    const FAILURE: u32 = 0x101;
    let rig = Rig::new();
    // Somebody else's, with the attributes of our counter.
    rig.tool("tpm2_nvdefine -C o 0x01805042 -s 8 -a authread|authwrite|no_da|nt=counter");
    let tpm = rig.open();
    rig.proxy.answer(command::NV_UNDEFINE_SPACE, FAILURE);
    tpm.test_counter().await.unwrap_err();
    assert!(indices(&rig).contains("0x1805043"), "nothing was left behind");
    let test = tpm.test_counter().await.unwrap();
    assert_eq!(test.handle, 0x0180_5043);
    let left = indices(&rig);
    assert!(left.contains("0x1805042") && !left.contains("0x1805043"), "{left}");
}

#[tokio::test]
async fn without_a_free_index_nothing_is_written() {
    let rig = Rig::new();
    for handle in 0x0180_5042..=0x0180_5051 {
        rig.tool(&format!("tpm2_nvdefine -C o {handle:#010x} -s 8 -a authread|authwrite"));
    }
    let tpm = rig.open();
    rig.proxy.take();
    let refused = tpm.test_counter().await.unwrap_err();
    assert!(matches!(refused, Error::NoSpareIndex { .. }), "{refused}");
    let written = rig.proxy.take().iter().any(|exchange| exchange.code() == command::NV_DEFINE_SPACE);
    assert!(!written);
}

#[tokio::test]
async fn keys_of_a_scratch_counter_die_with_it_and_a_pairing_beside_them_lives() {
    const DIGEST: [u8; 32] = [0x42; 32];
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let before = indices(&rig);

    let scratch = paired.tpm.scratch().await.unwrap();
    let counter = scratch.provision().await.unwrap();
    assert_ne!(counter.name, paired.counter.name);
    let control = ControlPlane::new(3);
    let keys = scratch.create_keys(control.binding(&counter)).await.unwrap();
    let mut terms = control.terms(&paired.tpm, &counter).await;
    terms.clock_before += 600_000;
    let lease = control.grant(terms);
    let signature = scratch.sign_with_device(&keys.device, &lease, DIGEST).await.unwrap();
    assert_signed(&keys.device, &DIGEST, &signature);
    let secret = scratch.unseal(&keys.vault, &lease).await.unwrap();
    assert_eq!(*scratch.unseal(&keys.vault, &lease).await.unwrap(), *secret);

    scratch.increment().await.unwrap();
    let refused = scratch.sign_with_device(&keys.device, &lease, DIGEST).await.unwrap_err();
    assert_eq!(refused.lease_step(), Some(LeaseStep::Epoch), "{refused}");
    assert!(scratch.unseal(&keys.vault, &lease).await.is_err());
    assert!(scratch.sign_with_link(&keys.link, counter.epoch, DIGEST).await.is_err());

    assert!(scratch.remove().await.unwrap());
    assert_eq!(indices(&rig), before, "the test left something behind");
    assert_eq!(paired.tpm.counter().await.unwrap().unwrap(), paired.counter);
    let lease = paired.lease().await;
    let signature = paired.tpm.sign_with_device(&paired.keys.device, &lease, DIGEST).await.unwrap();
    assert_signed(&paired.keys.device, &DIGEST, &signature);
}

#[tokio::test]
async fn a_tpm_names_its_maker_and_its_limits() {
    let rig = Rig::new();
    let properties = rig.open().properties().await.unwrap();
    assert_eq!(properties.manufacturer, "IBM");
    assert!(properties.revision >= 138, "{properties:?}");
    assert!(properties.counters_available.is_some_and(|free| free > 0), "{properties:?}");
    assert!(properties.clock_update_ms.is_some_and(|ms| ms > 0), "{properties:?}");
}
