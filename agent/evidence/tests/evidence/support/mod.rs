pub(crate) mod boot;
pub(crate) mod swtpm;
