pub(crate) mod assurance;
pub(crate) mod boot;
pub(crate) mod ima;
pub(crate) mod log;
pub(crate) mod quoted;
pub(crate) mod swtpm;
pub(crate) mod vendor;
