use crate::x509::{CERTIFICATE_MAX_LEN, Certificate, pem};

/// More files than all TPM vendors together have CAs.
const CAS_MAX: usize = 4096;
const FILE_MAX_LEN: usize = 64 * CERTIFICATE_MAX_LEN;

/// The CA certificates of the TPM vendors that are trusted, roots and intermediates alike.
#[derive(Debug, Clone, Default)]
pub struct VendorCas {
    pub(super) cas: Vec<VendorCa>,
    skipped: Vec<Skipped>,
}

#[derive(Debug, Clone)]
pub(super) struct VendorCa {
    pub(super) file: String,
    pub(super) certificate: Certificate,
}

/// A file, or a certificate in it, that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The name of the file.
    pub file: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl VendorCas {
    /// Takes files of one DER certificate or of any number of PEM certificates.
    ///
    /// A file that cannot be used is noted in [`VendorCas::skipped`] and spoils none of the others.
    pub fn from_files(files: impl IntoIterator<Item = (impl Into<String>, impl AsRef<[u8]>)>) -> Self {
        let mut store = Self::default();
        for (file, bytes) in files {
            store.add_file(file.into(), bytes.as_ref());
        }
        store
    }

    /// What could not be used, to be shown to the operator.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// How many CAs are trusted.
    pub fn len(&self) -> usize {
        self.cas.len()
    }

    /// Whether no CA is trusted, so that every certificate will be refused.
    pub fn is_empty(&self) -> bool {
        self.cas.is_empty()
    }

    fn add_file(&mut self, file: String, bytes: &[u8]) {
        if bytes.len() > FILE_MAX_LEN {
            return self.skip(file, "it is larger than 1 MiB");
        }
        if !pem::is_pem(bytes) {
            return self.add_certificate(&file, bytes);
        }
        match pem::read_certificates(bytes) {
            Some(certificates) => certificates.iter().for_each(|der| self.add_certificate(&file, der)),
            None => self.skip(file, "its PEM is malformed"),
        }
    }

    fn add_certificate(&mut self, file: &str, der: &[u8]) {
        let file = file.to_owned();
        if self.cas.len() >= CAS_MAX {
            return self.skip(file, "there are 4096 CA certificates already");
        }
        match Certificate::read(der) {
            None => self.skip(file, "it is not a well-formed X.509 certificate"),
            Some(certificate) if !certificate.extensions.is_ca => {
                self.skip(file, "it is not a CA's certificate")
            }
            Some(certificate) => self.cas.push(VendorCa { file, certificate }),
        }
    }

    fn skip(&mut self, file: String, reason: &'static str) {
        self.skipped.push(Skipped { file, reason });
    }
}
