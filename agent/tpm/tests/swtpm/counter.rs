//! The epoch counter, and the TPMs that it does not get along with.

use pawl_tpm::{Class, Error, Options, Tpm};
use zeroize::Zeroizing;

use crate::rig::{Paired, Rig};

#[tokio::test]
async fn it_starts_is_found_again_and_counts() {
    let rig = Rig::new();
    let tpm = rig.open();
    assert_eq!(tpm.counter().await.unwrap(), None);
    assert!(matches!(tpm.revoke().await, Err(Error::CounterAbsent { .. })));

    let first = tpm.provision_counter().await.unwrap();
    assert_eq!(tpm.provision_counter().await.unwrap(), first);
    tpm.revoke().await.unwrap();
    tpm.close();

    let again = rig.open().counter().await.unwrap().unwrap();
    assert_eq!(again.epoch, first.epoch + 1);
    assert_eq!((again.name, again.public), (first.name, first.public));
}

#[tokio::test]
async fn one_that_was_defined_but_never_written_is_none_yet() {
    let rig = Rig::new();
    rig.tool("tpm2_nvdefine -C o 0x01805041 -s 8 -a authread|authwrite|no_da|nt=counter");
    let tpm = rig.open();
    assert_eq!(tpm.counter().await.unwrap(), None);
    assert_eq!(tpm.provision_counter().await.unwrap().epoch, 1);
}

#[tokio::test]
async fn one_that_was_removed_comes_back_above_every_earlier_value() {
    for owner_auth in [None, Some("secret")] {
        let rig = Rig::new();
        let mut options = rig.options();
        if let Some(auth) = owner_auth {
            rig.tool(&format!("tpm2_changeauth -c o {auth}"));
            options.owner_auth = Some(Zeroizing::new(auth.as_bytes().to_vec()));
        }
        let tpm = Tpm::start(options).unwrap();
        assert!(!tpm.deprovision().await.unwrap(), "there was nothing to remove");
        tpm.provision_counter().await.unwrap();
        tpm.revoke().await.unwrap();
        let last = tpm.counter().await.unwrap().unwrap().epoch;

        assert!(tpm.deprovision().await.unwrap());
        assert_eq!(tpm.counter().await.unwrap(), None);
        assert!(matches!(tpm.revoke().await, Err(Error::CounterAbsent { .. })));
        assert!(!rig.tool("tpm2_getcap handles-nv-index").contains("0x1805041"));

        assert!(tpm.provision_counter().await.unwrap().epoch > last);
    }
}

#[tokio::test]
async fn without_the_owners_authorization_it_stays() {
    let rig = Rig::new();
    let tpm = rig.open();
    let counter = tpm.provision_counter().await.unwrap();
    tpm.close();
    rig.tool("tpm2_changeauth -c o secret");
    let tpm = rig.open();
    assert!(matches!(tpm.deprovision().await, Err(Error::OwnerAuth { .. })));
    assert_eq!(tpm.counter().await.unwrap(), Some(counter));
}

#[tokio::test]
async fn somebody_elses_index_is_left_alone() {
    for attributes in
        ["ownerread|ownerwrite|authread|authwrite", "ownerread|authread|authwrite|no_da|nt=counter"]
    {
        let rig = Rig::new();
        rig.tool(&format!("tpm2_nvdefine -C o 0x01805041 -s 8 -a {attributes}"));
        let tpm = rig.open();
        for error in [
            tpm.counter().await.map(drop).unwrap_err(),
            tpm.provision_counter().await.map(drop).unwrap_err(),
            tpm.revoke().await.unwrap_err(),
            tpm.deprovision().await.map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, Error::CounterTaken { handle: 0x0180_5041, .. }), "{error}");
            assert!(error.remedy().contains("another handle"), "{}", error.remedy());
        }
    }
}

#[tokio::test]
async fn an_index_like_ours_with_a_password_is_somebody_elses() {
    let rig = Rig::new();
    rig.tool("tpm2_nvdefine -C o 0x01805041 -s 8 -a authread|authwrite|no_da|nt=counter -p theirs");
    rig.tool("tpm2_nvincrement -C 0x01805041 -P theirs 0x01805041");
    let error = rig.open().counter().await.unwrap_err();
    assert!(matches!(error, Error::CounterTaken { .. }), "{error}");
}

#[tokio::test]
async fn a_full_tpm_is_told_as_such() {
    let rig = Rig::new();
    let full = (0..200).any(|n| {
        let index = 0x0180_0000 + n;
        rig.try_tool(&format!("tpm2_nvdefine -C o {index:#x} -s 2048 -a ownerread|ownerwrite")).is_err()
    });
    assert!(full);
    // A TPM keeps some space for counters alone.
    let full = (0x100..0x300).any(|n| {
        let index = 0x0180_0000 + n;
        rig.try_tool(&format!("tpm2_nvdefine -C o {index:#x} -s 8 -a ownerread|ownerwrite|nt=counter"))
            .is_err()
    });
    assert!(full);
    let error = rig.open().provision_counter().await.unwrap_err();
    assert_eq!(error.response_code().unwrap().class(), Class::NvSpace, "{error}");
    assert!(error.to_string().contains("TPM_RC_NV_SPACE (0x14b)"), "{error}");
    assert!(error.remedy().contains("tpm2_getcap"));
}

#[tokio::test]
async fn owner_authorization_absent_wrong_and_right() {
    let rig = Rig::new();
    rig.tool("tpm2_changeauth -c owner secret");
    for auth in [None, Some(&b"wrong"[..])] {
        let error = owned(&rig, auth).provision_counter().await.unwrap_err();
        assert!(matches!(error, Error::OwnerAuth { .. }), "{error}");
        assert!(error.remedy().contains("owner_auth"));
    }
    let tpm = owned(&rig, Some(b"secret"));
    let counter = tpm.provision_counter().await.unwrap();
    let control = crate::rig::ControlPlane::new(1);
    let keys = tpm.create_keys(control.binding(&counter)).await.unwrap();
    tpm.sign_with_link(&keys.link, counter.epoch, [1; 32]).await.unwrap();
    // To revoke takes no authorization.
    owned(&rig, None).revoke().await.unwrap();
}

fn owned(rig: &Rig, auth: Option<&[u8]>) -> Tpm {
    let owner_auth = auth.map(|auth| Zeroizing::new(auth.to_vec()));
    Tpm::start(Options { owner_auth, ..rig.options() }).unwrap()
}

#[tokio::test]
async fn endorsement_authorization_is_told_with_its_remedy() {
    let rig = Rig::new();
    rig.tool("tpm2_changeauth -c endorsement secret");
    let error = rig.open().identity().await.unwrap_err();
    assert!(matches!(error, Error::EndorsementAuth { .. }), "{error}");
    assert!(error.remedy().contains("tpm2_changeauth -c endorsement"));
}

#[tokio::test]
async fn keys_are_made_for_the_present_epoch_alone() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    paired.tpm.revoke().await.unwrap();
    let error = paired.tpm.create_keys(paired.binding()).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Epoch { code: None, .. }), "{error}");
}

#[tokio::test]
async fn handles_of_others_are_refused_at_once() {
    let rig = Rig::new();
    for counter in [0x01c0_0002, 0x0140_0000, 0x8100_0001, 0] {
        let error = Tpm::start(Options { counter, ..rig.options() }).map(drop).unwrap_err();
        assert!(matches!(error, Error::CounterHandle { .. }), "{error}");
    }
}
