pub(crate) mod assurance;
pub(crate) mod boot;
pub(crate) mod swtpm;
