//! A key that differs from a pairing's in nothing but that it may leave its TPM.

use pawl_e2e::Rig;
use pawl_e2e::rig::Swtpm;
use pawl_tpm::KeyBlob;

use super::Tpm2Tools;

/// A signing key under this policy, without fixedTPM and fixedParent, made by tpm2-tools under the
/// parent that our keys have.
pub(crate) fn exportable_key(rig: &Rig, swtpm: &Swtpm, policy: [u8; 32]) -> KeyBlob {
    let place = rig.directory().create("exportable").unwrap();
    let file = |name: &str| place.join(name).display().to_string();
    std::fs::write(file("policy"), policy).unwrap();
    // A TPMS_ECC_POINT of two 32 zero bytes as it lies in the memory of tpm2-tools.
    let coordinate = [&[32, 0][..], &[0; 128]].concat();
    std::fs::write(file("unique"), coordinate.repeat(2)).unwrap();

    let tools = Tpm2Tools::on(swtpm);
    tools.run(
        "tpm2_createprimary",
        &[
            "-C",
            "o",
            "-g",
            "sha256",
            "-G",
            "ecc256:aes128cfb",
            "-u",
            &file("unique"),
            "-c",
            &file("parent"),
            "-a",
            "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt",
        ],
    );
    tools.run(
        "tpm2_create",
        &[
            "-C",
            &file("parent"),
            "-G",
            "ecc256:ecdsa-sha256:null",
            "-a",
            "sensitivedataorigin|noda|sign",
            "-L",
            &file("policy"),
            "-u",
            &file("public"),
            "-r",
            &file("private"),
        ],
    );
    tools.flush();
    // Each file has the size of what follows in its first two bytes.
    let contents = |name: &str| std::fs::read(file(name)).unwrap().split_off(2);
    KeyBlob { public: contents("public"), private: contents("private") }
}
