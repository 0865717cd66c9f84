use super::vendor::{ListProblem, VendorCa, VendorItem, VendorList, read_vendor_file};
use crate::x509::{Certificate, is_signed_by};

/// The maximum number of CAs, above that of all TPM vendors together.
const CAS_MAX: usize = 4096;
const LISTS_MAX: usize = 4096;

/// The trusted CA certificates of TPM vendors, roots and intermediates, and their revocation lists.
#[derive(Debug, Clone, Default)]
pub struct VendorCas {
    pub(super) cas: Vec<Trusted>,
    lists: Vec<(String, VendorList)>,
    skipped: Vec<Skipped>,
}

#[derive(Debug, Clone)]
pub(super) struct Trusted {
    pub(super) file: String,
    pub(super) ca: VendorCa,
    /// The issuer that revoked it; `None` while it is trusted.
    pub(super) revoked_by: Option<String>,
}

/// A file, or a part of it, that is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The name of the file.
    pub file: String,
    /// Why it is ignored.
    pub reason: String,
}

impl VendorCas {
    /// Reads files with one DER certificate or revocation list, or with any number of them in PEM.
    ///
    /// [`VendorCas::skipped`] names unusable files; the others are used. A revocation list whose issuer is not
    /// in the store applies to intermediate certificates that devices send.
    pub fn from_files(files: impl IntoIterator<Item = (impl Into<String>, impl AsRef<[u8]>)>) -> Self {
        let mut store = Self::default();
        for (file, bytes) in files {
            let file = file.into();
            for item in read_vendor_file(bytes.as_ref()) {
                store.add(&file, item);
            }
        }
        store.drop_forged_lists();
        // The newest list of an issuer comes first, because it applies.
        store.lists.sort_by_key(|(_, list)| std::cmp::Reverse(list.this_update()));
        store.mark_revoked();
        store
    }

    /// Returns the ignored files, for display to the operator.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Returns the number of trusted CAs.
    pub fn len(&self) -> usize {
        self.cas.iter().filter(|trusted| trusted.revoked_by.is_none()).count()
    }

    /// Returns whether no CA is trusted, so that every certificate will be refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the CAs with their files and, if revoked, the issuer that revoked each.
    pub fn cas(&self) -> impl Iterator<Item = (&str, &VendorCa, Option<&str>)> {
        self.cas.iter().map(|trusted| (trusted.file.as_str(), &trusted.ca, trusted.revoked_by.as_deref()))
    }

    /// Returns the revocation lists with their files, newest first.
    pub fn lists(&self) -> impl Iterator<Item = (&str, &VendorList)> {
        self.lists.iter().map(|(file, list)| (file.as_str(), list))
    }

    fn add(&mut self, file: &str, item: Result<VendorItem, &'static str>) {
        match item {
            Err(reason) => self.skip(file, reason),
            Ok(VendorItem::Ca(_)) if self.cas.len() >= CAS_MAX => {
                self.skip(file, "there are 4096 CA certificates already");
            }
            Ok(VendorItem::List(_)) if self.lists.len() >= LISTS_MAX => {
                self.skip(file, "there are 4096 revocation lists already");
            }
            Ok(VendorItem::Ca(ca)) => {
                self.cas.push(Trusted { file: file.to_owned(), ca: *ca, revoked_by: None });
            }
            Ok(VendorItem::List(list)) => self.lists.push((file.to_owned(), *list)),
        }
    }

    fn drop_forged_lists(&mut self) {
        let lists = std::mem::take(&mut self.lists);
        for (file, list) in lists {
            match list.check(self.cas.iter().map(|trusted| &trusted.ca)) {
                Err(problem @ ListProblem::Signature(_)) => self.skip(&file, &problem.to_string()),
                Ok(()) | Err(ListProblem::UnknownIssuer(_)) => self.lists.push((file, list)),
            }
        }
    }

    /// Marks CAs on a revocation list of their issuer, and CAs that a revoked CA issued.
    fn mark_revoked(&mut self) {
        loop {
            let found = self
                .cas
                .iter()
                .enumerate()
                .filter(|(_, trusted)| trusted.revoked_by.is_none())
                .find_map(|(index, trusted)| Some((index, self.revoker(&trusted.ca)?)));
            let Some((index, issuer)) = found else { return };
            if let Some(trusted) = self.cas.get_mut(index) {
                trusted.revoked_by = Some(issuer);
            }
        }
    }

    /// Returns the issuer that revoked `ca`, or its issuer if that was revoked.
    fn revoker(&self, ca: &VendorCa) -> Option<String> {
        if ca.is_self_issued() || self.lists.is_empty() {
            return None;
        }
        let issuers = self.cas.iter().filter(|issuer| issuer.ca.certificate.subject == ca.certificate.issuer);
        for issuer in issuers {
            let authority = &issuer.ca.certificate;
            let listed = || self.lists_of(authority).iter().any(|list| list.revokes(&ca.certificate));
            if (issuer.revoked_by.is_some() || listed()) && is_signed_by(&ca.certificate, &authority.key) {
                return Some(issuer.ca.name());
            }
        }
        None
    }

    /// Returns the lists that `authority` signed; of each scope only the newest.
    pub(super) fn lists_of(&self, authority: &Certificate) -> Vec<&VendorList> {
        let mut lists: Vec<&VendorList> = Vec::new();
        for (_, list) in &self.lists {
            let is_older = |list: &VendorList| lists.iter().any(|newer| newer.scope() == list.scope());
            if list.names(authority) && !is_older(list) && list.is_by(authority) {
                lists.push(list);
            }
        }
        lists
    }

    fn skip(&mut self, file: &str, reason: &str) {
        self.skipped.push(Skipped { file: file.to_owned(), reason: reason.to_owned() });
    }
}
