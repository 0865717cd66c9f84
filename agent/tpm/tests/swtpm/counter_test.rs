//! The self-test of the TPM's counters.

use pawl_tpm::{CounterTest, Error};

use crate::rig::{Rig, command};

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
