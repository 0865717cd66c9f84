use clap::{CommandFactory as _, Parser as _};

use super::args::{Args, Verb};

#[test]
fn the_definition_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn several_keys_can_be_enrolled_at_once() {
    let args = ["pawl-control-plane", "enrol", "--ek-sha256", "aa", "bb", "--label", "gate 4", "--json"];
    let args = Args::try_parse_from(args).unwrap();
    assert!(args.json);
    let Verb::Enrol { ek_sha256, label, without_certificate, .. } = args.verb else {
        panic!("{:?}", args.verb)
    };
    assert_eq!(ek_sha256, ["aa", "bb"]);
    assert_eq!(label.as_deref(), Some("gate 4"));
    assert!(!without_certificate, "a certificate is required unless the operator says otherwise");
}

#[test]
fn an_exact_entitlement_takes_nothing_back_by_name() {
    let entitle = |more: &[&str]| {
        let args = [&["pawl-control-plane", "entitle", "device"], more].concat();
        Args::try_parse_from(args).map(|args| args.verb)
    };
    let Ok(Verb::Entitle(args)) = entitle(&["--scope", "a", "--scope", "b", "--remove-scope", "c"]) else {
        panic!("not understood")
    };
    assert_eq!(
        (args.scopes.as_slice(), args.remove_scopes.as_slice()),
        (&["a".into(), "b".into()][..], &["c".into()][..])
    );
    assert!(entitle(&["--exactly", "--audience", "https://api.example"]).is_ok());
    assert!(entitle(&["--exactly", "--remove-scope", "c"]).is_err());
}

#[test]
fn an_order_that_destroys_wants_a_reason() {
    assert!(Args::try_parse_from(["pawl-control-plane", "revoke", "device"]).is_err());
}

#[test]
fn the_help_names_the_exit_codes() {
    let help = Args::command().render_long_help().to_string();
    assert!(help.contains("69  the server does not run"), "{help}");
}
