//! The digests that are computed in software are the ones that the TPM computes.

use pawl_evidence::{
    assurance::action_policy,
    lease::{LeaseTerms, key_policy, link_policy},
    tpm::{Name, Signature},
};

use crate::rig::{Paired, Rig};

struct Trial<'a>(&'a Rig);

impl<'a> Trial<'a> {
    fn new(rig: &'a Rig) -> Self {
        rig.tool("tpm2_startauthsession -S trial.ctx");
        Self(rig)
    }

    fn run(&self, line: &str) -> &Self {
        self.0.tool(&format!("{line} -S trial.ctx -L policy.bin"));
        self
    }

    fn nv(&self, epoch: u64) -> &Self {
        self.0.write("operand", &epoch.to_be_bytes());
        self.run("tpm2_policynv -C 0x01805041 -i operand 0x01805041 eq")
    }

    fn digest(&self) -> [u8; 32] {
        self.0.tool("tpm2_flushcontext trial.ctx");
        self.0.read("policy.bin").try_into().unwrap()
    }
}

#[tokio::test]
async fn the_link_key() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let expected = link_policy(&Name::from_bytes(&paired.counter.name).unwrap(), paired.counter.epoch);
    assert_eq!(Trial::new(&rig).nv(paired.counter.epoch).digest(), expected);
}

#[tokio::test]
async fn a_lease() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let terms: LeaseTerms = paired.lease().await.terms;
    let digest = Trial::new(&rig)
        .run("tpm2_policypcr -l sha256:0,2,4,7,8,9,12,14")
        .nv(terms.epoch)
        .run(&format!("tpm2_policycountertimer --ule resets={}", terms.reset_count_max))
        .run(&format!("tpm2_policycountertimer --ult clock={}", terms.clock_before))
        .digest();
    assert_eq!(digest, terms.approved_policy());
}

#[tokio::test]
async fn the_keys_under_a_lease() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let (key, policy_ref) = (&paired.control.lease_key, &paired.control.policy_ref);
    rig.write("name", key.name().as_bytes());
    rig.write("ref", policy_ref);
    let trial = Trial::new(&rig);
    trial.run("tpm2_policypcr -l sha256:0");
    rig.write("approved", &rig.read("policy.bin"));
    let digest = trial.run("tpm2_policyauthorize -i approved -q ref -n name").digest();
    assert_eq!(digest, key_policy(&key.name(), policy_ref));
}

#[tokio::test]
async fn the_action_key() {
    let rig = Rig::new();
    let paired = Paired::new(&rig).await;
    let (key, policy_ref) = (&paired.control.authorization_key, &paired.control.policy_ref);
    let public = key.public().as_bytes();
    rig.write("authority.pub", &[&(public.len() as u16).to_be_bytes()[..], public].concat());
    rig.write("ref", policy_ref);
    // A trial session does not look at it.
    rig.write("signature", &Signature::from_r_s(&[1; 64]).marshal());
    rig.tool("tpm2_loadexternal -C o -u authority.pub -c authority.ctx");
    let trial = Trial::new(&rig);
    let digest = trial
        .nv(paired.counter.epoch)
        .run("tpm2_policysigned -c authority.ctx -g sha256 -s signature -q ref")
        .digest();
    let counter = Name::from_bytes(&paired.counter.name).unwrap();
    assert_eq!(digest, action_policy(&counter, paired.counter.epoch, &key.name(), policy_ref));
}
